"""Points of the template body in a pose, from the lengths of its bones: centre of mass, contact with a floor, overlap.

A point is a place along a bone. Its position is linear in the rotations of the bones, so that all points of a batch
are one matrix product; no body model is needed. Positions are in metres, relative to the head of the hips.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES

# From the head of the parent to the head of the bone in the template, metres, where that is not the parent's way to
# its tail; the right side mirrors the left.
_BRANCHES: dict[str, tuple[float, float, float]] = {
    "LeftUpLeg": (0.1002, 0.0114, -0.0404),
    "LeftShoulder": (0.0568, -0.0350, 0.1384),
    "Neck": (0.0, -0.0266, 0.1696),
}

# Spheres that touch a floor: (bone, place along it from 0 at its head to 1 at its tail, radius in metres).
_SURFACE: tuple[tuple[str, float, float], ...] = (
    ("Hips", 0.0, 0.10), ("Spine", 0.5, 0.10), ("Spine1", 0.8, 0.11), ("Spine2", 0.6, 0.11), ("Neck", 0.5, 0.06),
    ("Head", 0.35, 0.09), ("Head", 0.65, 0.09),
    ("LeftUpLeg", 0.0, 0.10), ("LeftUpLeg", 0.4, 0.08), ("LeftLeg", 0.0, 0.06), ("LeftLeg", 0.4, 0.05),
    ("LeftFoot", -0.3, 0.03), ("LeftFoot", 0.0, 0.045), ("LeftFoot", 1.0, 0.02), ("LeftToeBase", 1.0, 0.015),
    ("LeftArm", 0.0, 0.055), ("LeftForeArm", 0.0, 0.04), ("LeftHand", 0.0, 0.03), ("LeftHand", 1.5, 0.02),
)  # fmt: skip
# Mass of the segments as shares of the body's, after the table of de Leva 1996; (bone, place along it, share).
_MASS: tuple[tuple[str, float, float], ...] = (
    ("Hips", 0.5, 0.112), ("Spine1", 0.5, 0.163), ("Spine2", 0.6, 0.160), ("Head", 0.4, 0.069),
    ("LeftUpLeg", 0.41, 0.1416), ("LeftLeg", 0.44, 0.0433), ("LeftFoot", 0.4, 0.0137),
    ("LeftArm", 0.5, 0.0271), ("LeftForeArm", 0.45, 0.0162), ("LeftHand", 0.8, 0.0061),
)  # fmt: skip
# Places on the limbs and the trunk whose distances show that a limb is inside another, with radii less than those of a
# body: flesh gives way, and the limbs of many bodies are thinner.
_LEG: tuple[tuple[str, float, float], ...] = (
    ("LeftUpLeg", 0.4, 0.055), ("LeftUpLeg", 0.7, 0.05), ("LeftLeg", 0.0, 0.045), ("LeftLeg", 0.3, 0.04),
    ("LeftLeg", 0.6, 0.035), ("LeftFoot", 0.0, 0.03), ("LeftFoot", 0.7, 0.03),
)  # fmt: skip
_ARM: tuple[tuple[str, float, float], ...] = (
    ("LeftForeArm", 0.0, 0.03), ("LeftForeArm", 0.4, 0.025), ("LeftForeArm", 0.8, 0.02), ("LeftHand", 0.5, 0.015),
)  # fmt: skip
_TRUNK: tuple[tuple[str, float, float], ...] = (
    ("Hips", 0.0, 0.08), ("Spine", 0.3, 0.08), ("Spine1", 0.3, 0.08), ("Spine2", 0.1, 0.09), ("Spine2", 0.6, 0.08),
    ("Neck", 0.5, 0.045), ("Head", 0.45, 0.075),
)  # fmt: skip


def both_sides(places: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The places, and those of the left side once more on the right."""
    right = [(name.replace("Left", "Right"), *rest) for name, *rest in places if name.startswith("Left")]
    return [*places, *right]  # type: ignore[list-item]


