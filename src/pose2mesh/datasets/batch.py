"""A batch of samples: 2D input and 3D ground truth in one form for all data, on the device of the networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pose2mesh.skeletons import JointSet


@dataclass(frozen=True)
class Batch:
    """Samples: one person each, with 2D input and 3D ground truth.

    3D is in metres, relative to the root joint, in the axes of a camera that points straight at the person (`to_ray`
    rotates the image's camera to it): a normalised 2D pose does not contain the place of the person in the image.

    Attributes:
        joints_px: (B, J, 2) input joints; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        joints: (B, J, 3) true joints.
        points: (B, R, 3) true points of the surface that MeshNet predicts, or None where only joints are needed.
        joints_valid: (B, J) which joints have a 3D label.
        surface_valid: (B,) which samples have a true surface.
        to_ray: (B, 3, 3) rotation from the image's camera axes to those above.
        shape: (B, S) coefficients of the body's shape (`body_models.shape_basis`), or None where they are not needed.
    """

    joints_px: Tensor
    confidence: Tensor
    joints: Tensor
    points: Tensor | None
    joints_valid: Tensor
    surface_valid: Tensor
    to_ray: Tensor
    shape: Tensor | None = None


def slice_batch(batch: Batch, samples: slice) -> Batch:
    """Some samples of a batch."""
    return replace(batch, **{name: value[samples] for name, value in _tensors(batch).items()})


def join_batches(parts: Sequence[Batch], places: Tensor) -> Batch:
    """Join batches; `places` (B,) are the positions in the result of the samples of all parts, one after the other."""
    order = torch.argsort(places)
    columns = [_tensors(part) for part in parts]
    return replace(parts[0], **{name: torch.cat([part[name] for part in columns])[order] for name in columns[0]})


def mirror_batch(batch: Batch, joint_set: JointSet, mirrored: Tensor) -> Batch:
    """Mirror the samples that `mirrored` (B,) marks, left and right exchanged; for joints alone.

    A mesh cannot be mirrored by exchanging its vertices: the result has no points.
    """
    across = batch.joints.new_tensor([-1.0, 1.0, 1.0])
    flip = joint_set.flip_permutation
    image = replace(
        batch,
        joints_px=batch.joints_px[:, flip] * across[:2],
        confidence=batch.confidence[:, flip],
        joints=batch.joints[:, flip] * across,
        joints_valid=batch.joints_valid[:, flip],
        to_ray=batch.to_ray * across * across[:, None],
        points=None,
    )
    old, new = _tensors(replace(batch, points=None)), _tensors(image)
    return replace(
        image,
        **{name: torch.where(mirrored.reshape(-1, *[1] * (old[name].ndim - 1)), new[name], old[name]) for name in old},
    )


def _tensors(batch: Batch) -> dict[str, Tensor]:
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}
