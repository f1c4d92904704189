"""What detectors would make of a picture: part maps, silhouettes and landmarks with the errors that real ones have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pose2mesh.baselines.pictures.parts import FLIPPED_PARTS, PART_NAMES, share_maps
from pose2mesh.baselines.seen import CROP_PX, MAP_PX, PARTS
from pose2mesh.data.noise import person_area

_WOBBLE_PX = 2.5  # spread of the largest shifts of a boundary, of CROP_PX
_BLOBS = 2  # places in the background taken for the person, and places on the person taken for background, at most


def segment_parts(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Part maps (B, PARTS, MAP_PX, MAP_PX) that a segmenter might give for true labels (B, CROP_PX, CROP_PX).

    Boundaries wobble and blur; limbs change sides, or are taken for their neighbour or for background; bits of the
    background are taken for a part; confidence is less than one and differs from place to place.
    """
    table = _confused_parts(len(labels), generator)
    labels = table.gather(1, (labels + 1).flatten(1)).reshape(labels.shape)
    return _soft_maps(_wobble(labels, PARTS, generator), PARTS, generator)


def segment_person(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Silhouettes (B, MAP_PX, MAP_PX) likewise: limbs are lost more rarely, and none changes sides."""
    lost = torch.rand(len(labels), PARTS + 1, generator=generator) < 0.015
    person = torch.where((labels >= 0) & ~lost.gather(1, (labels + 1).flatten(1)).reshape(labels.shape), 0, -1)
    return _soft_maps(_wobble(person, 1, generator), 1, generator)[:, 0]


def _confused_parts(count: int, generator: torch.Generator) -> Tensor:
    """(count, 1 + PARTS) what background (−1) and each part of a person is taken for throughout the picture."""

    def happens(share: float) -> Tensor:
        return torch.rand(count, PARTS, generator=generator) < share

    own = torch.arange(PARTS).expand(count, -1)
    flipped = torch.tensor(FLIPPED_PARTS).expand(count, -1)
    table = torch.where(happens(0.04), flipped, own)
    arms, legs = (torch.tensor([any(n in name for n in kind) for name in PART_NAMES]) for kind in (_ARM, _LEG))
    for limbs, share in ((arms, 0.03), (legs, 0.06)):  # both sides at once, as where somebody is seen from behind
        both = (torch.rand(count, 1, generator=generator) < share) & limbs
        table = torch.where(both, flipped, table)
    table = torch.where(happens(0.02), torch.tensor(_NEIGHBOUR).expand(count, -1), table)
    table = torch.where(happens(0.04), -1, table)
    return torch.cat((torch.full((count, 1), -1), table), dim=1)


_ARM, _LEG = ("arm",), ("thigh", "shank", "foot")
_NEXT = {"upper_arm": "forearm", "forearm": "upper_arm", "thigh": "shank", "shank": "thigh", "foot": "shank"}


def _neighbour(name: str) -> int:
    side, _, part = name.partition("_")
    return PART_NAMES.index(f"{side}_{_NEXT[part]}") if part else PART_NAMES.index(name)


_NEIGHBOUR = tuple(_neighbour(name) for name in PART_NAMES)


def _wobble(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Labels (B, S, S) shifted smoothly at random, then with blobs of wrong labels."""
    count, size, _ = labels.shape
    fields = torch.randn(count, 2, size // 12, size // 12, generator=generator)
    strength = _WOBBLE_PX * (size / CROP_PX) * torch.rand(count, 1, 1, 1, generator=generator)
    shift = (interpolate(fields, size, mode="bilinear") * strength).round_().long()
    place = torch.arange(size)
    row = (place[:, None] + shift[:, 0]).clamp_(0, size - 1)
    column = (place + shift[:, 1]).clamp_(0, size - 1)
    moved = labels.flatten(1).gather(1, (row * size + column).flatten(1)).reshape(labels.shape)

    who, x, y, reach, wrong = _blobs(count, classes, generator)
    ellipse = ((place - x[:, None]) / reach[:, :1])[:, None].square() + ((place - y[:, None]) / reach[:, 1:]).square()[
        ..., None
    ]
    for index, inside, label in zip(who.tolist(), ellipse < 1, wrong.tolist(), strict=True):
        # What is taken for the person lies in the background, what is taken for background on the person.
        moved[index].masked_fill_(inside & ((moved[index] < 0) == (label >= 0)), label)
    return moved


def _blobs(count: int, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Whose, middles x and y and reaches (K, 2) in pixels, and the wrong labels of blobs."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, _BLOBS, *shape, generator=generator)

    present = uniform() < 0.25
    middle = CROP_PX * uniform(2)
    reach = CROP_PX * (0.02 + 0.06 * uniform(2))
    part = torch.randint(classes, (count, _BLOBS), generator=generator)
    label = torch.where(uniform() < 0.6, part, -1)
    who = present.nonzero()[:, 0]
    return who, middle[present][:, 0], middle[present][:, 1], reach[present], label[present]


def _soft_maps(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """(B, classes, MAP_PX, MAP_PX) blurred shares of labels, times a confidence that changes smoothly."""
    count = len(labels)
    maps = share_maps(labels, classes)
    blur = torch.rand(count, 1, 1, 1, generator=generator)
    for axis in (2, 3):
        inner, before, after = (maps.narrow(axis, start, MAP_PX - 2) for start in (1, 0, 2))
        maps.narrow(axis, 1, MAP_PX - 2).copy_(torch.lerp(inner, (before + after) * 0.5, 0.7 * blur))
    doubt = torch.rand(count, 1, 8, 8, generator=generator) * torch.rand(count, 1, 1, 1, generator=generator)
    return maps.mul_(1 - 0.5 * interpolate(doubt, MAP_PX, mode="bilinear"))


class LandmarkDetector:
    """Finds landmarks with errors like those of joints: jitter, misses, sides exchanged, points not found.

    Args:
        pairs: (N,) the mirror image of each landmark.
    """

    def __init__(self, pairs: Tensor) -> None:
        self.pairs = pairs

    def __call__(self, landmarks_px: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places (B, N, 2) and confidences (B, N) for true ones; 0 and 0 where missing."""
        count, number, _ = landmarks_px.shape

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator)

        size = person_area(landmarks_px).sqrt()[:, None, None]
        exchanged = uniform(1) < 0.05  # all of a person, or a few
        exchanged = exchanged | (uniform(number) < 0.02)
        place = torch.where(exchanged[..., None], landmarks_px[:, self.pairs], landmarks_px)
        missed = uniform(number) < 0.06
        spread = torch.where(missed, 0.2, 0.01 + 0.03 * uniform(1))[..., None]
        place = place + size * spread * torch.randn(landmarks_px.shape, generator=generator)
        error = (place - landmarks_px).norm(dim=-1) / size[..., 0]
        sure = (
            0.3
            + 0.6 * torch.exp(-0.5 * (error / 0.08).square())
            + 0.1 * torch.randn(count, number, generator=generator)
        )
        lost = uniform(number) < 0.25 * uniform(1).square()
        confidence = sure.clamp(0.05, 1) * ~lost
        return place * (confidence > 0)[..., None], confidence


def mirror_pairs(landmarks: Tensor) -> Tensor:
    """(N,) of landmarks (N, 3) on the body at rest, which one is at each one's mirror image (across x)."""
    mirrored = landmarks * landmarks.new_tensor([-1.0, 1.0, 1.0])
    return torch.cdist(mirrored, landmarks).argmin(1)
