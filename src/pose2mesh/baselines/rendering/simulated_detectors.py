"""What detectors would make of a picture: part maps, silhouettes and landmarks with the errors that real ones have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pose2mesh.baselines.common.landmarks import MIRROR
from pose2mesh.baselines.observation import CROP_PX, MAP_PX, PARTS
from pose2mesh.baselines.rendering.body_parts import FLIPPED_PARTS, PART_NAMES, share_maps
from pose2mesh.baselines.rendering.camera_degradations import soften
from pose2mesh.datasets.synthetic.detection_noise import person_area

_WOBBLES = 128  # ways in which boundaries can be wrong
_WOBBLE_PX = 2.5  # spread of the largest shifts of a boundary
_BLOBS = 2  # places in the background taken for the person, and places on the person taken for background, at most
_NEXT = {"upper_arm": "forearm", "forearm": "upper_arm", "thigh": "shank", "shank": "thigh", "foot": "shank"}


class Segmenter:
    """Sees which pixels show a person, and which part of one, with errors."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        fields = torch.randn(_WOBBLES, 2, CROP_PX // 12, CROP_PX // 12, generator=generator)
        strength = _WOBBLE_PX * torch.rand(_WOBBLES, 1, 1, 1, generator=generator)
        shift = (interpolate(fields, CROP_PX, mode="bilinear") * strength).round_().long()
        place = torch.arange(CROP_PX)
        row = (place[:, None] + shift[:, 0]).clamp_(0, CROP_PX - 1)
        column = (place + shift[:, 1]).clamp_(0, CROP_PX - 1)
        self._moved_from = (row * CROP_PX + column).flatten(1)

    def parts(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Part maps (B, PARTS, MAP_PX, MAP_PX) that it gives for true labels (B, CROP_PX, CROP_PX).

        Boundaries wobble and blur; limbs change sides, or are taken for their neighbour or for background; bits of the
        background are taken for a part; confidence is less than one and differs from place to place.
        """
        taken_for = _confused_parts(len(labels), generator)
        return self._maps(labels, taken_for, PARTS, generator)

    def person(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Silhouettes (B, MAP_PX, MAP_PX) likewise: limbs are lost more rarely, and none changes sides."""
        lost = torch.rand(len(labels), PARTS, generator=generator) < 0.015
        return self._maps(labels, torch.where(lost, -1, 0), 1, generator)[:, 0]

    def _maps(self, labels: Tensor, taken_for: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """(B, classes, MAP_PX, MAP_PX) of labels that are taken for others (B, PARTS)."""
        background = torch.full_like(taken_for[:, :1], -1)
        table = torch.cat((background, taken_for), dim=1).to(labels.dtype)
        wobble = torch.randint(_WOBBLES, (len(labels),), generator=generator).tolist()
        wrong = torch.empty_like(labels)
        for person, which in enumerate(wobble):
            moved = labels[person].flatten()[self._moved_from[which]]
            wrong[person] = table[person][moved.int() + 1].reshape(CROP_PX, CROP_PX)
        _add_blobs(wrong, classes, generator)
        return _softened(share_maps(wrong, classes), generator)


def _confused_parts(count: int, generator: torch.Generator) -> Tensor:
    """(count, PARTS) what each part of a person is taken for throughout the picture, −1 for background."""

    def happens(share: float, columns: int = PARTS) -> Tensor:
        return torch.rand(count, columns, generator=generator) < share

    flipped = torch.tensor(FLIPPED_PARTS).expand(count, -1)
    arms, legs = (torch.tensor([name.endswith(kind) for name in PART_NAMES]) for kind in (_ARM, _LEG))
    taken_for = torch.where(happens(0.04), flipped, torch.arange(PARTS).expand(count, -1))
    for limbs, share in ((arms, 0.03), (legs, 0.06)):  # both sides at once, as where somebody is seen from behind
        taken_for = torch.where(happens(share, 1) & limbs, flipped, taken_for)
    taken_for = torch.where(happens(0.02), torch.tensor(_NEIGHBOUR).expand(count, -1), taken_for)
    return torch.where(happens(0.04), -1, taken_for)


_ARM, _LEG = ("arm",), ("thigh", "shank", "foot")


def _neighbour(name: str) -> int:
    side, _, part = name.partition("_")
    return PART_NAMES.index(f"{side}_{_NEXT[part]}") if part else PART_NAMES.index(name)


_NEIGHBOUR = tuple(_neighbour(name) for name in PART_NAMES)


def _add_blobs(labels: Tensor, classes: int, generator: torch.Generator) -> None:
    """Ellipses of the background of labels (B, CROP_PX, CROP_PX) that are taken for a part, and the other way round."""
    count = len(labels)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, _BLOBS, *shape, generator=generator)

    present = uniform() < 0.2
    middle, reach = CROP_PX * uniform(2), CROP_PX * (0.02 + 0.06 * uniform(2))
    part = torch.randint(classes, (count, _BLOBS), generator=generator)
    label = torch.where(uniform() < 0.6, part, -1)
    off = ((torch.arange(CROP_PX) - middle[present][..., None]) / reach[present][..., None]).square()
    inside = off[:, 0, None, :] + off[:, 1, :, None] < 1
    whose = present.nonzero()[:, 0]
    for person, blob, taken_for in zip(whose.tolist(), inside, label[present].tolist(), strict=True):
        labels[person].masked_fill_(blob & ((labels[person] < 0) == (taken_for >= 0)), taken_for)


def _softened(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Maps (B, classes, MAP_PX, MAP_PX) blurred, times a confidence that changes smoothly; changes them in place."""
    soften(maps, 0.7 * torch.rand(len(maps), 1, 1, 1, generator=generator).flatten())
    doubt = torch.rand(len(maps), 1, 8, 8, generator=generator) * torch.rand(len(maps), 1, 1, 1, generator=generator)
    return maps.mul_(1 - 0.5 * interpolate(doubt, MAP_PX, mode="bilinear"))


def find_landmarks(landmarks_px: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Landmarks as a detector finds them, with errors like those of joints.

    Jitter, misses, sides exchanged, points not found; sizes are in units of the person's.

    Args:
        landmarks_px: (B, LANDMARKS, 2) true places.
        generator: All randomness.

    Returns:
        Places (B, LANDMARKS, 2) and confidences (B, LANDMARKS), 0 and 0 where missing.
    """
    count, number, _ = landmarks_px.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    size = person_area(landmarks_px).sqrt()[:, None]
    exchanged = (uniform(1) < 0.05) | (uniform(number) < 0.02)  # all of a person's, or a few
    place = torch.where(exchanged[..., None], landmarks_px[:, MIRROR], landmarks_px)
    missed = uniform(number) < 0.06
    spread = size * torch.where(missed, 0.2, 0.01 + 0.03 * uniform(1))
    place = place + spread[..., None] * torch.randn(landmarks_px.shape, generator=generator)
    error = (place - landmarks_px).norm(dim=-1) / size
    sure = 0.3 + 0.6 * torch.exp(-0.5 * (error / 0.08).square())
    sure = (sure + 0.1 * torch.randn(count, number, generator=generator)).clamp(0.05, 1)
    confidence = sure * (uniform(number) >= 0.25 * uniform(1).square())
    return place * (confidence > 0)[..., None], confidence
