"""Sampling weights of the frames of motion clips: by the length of their clip, or by how rare their pose is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES

_BONES = [
    BODY_BONES.index(name)
    for name in ("Spine2", "Head", *(s + b for s in ("Left", "Right") for b in ("UpLeg", "Leg", "Arm", "ForeArm")))
]
# Unit directions differ by about their angle in radians: in a neighbour eight limbs differ by some 15° each.
_RADIUS = 0.8
_REFERENCE_FRAMES = 6000
_LARGEST_RATIO = 30.0


def clip_weights(clips: Sequence[Clip]) -> Tensor:
    """(N,) sampling weight of each frame: a clip counts with the square root of its length.

    Neighbouring frames are alike, so a clip ten times as long does not hold ten times as many different poses.
    """
    return torch.cat([torch.full((len(clip),), len(clip) ** -0.5) for clip in clips])


def rarity_weights(frames: Tensor, exponent: float) -> Tensor:
    """(N,) sampling weight of each frame, density^−exponent, where the density counts the frames in poses like it.

    With exponent 1 every neighbourhood of poses is sampled about equally often, with 0 every frame. The weight of a
    frame is at most 30 times the median, so that no single frame is repeated over and over.

    Args:
        frames: (N, 22, 3, 3) poses; where there are many, densities are taken among 6,000 of them, evenly spaced.
        exponent: From 0 to 1.
    """
    features = pose_features(frames)
    reference = features[:: max(1, len(features) // _REFERENCE_FRAMES)]
    density = torch.cat(
        [torch.exp(-torch.cdist(part, reference).square() / (2 * _RADIUS**2)).mean(1) for part in features.split(2048)]
    )
    weights = density.clamp_min(1 / len(reference)) ** -exponent
    return weights.clamp_max(_LARGEST_RATIO * weights.median())


def pose_features(poses: Tensor) -> Tensor:
    """(N, 33) of poses (N, 22, 3, 3): the directions of ten bones and of the world's up axis, relative to the hips."""
    ways = torch.tensor([TEMPLATE_BONES[BODY_BONES[bone]] for bone in _BONES], device=poses.device)
    ways = torch.nn.functional.normalize(ways, dim=1)
    world = (poses[:, _BONES] @ ways[..., None])[..., 0]
    up = torch.tensor([0.0, 0.0, 1.0], device=poses.device).expand(len(poses), 1, 3)
    return (torch.cat((world, up), dim=1) @ poses[:, 0]).flatten(1)
