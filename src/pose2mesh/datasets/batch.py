"""The common sample: what any data set gives the networks, as a batch on the device where the networks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pose2mesh.skeletons import JointSet


@dataclass(frozen=True)
class Batch:
    """People with their 2D input and their 3D truth.

    3D is in metres, relative to the root joint, in the axes of a camera that looks straight at the person (`to_ray`
    turns the picture's camera to it): a network that sees only a normalised 2D pose cannot know where in the picture
    it stood.

    Attributes:
        joints_px: (B, J, 2) input joints; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        joints: (B, J, 3) true joints.
        points: (B, R, 3) true points of the surface that MeshNet predicts, or None where only joints are wanted.
        joints_valid: (B, J) which joints have a 3D label.
        surface_valid: (B,) which people have a true surface.
        to_ray: (B, 3, 3) from the picture's camera axes to those above.
    """

    joints_px: Tensor
    confidence: Tensor
    joints: Tensor
    points: Tensor | None
    joints_valid: Tensor
    surface_valid: Tensor
    to_ray: Tensor


def slice_batch(batch: Batch, people: slice) -> Batch:
    """Some of the people of a batch."""
    return replace(batch, **{name: value[people] for name, value in _tensors(batch).items()})


def join_batches(parts: Sequence[Batch], places: Tensor) -> Batch:
    """One batch of several, in which the people of the parts, one after the other, come to `places` (B,)."""
    order = torch.argsort(places)
    columns = [_tensors(part) for part in parts]
    return replace(parts[0], **{name: torch.cat([part[name] for part in columns])[order] for name in columns[0]})


def mirror_batch(batch: Batch, joint_set: JointSet, who: Tensor) -> Batch:
    """The people that `who` (B,) marks as in a mirror, left and right exchanged; for joints alone.

    A mesh is not mirrored by exchanging its vertices: it has no points here.
    """
    across = batch.joints.new_tensor([-1.0, 1.0, 1.0])
    flip = joint_set.flip_permutation
    mirrored = replace(
        batch,
        joints_px=batch.joints_px[:, flip] * across[:2],
        confidence=batch.confidence[:, flip],
        joints=batch.joints[:, flip] * across,
        joints_valid=batch.joints_valid[:, flip],
        to_ray=batch.to_ray * across * across[:, None],
        points=None,
    )
    old, new = _tensors(replace(batch, points=None)), _tensors(mirrored)
    return replace(
        mirrored,
        **{name: torch.where(who.reshape(-1, *[1] * (old[name].ndim - 1)), new[name], old[name]) for name in old},
    )


def _tensors(batch: Batch) -> dict[str, Tensor]:
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}
