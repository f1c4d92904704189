"""Quality of predicted surfaces beside the true ones: thickness of the limbs, lengths of edges, self-intersection.

Mean distances of vertices say little about these: a forearm that shrinks to a needle on its axis moves by 3 cm. The
limbs are upper arms, forearms, thighs and shanks. The part of a limb that is measured is fixed on the body at rest: the
vertices that its bone moves more than any other does, in the middle third between its two joints.

Letters: `B` bodies, `V` vertices, `E` edges, `L` = 8 limbs. Metres, any frame.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.evaluation.robustness.plausibility import DEEP_MM
from pose2mesh.evaluation.robustness.self_intersection import Capsules
from pose2mesh.skeletons import SMPL

Floats: TypeAlias = NDArray[np.floating]

# Name of the limb → its bone, the joint at the bone's head and the one at its end; without the side.
_BONES = {
    "upper_arm": ("Arm", "shoulder", "elbow"),
    "forearm": ("ForeArm", "elbow", "wrist"),
    "thigh": ("UpLeg", "hip", "knee"),
    "shank": ("Leg", "knee", "ankle"),
}
LIMBS: tuple[str, ...] = tuple(f"{side}_{limb}" for side in ("left", "right") for limb in _BONES)
THIN, THINNEST = 0.7, 0.5  # parts of the true thickness under which a limb counts as thin
_CHUNK_EDGES = 2048  # so few that their ends stay in the cache, which halves the time
_SHORT = 0.5  # part of the true length under which an edge counts as short

# Names of the measures of a body.
SURFACE_MEASURES = (
    "limb_radius", "limb_narrow", "edge_error", "short_edges", "self_intersection", "true_self_intersection",
)  # fmt: skip


class LimbSections(NamedTuple):
    """Size of the middle third of each limb, across its axis.

    Attributes:
        radius_m: (B, L) mean distance of its vertices from the axis.
        narrow_m: (B, L) standard deviation of the vertices along the narrower of the two principal directions of the
            section. A limb that is flattened to a ribbon keeps 64% of its mean radius, but nothing of this.
    """

    radius_m: NDArray[np.float64]
    narrow_m: NDArray[np.float64]


class SurfaceMeter:
    """Measures surfaces of a body model; the measured parts are fixed on the body at rest.

    Args:
        body: The body model.
    """

    def __init__(self, body: BodyModel) -> None:
        rest = body.template.cpu().numpy()
        self._regressor = sp.csr_array(body.regressor(SMPL).numpy())
        joints = self._regressor @ rest
        owner = body.body_bone_weights().argmax(1).cpu().numpy()
        self._ends, self.parts = [], list[NDArray[np.intp]]()
        for name in LIMBS:
            side, _, limb = name.partition("_")
            bone, *ends = _BONES[limb]
            start, stop = (SMPL.index(f"{side}_{end}") for end in ends)
            along = joints[stop] - joints[start]
            place = (rest - joints[start]) @ along / (along @ along)
            own = owner == BODY_BONES.index(side.capitalize() + bone)
            self.parts.append(np.flatnonzero(own & (place > 1 / 3) & (place < 2 / 3)))
            self._ends.append((start, stop))
        self.edges = torch.from_numpy(edges_of(body.faces.cpu().numpy()))
        self._capsules = Capsules(SMPL, joints, rest)

    def __call__(self, predicted: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Measures of each body by name, for vertices (B, V, 3) of predictions and of ground truth, on the CPU.

        Returns:
            `limb_radius`, `limb_narrow`: (B, L) `LimbSections` of the prediction as parts of the true ones.
            `edge_error`: (B,) mean difference of the lengths of edges, metres. `short_edges`: (B,) share of edges
            shorter than half of their true length. `self_intersection`, `true_self_intersection`: (B,) 1 where two
            parts of the body overlap by more than 2 cm, else 0.
        """
        joints, true_joints = self.joints(predicted), self.joints(true)
        sections = self.sections(predicted.numpy(), joints)
        true_sections = self.sections(true.numpy(), true_joints)
        lengths, true_lengths = (edge_lengths(vertices, self.edges) for vertices in (predicted, true))
        return {
            "limb_radius": torch.from_numpy(sections.radius_m / true_sections.radius_m),
            "limb_narrow": torch.from_numpy(sections.narrow_m / true_sections.narrow_m),
            "edge_error": (lengths - true_lengths).abs_().mean(0),
            "short_edges": (lengths < _SHORT * true_lengths).float().mean(0),
            "self_intersection": self._intersecting(joints, predicted.numpy()),
            "true_self_intersection": self._intersecting(true_joints, true.numpy()),
        }

    def joints(self, vertices: Tensor) -> NDArray[np.float32]:
        """SMPL's 24 joints (B, 24, 3), regressed from vertices (B, V, 3), whatever joints the model predicts."""
        B, V, _ = vertices.shape
        stacked = vertices.permute(1, 2, 0).reshape(V, 3 * B).numpy()
        return np.asarray(self._regressor @ stacked, np.float32).reshape(-1, 3, B).transpose(2, 0, 1)

    def sections(self, vertices: Floats, joints: Floats) -> LimbSections:
        """Sections of the limbs of vertices (B, V, 3) with joints (B, 24, 3).

        The axis of a limb is parallel to the line between its two joints, through the mean of the measured vertices:
        bent joints move the ends of that line by some millimetres, which alters distances from it by up to 3%, and
        those from its parallel by 0.4% (3% in upper arms, whose skin the shoulder moves).
        """
        radius_m, narrow_m = np.empty((2, len(vertices), len(LIMBS)))
        for limb, ((start, stop), part) in enumerate(zip(self._ends, self.parts, strict=True)):
            along = (joints[:, stop] - joints[:, start]).astype(np.float64)
            along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
            across = vertices[:, part].astype(np.float64)
            across -= across.mean(1, keepdims=True)
            across -= np.einsum("bnc,bc->bn", across, along)[..., None] * along[:, None]
            radius_m[:, limb] = np.linalg.norm(across, axis=-1).mean(1)
            # Of the three eigenvalues, in rising order, the first is zero: it is that along the axis.
            spread = np.linalg.eigvalsh(across.transpose(0, 2, 1) @ across / len(part))
            narrow_m[:, limb] = np.sqrt(np.maximum(spread[:, 1], 0))
        return LimbSections(radius_m, narrow_m)

    def _intersecting(self, joints: Floats, vertices: Floats) -> Tensor:
        return torch.from_numpy(self._capsules.depth_mm(joints, vertices).max(1) > DEEP_MM).float()


