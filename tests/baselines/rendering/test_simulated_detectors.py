"""Simulated detector errors: of the documented kinds, and few for most people."""

from __future__ import annotations

import torch

from pose2mesh.baselines.common.landmarks import MIRROR
from pose2mesh.baselines.observation import CROP_PX, LANDMARKS, PARTS
from pose2mesh.baselines.rendering.body_parts import FLIPPED_PARTS, share_maps
from pose2mesh.baselines.rendering.simulated_detectors import SimulatedSegmenter, detect_landmarks

B = 200


def squares() -> torch.Tensor:
    """Labels (B, CROP_PX, CROP_PX) in which every part is a square of 24 pixels, with background between."""
    labels = torch.full((B, CROP_PX, CROP_PX), -1, dtype=torch.int8)
    for part in range(PARTS):
        row, column = 4 + part // 4 * 40, 4 + part % 4 * 32
        labels[:, row : row + 24, column : column + 24] = part
    return labels


def test_parts_are_sometimes_confused() -> None:
    maps = SimulatedSegmenter().parts(squares(), torch.Generator().manual_seed(0))
    exact = share_maps(squares(), PARTS)
    assert 0 <= maps.min() <= maps.max() <= 1
    assert maps.sum(1).max() <= 1 + 1e-6
    share = torch.einsum("bkhw,blhw->bkl", exact, maps) / exact.sum((2, 3))[..., None]
    right = share.diagonal(dim1=1, dim2=2)
    assert right.median() > 0.6
    lost = (share.sum(2) < 0.1).float().mean()
    assert 0.02 < lost < 0.06
    exchanged = (share[:, range(2, PARTS), FLIPPED_PARTS[2:]] > 0.3).float().mean()
    assert 0.04 < exchanged < 0.14


def test_silhouettes_have_no_sides() -> None:
    person = SimulatedSegmenter().person(squares(), torch.Generator().manual_seed(0))
    exact = share_maps(squares().clamp_max(0), 1)[:, 0]
    both, either = torch.minimum(person, exact).sum((1, 2)), torch.maximum(person, exact).sum((1, 2))
    assert (both / either).median() > 0.6
    assert (both / either).max() < 1


def test_landmarks() -> None:
    true = 500 + 100 * torch.randn(B, LANDMARKS, 2, generator=torch.Generator().manual_seed(0))
    place, confidence = detect_landmarks(true, torch.Generator().manual_seed(1))
    there = confidence > 0
    assert (place[~there] == 0).all()
    assert 0.85 < there.float().mean() < 0.97
    error = (place - true).norm(dim=-1)
    assert error[there].median() < 30
    # Confidence is higher for accurate landmarks.
    assert confidence[there & (error < 20)].mean() > confidence[there & (error > 80)].mean() + 0.3
    flipped = there & ((place - true[:, MIRROR]).norm(dim=-1) < 40) & (error > 80)
    assert 0.02 < flipped.float().mean() < 0.12
