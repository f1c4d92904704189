"""Poses as trees of rotations: relative to the parent or to the world, mirrored, recombined, random.

A pose is (22, 3, 3): the world rotation of each body bone from the mean body's rest pose
(`body_models.bones.BODY_BONES`; z up, facing −y, arms half lowered), the identity for a body at rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, MIRROR, PARENTS
from pose2mesh.geometry.rotations import rotation_from_quaternion

_UPPER = [index for index in range(len(BODY_BONES)) if index >= BODY_BONES.index("Spine")]


def to_local(pose: Tensor) -> Tensor:
    """World rotations (B, 22, 3, 3) to rotations relative to each bone's parent (the hips': to the world)."""
    local = pose.clone()
    local[:, 1:] = pose[:, list(PARENTS[1:])].mT @ pose[:, 1:]
    return local


def to_world(local: Tensor) -> Tensor:
    """The inverse of `to_local`."""
    # The batch is the last axis: a product of 3×3 matrices is then 27 operations on long vectors, faster than `bmm`.
    world = list(local.permute(1, 2, 3, 0).contiguous())
    for bone, parent in enumerate(PARENTS[1:], start=1):
        above, turn = world[parent], world[bone]
        world[bone] = above[:, :1] * turn[:1] + above[:, 1:2] * turn[1:2] + above[:, 2:] * turn[2:]
    return torch.stack(world).permute(3, 0, 1, 2).contiguous()


def mirror(pose: Tensor) -> Tensor:
    """Mirror a pose across the body's x axis, with the sides exchanged. (B, 22, 3, 3) → the same."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=pose.device)
    return pose[:, list(MIRROR)] * (flip[:, None] * flip)


def recombine(legs: Tensor, upper: Tensor) -> Tensor:
    """The hips and legs of one pose under the spine, arms and head of another, which turn with the new hips."""
    pose = legs.clone()
    pose[:, _UPPER] = (legs[:, :1] @ upper[:, :1].mT) @ upper[:, _UPPER]
    return pose


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Uniform random rotations (count, 3, 3), from normal quaternions."""
    return rotation_from_quaternion(torch.randn(count, 4, generator=generator, device=generator.device))
