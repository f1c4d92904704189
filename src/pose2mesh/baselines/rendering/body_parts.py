"""Twelve body parts and their segmentation maps."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX, MAP_PX, PARTS
from pose2mesh.baselines.rendering.visibility import Visibility
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel

_OF_A_SIDE = ("upper_arm", "forearm", "thigh", "shank", "foot")
PART_NAMES = ("head", "torso", *(f"{side}_{part}" for part in _OF_A_SIDE for side in ("left", "right")))
# `maps[:, FLIPPED_PARTS]` swaps left and right parts.
FLIPPED_PARTS = (0, 1, *(2 + (index ^ 1) for index in range(PARTS - 2)))

# Hands count as forearms, the neck as head and the shoulders as torso.
_PART_OF_BONE = {
    "Neck": "head", "Head": "head", "Arm": "upper_arm", "ForeArm": "forearm", "Hand": "forearm",
    "UpLeg": "thigh", "Leg": "shank", "Foot": "foot", "ToeBase": "foot",
}  # fmt: skip


def part_of_bone(bone: str) -> int:
    """Index into `PART_NAMES` of a bone of `BODY_BONES`."""
    side = next((side for side in ("Left", "Right") if bone.startswith(side)), "")
    part = _PART_OF_BONE.get(bone.removeprefix(side), "torso")
    return PART_NAMES.index(f"{side.lower()}_{part}" if part in _OF_A_SIDE else part)


def vertex_parts(body: BodyModel) -> Tensor:
    """Skinning weight (V, PARTS) of each vertex summed over the bones of each part; rows sum to one."""
    weights = body.body_bone_weights()
    part = torch.tensor([part_of_bone(bone) for bone in BODY_BONES])
    return weights.new_zeros(len(weights), PARTS).index_add_(1, part, weights)


def face_parts(body: BodyModel) -> Tensor:
    """Part (F,) of each face: the one with the largest skinning weight over its corners."""
    return vertex_parts(body)[body.faces].sum(1).argmax(1)


def label_image(view: Visibility, parts: Tensor) -> Tensor:
    """Part label (B, CROP_PX, CROP_PX) of each pixel, int8, −1 for background; `parts` (F,) is that of each face."""
    labels = torch.full((view.count * CROP_PX**2,), -1, dtype=torch.int8)
    labels[view.place] = parts[view.face].to(torch.int8)
    return labels.reshape(view.count, CROP_PX, CROP_PX)


def share_maps(labels: Tensor, classes: int) -> Tensor:
    """Downsample labels (B, CROP_PX, CROP_PX), −1 for none, to class shares (B, classes, MAP_PX, MAP_PX) in [0, 1]."""
    count, shrink = len(labels), CROP_PX // MAP_PX
    place = (labels.flatten() >= 0).nonzero()[:, 0]
    label = labels.flatten()[place].long()
    row, column = place // CROP_PX % CROP_PX // shrink, place % CROP_PX // shrink
    place = ((place // CROP_PX**2 * classes + label) * MAP_PX + row) * MAP_PX + column
    shares = torch.bincount(place, minlength=count * classes * MAP_PX**2).float() / shrink**2
    return shares.reshape(count, classes, MAP_PX, MAP_PX)