def point_matrix(places: Sequence[tuple[str, float, float]]) -> Tensor:
    """(66, S) matrix of `positions` for S places along bones; their third value is not used."""
    matrix = torch.zeros(len(places), len(BODY_BONES), 3)
    for row, (name, along, _) in enumerate(places):
        bone = BODY_BONES.index(name)
        matrix[row, bone] += along * torch.tensor(TEMPLATE_BONES[name])
        while PARENTS[bone] >= 0:
            matrix[row, PARENTS[bone]] += torch.tensor(_offset(bone))
            bone = PARENTS[bone]
    return matrix.flatten(1).T.contiguous()


def positions(pose: Tensor, matrix: Tensor) -> Tensor:
    """Positions (B, 3, S) of the points of `point_matrix` in poses (B, 22, 3, 3)."""
    return pose.transpose(1, 2).flatten(2) @ matrix


def centre_of_mass(pose: Tensor) -> Tensor:
    """(B, 3) of poses (B, 22, 3, 3)."""
    return pose.transpose(1, 2).flatten(2) @ _mass_vector(pose.device)


def surface_spheres(pose: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (B, 3, S) and radii (S,) of spheres that stand for the surface of the body, for poses (B, 22, 3, 3)."""
    matrix, radii = _spheres("surface", pose.device)
    return positions(pose, matrix), radii


def overlaps(pose: Tensor) -> Tensor:
    """(B,) whether a leg is inside the other, or a forearm inside trunk, head or a thigh, for poses (B, 22, 3, 3)."""
    parts = [_spheres(part, pose.device) for part in ("leg", "other_leg", "arms", "trunk")]
    sizes = [len(radii) for _, radii in parts]
    at = positions(pose, torch.cat([matrix for matrix, _ in parts], dim=1))
    leg, other_leg, arms, trunk = at.mT.split(sizes, dim=1)
    radii = [radius for _, radius in parts]
    legs_meet = _meet(leg, radii[0], other_leg, radii[1])
    body = torch.cat([trunk, leg[:, :2], other_leg[:, :2]], dim=1)
    return legs_meet | _meet(arms, radii[2], body, torch.cat([radii[3], radii[0][:2], radii[1][:2]]))


def _meet(first: Tensor, first_radii: Tensor, second: Tensor, second_radii: Tensor) -> Tensor:
    """(B,) whether any sphere of the first set reaches into one of the second; centres (B, S, 3), radii (S,)."""
    least = first_radii[:, None] + second_radii
    # |a|² + |b|² − 2 a·b: a product of matrices instead of a difference for each pair and axis.
    lengths = first.square().sum(-1)[:, :, None] + second.square().sum(-1)[:, None]
    return (lengths - 2 * first @ second.mT < least.square()).flatten(1).any(1)


def _offset(bone: int) -> tuple[float, float, float]:
    """From the head of a bone's parent to its own head, in the template."""
    name = BODY_BONES[bone]
    if name in _BRANCHES:
        return _BRANCHES[name]
    left = name.replace("Right", "Left")
    if left in _BRANCHES:
        x, y, z = _BRANCHES[left]
        return -x, y, z
    return TEMPLATE_BONES[BODY_BONES[PARENTS[bone]]]


@cache
def _spheres(part: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """The matrix (66, S) and the radii (S,) of a set of spheres."""
    places = {
        "surface": both_sides(_SURFACE),
        "leg": list(_LEG),
        "other_leg": both_sides(_LEG)[len(_LEG) :],
        "arms": both_sides(_ARM),
        "trunk": list(_TRUNK),
    }[part]
    return point_matrix(places).to(device), torch.tensor([radius for *_, radius in places], device=device)


@cache
def _mass_vector(device: torch.device) -> Tensor:
    """(66,) the mean of the places of `_MASS`, weighted by mass."""
    places = both_sides(_MASS)
    mass = torch.tensor([share for *_, share in places])
    return (point_matrix(places) @ (mass / mass.sum())).to(device)
