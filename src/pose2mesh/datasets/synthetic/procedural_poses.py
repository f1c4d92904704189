"""Poses sampled from the ranges of motion of the joints alone."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_limits import LARGEST_ELBOW_DEG, LIMITS_DEG, REST_ELBOW_DEG, across_elbow
from pose2mesh.datasets.synthetic.pose_tree import random_rotations, to_world
from pose2mesh.geometry.rotations import axis_rotation, rotation_from_vector

# Hips and knees of seated people: mean, and largest deviation either way.
_SEATED_DEG = {"LeftUpLeg": (-82.0, 22.0), "LeftLeg": (80.0, 30.0)}
_SEATED_SHARE = 0.12


def sample_procedural(count: int, generator: torch.Generator, tumble: float = 0.15) -> Tensor:
    """Sample plausible poses (count, 22, 3, 3) inside anatomical limits, without any file.

    Each angle has a triangular distribution between its limits, arms and elbows with more weight near rest; in half of
    the poses both legs are alike, as in standing or squatting, and some poses are seated.
    """
    device = generator.device
    local = torch.eye(3, device=device).repeat(count, len(BODY_BONES), 1, 1)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def bell(*shape: int) -> Tensor:
        """The mean of two uniforms on [0, 1], since joints are rarely at their limits."""
        return (uniform(*shape) + uniform(*shape)) / 2

    seated = uniform(count) < _SEATED_SHARE

    def sample_angles(name: str) -> Tensor:
        """(count, 3) rotation vectors of a joint about its limits' middle; hips and knees are mostly near straight."""
        low, high = torch.deg2rad(torch.tensor(LIMITS_DEG[name], device=device)).unbind(1)
        angles = low + (high - low) * bell(count, 3)
        if name in _SEATED_DEG:
            angles[:, 0] *= uniform(count).square()
            middle, reach = _SEATED_DEG[name]
            angles[:, 0] = torch.where(seated, torch.deg2rad(middle + reach * (2 * bell(count) - 1)), angles[:, 0])
        return angles

    for name in LIMITS_DEG:
        angles = sample_angles(name)
        local[:, BODY_BONES.index(name)] = rotation_from_vector(angles)
        if name.startswith("Left"):
            other = sample_angles(name)
            alike = (uniform(count) < 0.5)[:, None]
            other = torch.where(alike, angles + 0.1 * (bell(count, 3) - 0.5), other)
            right = BODY_BONES.index(name.replace("Left", "Right"))
            local[:, right] = rotation_from_vector(other * torch.tensor([1.0, -1.0, -1.0], device=device))

    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        # Raise about y (0: as at rest, arms 45° down), swing forwards about z, twist about the arm.
        raise_rad = torch.deg2rad(-50 + 185 * bell(count).pow(1.6)) * -sign
        swing_rad = torch.deg2rad(-25 + 125 * bell(count)) * -sign
        twist_rad = torch.deg2rad(-70 + 140 * bell(count))
        arm = torch.tensor([0.75 * sign, 0.0, -0.66], device=device)
        twist = rotation_from_vector(twist_rad[:, None] * arm)
        local[:, BODY_BONES.index(f"{side}Arm")] = axis_rotation(2, swing_rad) @ axis_rotation(1, raise_rad) @ twist
        # The elbow bends the forearm to the front, about the axis across the arm; at rest it is bent already.
        across = torch.tensor(across_elbow(sign), device=device)
        bend = torch.deg2rad(LARGEST_ELBOW_DEG * uniform(count).pow(1.5) - REST_ELBOW_DEG)
        local[:, BODY_BONES.index(f"{side}ForeArm")] = rotation_from_vector(-bend[:, None] * across)
        hand = torch.deg2rad(torch.tensor([30.0, 25.0, 30.0], device=device)) * (2 * bell(count, 3) - 1)
        local[:, BODY_BONES.index(f"{side}Hand")] = rotation_from_vector(hand)

    tilt = 0.35 * torch.randn(count, 2, generator=generator, device=device) * uniform(count, 1)
    upright = axis_rotation(0, tilt[:, 0]) @ axis_rotation(1, tilt[:, 1])
    free = random_rotations(count, generator)
    local[:, 0] = torch.where((uniform(count) < tumble)[:, None, None], free, upright)
    return to_world(local)
