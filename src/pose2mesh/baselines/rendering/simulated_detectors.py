"""Simulated detectors: part maps, silhouettes and landmarks with the typical errors of real ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pose2mesh.baselines.common.landmarks import MIRROR
from pose2mesh.baselines.observation import CROP_PX, MAP_PX, PARTS
from pose2mesh.baselines.rendering.body_parts import FLIPPED_PARTS, PART_NAMES, share_maps
from pose2mesh.baselines.rendering.camera_degradations import soften
from pose2mesh.datasets.synthetic.detection_noise import person_area

_BOUNDARY_SHIFTS = 128  # number of precomputed displacement fields of boundaries
_BOUNDARY_SHIFT_PX = 2.5  # standard deviation of the largest boundary displacements
_BLOBS = 2  # maximum of false blobs an image: background labelled as a person, or the person as background
_NEXT = {"upper_arm": "forearm", "forearm": "upper_arm", "thigh": "shank", "shank": "thigh", "foot": "shank"}


class SimulatedSegmenter:
    """Simulates a person and body part segmenter that makes errors."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        fields = torch.randn(_BOUNDARY_SHIFTS, 2, CROP_PX // 12, CROP_PX // 12, generator=generator)
        strength = _BOUNDARY_SHIFT_PX * torch.rand(_BOUNDARY_SHIFTS, 1, 1, 1, generator=generator)
        shift = (interpolate(fields, CROP_PX, mode="bilinear") * strength).round_().long()
        place = torch.arange(CROP_PX)
        row = (place[:, None] + shift[:, 0]).clamp_(0, CROP_PX - 1)
        column = (place + shift[:, 1]).clamp_(0, CROP_PX - 1)
        self._moved_from = (row * CROP_PX + column).flatten(1)

    def parts(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Predicted part maps (B, PARTS, MAP_PX, MAP_PX) for ground-truth labels (B, CROP_PX, CROP_PX).

        Errors: boundaries are displaced and blurred; limbs are labelled as the other side, as their neighbour or as
        background; blobs of background are labelled as a part; confidence is below one and varies over the image.
        """
        predicted_as = _confused_parts(len(labels), generator)
        return self._maps(labels, predicted_as, PARTS, generator)

    def person(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Predicted silhouettes (B, MAP_PX, MAP_PX) with the same errors, but fewer missing limbs and no side swaps."""
        lost = torch.rand(len(labels), PARTS, generator=generator) < 0.015
        return self._maps(labels, torch.where(lost, -1, 0), 1, generator)[:, 0]

    def _maps(self, labels: Tensor, predicted_as: Tensor, classes: int, generator: torch.Generator) -> Tensor:
        """Maps (B, classes, MAP_PX, MAP_PX) in which each part is labelled as the class given by (B, PARTS)."""
        background = torch.full_like(predicted_as[:, :1], -1)
        table = torch.cat((background, predicted_as), dim=1).to(labels.dtype)
        shift_index = torch.randint(_BOUNDARY_SHIFTS, (len(labels),), generator=generator).tolist()
        wrong = torch.empty_like(labels)
        for person, which in enumerate(shift_index):
            moved = labels[person].flatten()[self._moved_from[which]]
            wrong[person] = table[person][moved.int() + 1].reshape(CROP_PX, CROP_PX)
        _add_blobs(wrong, classes, generator)
        return _blurred(share_maps(wrong, classes), generator)


def _confused_parts(count: int, generator: torch.Generator) -> Tensor:
    """Predicted class (count, PARTS) of each part of a person, for the whole image; −1 for background."""

    def happens(share: float, columns: int = PARTS) -> Tensor:
        return torch.rand(count, columns, generator=generator) < share

    flipped = torch.tensor(FLIPPED_PARTS).expand(count, -1)
    arms, legs = (torch.tensor([name.endswith(kind) for name in PART_NAMES]) for kind in (_ARM, _LEG))
    predicted_as = torch.where(happens(0.04), flipped, torch.arange(PARTS).expand(count, -1))
    for limbs, share in ((arms, 0.03), (legs, 0.06)):  # both sides at once, as for a person seen from behind
        predicted_as = torch.where(happens(share, 1) & limbs, flipped, predicted_as)
    predicted_as = torch.where(happens(0.02), torch.tensor(_NEIGHBOUR).expand(count, -1), predicted_as)
    return torch.where(happens(0.04), -1, predicted_as)


_ARM, _LEG = ("arm",), ("thigh", "shank", "foot")


def _neighbour(name: str) -> int:
    side, _, part = name.partition("_")
    return PART_NAMES.index(f"{side}_{_NEXT[part]}") if part else PART_NAMES.index(name)


_NEIGHBOUR = tuple(_neighbour(name) for name in PART_NAMES)


def _add_blobs(labels: Tensor, classes: int, generator: torch.Generator) -> None:
    """Add false ellipses to labels (B, CROP_PX, CROP_PX), in place: background as a part, or a part as background."""
    count = len(labels)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, _BLOBS, *shape, generator=generator)

    present = uniform() < 0.2
    middle, reach = CROP_PX * uniform(2), CROP_PX * (0.02 + 0.06 * uniform(2))
    part = torch.randint(classes, (count, _BLOBS), generator=generator)
    label = torch.where(uniform() < 0.6, part, -1)
    off = ((torch.arange(CROP_PX) - middle[present][..., None]) / reach[present][..., None]).square()
    inside = off[:, 0, None, :] + off[:, 1, :, None] < 1
    owner = present.nonzero()[:, 0]
    for person, blob, predicted_as in zip(owner.tolist(), inside, label[present].tolist(), strict=True):
        labels[person].masked_fill_(blob & ((labels[person] < 0) == (predicted_as >= 0)), predicted_as)


