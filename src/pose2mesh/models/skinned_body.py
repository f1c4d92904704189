"""`SkinnedBody`: a body that is posed by linear blend skinning without its body model, as the points of a surface show.

A network that regresses every vertex averages over what it is not sure of: a limb that may point two ways comes out
thin and short. So the vertices of such a network are those of a body of predicted shape whose bones have the rotations
that its points show: the limbs have the thickness of the shape, wherever they point.

The rotation of bone b comes from two linear functions of the points: estimates of two of its axes, f₁ (along the bone)
and f₂ (across), made orthonormal by Gram–Schmidt. A linear function commutes with a rotation of all points, and its
weights are fitted by ridge regression to posed bodies.

Letters: `V` vertices, `B` bones, `S` shape components, `R` points. Frame of the mean body: that of the body model, with
the head of the root bone as origin. Imports no PyTorch: bundles are read without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import bone_chains

Floats: TypeAlias = NDArray[np.floating]

# Relative to the mean square of the points. From the points of the light network, rotations are 2.1 degrees off with
# this ridge and 1.8 with a tenth of it; larger ones amplify errors of the points less.
READOUT_RIDGE = 1e-4


@dataclass(frozen=True)
class SkinnedBody:
    """Arrays of the body, float32 but for the indices.

    Attributes:
        parents: (B,) parent of each bone, before the bone itself; −1 for the root.
        vertices: (V, 3) of the mean body at rest, metres.
        vertex_shapes: (S, V, 3) displacement of the vertices by a shape coefficient of one.
        heads: (B, 3) heads of the bones at rest.
        head_shapes: (S, B, 3) their displacement by a shape coefficient of one.
        weights: (V, B) skinning weights; rows sum to one.
        axes: (B, 3, 3) orthonormal axes of the bones at rest as columns: along the bone, across, and the third.
        readout: (2 B, R) weights of the points in f₁ of all bones, then f₂ of all bones.
        phenotypes: (S + 1, 6) from the shape coefficients and a one to the body model's own parameters, least squares.
    """

    parents: NDArray[np.int64]
    vertices: Floats
    vertex_shapes: Floats
    heads: Floats
    head_shapes: Floats
    weights: Floats
    axes: Floats
    readout: Floats
    phenotypes: Floats

    def chains(self) -> Floats:
        """(B, B) `bone_chains` of the bones: the sum of the offsets of a bone's chain is its head."""
        return bone_chains(self.parents.tolist())


def skinned_arrays(body: SkinnedBody) -> dict[str, np.ndarray]:
    """The body as arrays of a bundle, the large ones in float16; `read_skinned_body` is the inverse."""
    most = int((body.weights > 0).sum(1).max())
    bones = np.argsort(-body.weights, axis=1, kind="stable")[:, :most]
    single = ("heads", "head_shapes", "axes", "readout", "phenotypes")
    return {
        "parents": body.parents.astype(np.int32),
        "vertices": body.vertices.astype(np.float32),
        "vertex_shapes": body.vertex_shapes.astype(np.float16),
        "bones": bones.astype(np.uint8),
        "weights": np.take_along_axis(body.weights, bones, 1).astype(np.float16),
        **{name: getattr(body, name).astype(np.float32) for name in single},
    }


def read_skinned_body(arrays: dict[str, np.ndarray]) -> SkinnedBody:
    """The inverse of `skinned_arrays`.

    Raises:
        KeyError, IndexError, ValueError: arrays are missing or do not fit each other.
    """
    weights = np.zeros((len(arrays["vertices"]), len(arrays["parents"])), np.float32)
    np.put_along_axis(weights, arrays["bones"].astype(np.int64), arrays["weights"].astype(np.float32), 1)
    weights /= weights.sum(1, keepdims=True)  # rounding to float16 changed the sums
    names = ("vertices", "vertex_shapes", "heads", "head_shapes", "axes", "readout", "phenotypes")
    singles = {name: arrays[name].astype(np.float32) for name in names}
    return SkinnedBody(parents=arrays["parents"].astype(np.int64), weights=weights, **singles)


def bone_axes(parents: NDArray[np.int64], heads: Floats, vertices: Floats, weights: Floats) -> Floats:
    """(B, 3, 3) axes of each bone at rest, as columns; arguments as in `SkinnedBody`.

    A bone points to the mean of its children's heads, one without children to the mean of its vertices. The axis across
    is the coordinate axis that is farthest from it, made perpendicular.
    """
    axes = np.empty((len(parents), 3, 3))
    for bone, head in enumerate(heads):
        children = np.flatnonzero(parents == bone)
        end = heads[children].mean(0) if len(children) else weights[:, bone] @ vertices / weights[:, bone].sum()
        along = (end - head) / np.linalg.norm(end - head)
        across = np.eye(3)[np.abs(along).argmin()]
        across -= (across @ along) * along
        across /= np.linalg.norm(across)
        axes[bone] = np.stack((along, across, np.cross(along, across)), axis=1)
    return axes.astype(np.float32)


def fit_readout(points: Floats, rotations: Floats, axes: Floats, ridge: float = READOUT_RIDGE) -> Floats:
    """Weights (2 B, R) of the points in the estimates of two axes of each bone.

    Args:
        points: (N, R, 3) points of posed bodies, relative to the root joint, metres.
        rotations: (N, B, 3, 3) of their bones from rest.
        axes: (B, 3, 3) see `bone_axes`.
        ridge: See `READOUT_RIDGE`.
    """
    N, R, _ = points.shape
    inputs = points.astype(np.float64).transpose(0, 2, 1).reshape(3 * N, R)
    goals = (rotations.astype(np.float64) @ axes)[..., :2]  # (N, B, 3, 2)
    goals = goals.transpose(0, 2, 3, 1).reshape(3 * N, -1)
    gram = inputs.T @ inputs
    gram += ridge * np.trace(gram) / R * np.eye(R)
    return np.linalg.solve(gram, inputs.T @ goals).T.astype(np.float32)
