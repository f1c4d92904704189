"""Augmentation of clip poses in rotations relative to the parent: limbs of several frames, Gaussian or heavy tails."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.geometry.rotations import rotation_from_quaternion

# The frame that each bone is taken from when limbs are combined: 0 the hips, trunk and head, 1 to 4 the limbs.
_LIMB_OF_BONE = [
    next(
        (
            2 * ("Right" in name) + upper + 1
            for upper, bones in enumerate((("UpLeg", "Leg", "Foot", "ToeBase"), ("Shoulder", "Arm", "ForeArm", "Hand")))
            if name.removeprefix("Left").removeprefix("Right") in bones
        ),
        0,
    )
    for name in BODY_BONES
]
_UPPER = [index >= BODY_BONES.index("Spine") for index in range(len(BODY_BONES))]
# The longest tail of a perturbation, in standard deviations' multiples.
_LARGEST_SCALE = 4.0


def bone_frames(picked: Tensor, recombined: Tensor, mixed: Tensor) -> Tensor:
    """(B, 22) the frame that each bone of a pose comes from, in rotations relative to the parent.

    Args:
        picked: (B, 5) frame numbers: of trunk and head, left leg, left arm, right leg, right arm.
        recombined: (B,) the upper body comes from the second frame, hips and legs from the first.
        mixed: (B,) each limb comes from its own frame. Elsewhere all bones come from the first frame.
    """
    limb = torch.tensor(_LIMB_OF_BONE, device=picked.device)
    upper = torch.tensor(_UPPER, device=picked.device)
    first, second = picked[:, :1], picked[:, 1:2]
    halves = torch.where(upper & recombined[:, None], second, first)
    return torch.where(mixed[:, None], picked[:, limb], halves)


def perturbation(count: int, spread_rad: float, tails: Tensor, generator: torch.Generator) -> Tensor:
    """Random rotations (count, 22, 3, 3): Gaussian, or with Student-t tails of four degrees of freedom.

    Args:
        count: Number of poses, B.
        spread_rad: Standard deviation of each component of the Gaussian.
        tails: (B,) which poses have the heavy tails: a bone in a hundred moves by more than 3.4 times as much.
        generator: All randomness.
    """
    vectors = spread_rad * torch.randn(count, len(BODY_BONES), 3, generator=generator, device=generator.device)
    # A χ² of four degrees of freedom is the sum of two exponentials: no gamma sampler is needed.
    first, second = torch.rand(2, count, len(BODY_BONES), generator=generator, device=generator.device)
    scale = (-0.5 * (first * second).clamp_min(1e-12).log()).rsqrt().clamp_max(_LARGEST_SCALE)
    vectors = vectors * torch.where(tails[:, None], scale, torch.ones_like(scale))[..., None]
    # The rotation by 2 atan(|v| / 2) about v, nearly |v| where it is small: cheaper than the exponential.
    return rotation_from_quaternion(torch.cat((torch.ones_like(vectors[..., :1]), vectors / 2), dim=-1))