def _blurred(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Blur maps (B, classes, MAP_PX, MAP_PX) and multiply them by a smooth random confidence, in place."""
    soften(maps, 0.7 * torch.rand(len(maps), 1, 1, 1, generator=generator).flatten())
    uncertainty = torch.rand(len(maps), 1, 8, 8, generator=generator) * torch.rand(
        len(maps), 1, 1, 1, generator=generator
    )
    return maps.mul_(1 - 0.5 * interpolate(uncertainty, MAP_PX, mode="bilinear"))


def detect_landmarks(landmarks_px: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Simulated landmark detections, with errors like those of 2D joints.

    Errors: jitter, misses, left–right swaps and missing points, scaled by the size of the person.

    Args:
        landmarks_px: (B, LANDMARKS, 2) ground truth, pixels.
        generator: Source of all randomness.

    Returns:
        Detected positions (B, LANDMARKS, 2) in pixels and confidences (B, LANDMARKS); both 0 where missing.
    """
    count, number, _ = landmarks_px.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    size = person_area(landmarks_px).sqrt()[:, None]
    exchanged = (uniform(1) < 0.05) | (uniform(number) < 0.02)  # all landmarks of a person, or single ones
    place = torch.where(exchanged[..., None], landmarks_px[:, MIRROR], landmarks_px)
    missed = uniform(number) < 0.06
    spread = size * torch.where(missed, 0.2, 0.01 + 0.03 * uniform(1))
    place = place + spread[..., None] * torch.randn(landmarks_px.shape, generator=generator)
    error = (place - landmarks_px).norm(dim=-1) / size
    confidence_if_found = 0.3 + 0.6 * torch.exp(-0.5 * (error / 0.08).square())
    confidence_if_found = (confidence_if_found + 0.1 * torch.randn(count, number, generator=generator)).clamp(0.05, 1)
    confidence = confidence_if_found * (uniform(number) >= 0.25 * uniform(1).square())
    return place * (confidence > 0)[..., None], confidence