def edges_of(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """The edges (E, 2) of triangles (F, 3), each once."""
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(sides, axis=1), axis=0).astype(np.int64)


def edge_lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """Lengths (E, B) of edges (E, 2) of vertices (B, V, 3)."""
    by_vertex = vertices.permute(1, 2, 0).contiguous()
    lengths = []
    for starts, stops in zip(edges[:, 0].split(_CHUNK_EDGES), edges[:, 1].split(_CHUNK_EDGES), strict=True):
        difference = by_vertex[starts] - by_vertex[stops]
        lengths.append(difference.square_().sum(1).sqrt_())
    return torch.cat(lengths)


def summarise_surfaces(values: dict[str, Tensor]) -> dict[str, float]:
    """Figures of the report from the measures of `SurfaceMeter` on all bodies.

    Returns:
        `limb_radius_median`: the median over limbs and bodies of predicted by true radius. `thin_limbs_70`,
        `thin_limbs_50`: shares of bodies with a limb under 0.7 and under 0.5 of its true radius. `limb_narrow_median`,
        `flat_limbs_70`, `flat_limbs_50`: likewise of the narrower extent of the section. `edge_error_mm`: mean error of
        the lengths of edges. `short_edges`, `self_intersection`, `true_self_intersection`: means.
    """
    figures = {}
    for measure, shares in (("radius", "thin"), ("narrow", "flat")):
        ratios = values[f"limb_{measure}"]
        figures[f"limb_{measure}_median"] = float(ratios.median())
        for limit in (THIN, THINNEST):
            # Not `ratios < limit`: a prediction that is not a number has no thickness.
            share = (~(ratios >= limit)).any(1).double().mean()
            figures[f"{shares}_limbs_{100 * limit:.0f}"] = float(share)
    figures["edge_error_mm"] = 1000 * float(values["edge_error"].mean())
    for name in ("short_edges", "self_intersection", "true_self_intersection"):
        figures[name] = float(values[name].mean())
    return figures
