"""Metrics against numbers worked out by hand, and what they must not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pose2mesh.metrics import (
    acceleration_error,
    mean_distance,
    object_keypoint_similarity,
    procrustes_distance,
    scaled_distance,
)
from pose2mesh.skeletons import COCO

seeds = st.integers(0, 10_000)


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 14, 3)
    return (
        torch.randn(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    )


def test_mean_distance_by_hand() -> None:
    target = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[[3.0, 4, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])
    assert mean_distance(predicted, target).tolist() == [3, 0]


@given(seeds, st.floats(0.1, 10))
def test_procrustes_distance_forgives_similarities_of_the_prediction(seed: int, scale: float) -> None:
    predicted, target = pair(seed)
    rotation = torch.from_numpy(Rotation.random(rng=seed).as_matrix())
    moved = scale * predicted @ rotation.mT + 3
    assert torch.allclose(procrustes_distance(moved, target), procrustes_distance(predicted, target), atol=1e-8)
    assert procrustes_distance(scale * target @ rotation.mT + 3, target).max() < 1e-8


@given(seeds)
def test_procrustes_distance_is_in_the_unit_of_the_target(seed: int) -> None:
    predicted, target = pair(seed)
    expected = 1000 * procrustes_distance(predicted, target)
    assert torch.allclose(procrustes_distance(predicted, 1000 * target), expected)


@given(seeds)
def test_alignment_reduces_the_squared_error(seed: int) -> None:
    predicted, target = pair(seed)
    near = target + 0.01 * predicted
    assert (procrustes_distance(near, target) <= 1.1 * mean_distance(near, target)).all()


def test_scaled_distance_forgives_the_size_alone() -> None:
    _, target = pair(0)
    assert scaled_distance(0.3 * target, target).max() < 1e-12
    assert scaled_distance(target + 1, target).min() > 0.1
    # one joint at (1, 0, 0), seen at (1, 1, 0): the best scale is a half, and √½ is left
    left = scaled_distance(torch.tensor([[[1.0, 1, 0]]]), torch.tensor([[[1.0, 0, 0]]]))
    assert left.item() == pytest.approx(math.sqrt(0.5))


def test_acceleration_error_by_hand() -> None:
    frames = torch.arange(6, dtype=torch.float64)
    target = torch.zeros(6, 2, 3, dtype=torch.float64)
    predicted = target.clone()
    predicted[:, 0, 0] = 0.5 * frames**2  # one of two joints accelerates by 1 a frame²
    assert acceleration_error(predicted, target).item() == pytest.approx(0.5)
    assert acceleration_error(predicted, target, fps=30).item() == pytest.approx(0.5 * 900)
    shaking = target.clone()
    shaking[::2, :, 2] = 0.001  # a millimetre to and fro: 0, 2, 0, 2 … apart in second differences
    assert acceleration_error(shaking, target).item() == pytest.approx(0.002)


def test_acceleration_error_ignores_a_constant_offset_and_drift() -> None:
    predicted, target = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    drift = 0.1 * torch.arange(5, dtype=torch.float64)[:, None, None] + 2
    assert acceleration_error(target + drift, target) < 1e-12
    expected = acceleration_error(predicted, target)
    assert torch.allclose(acceleration_error(predicted + drift, target), expected)


def test_oks_by_hand() -> None:
    sigmas = torch.tensor([0.05, 0.1])
    target = torch.zeros(1, 2, 2)
    predicted = torch.tensor([[[3.0, 4], [6, 8]]])
    area = torch.tensor([2500.0])
    both = torch.tensor([[True, True]])
    # d² / (2 · 2500 · (2σ)²): 25 / 50 and 100 / 200
    assert object_keypoint_similarity(predicted, target, area, sigmas, both).item() == pytest.approx(math.exp(-0.5))
    first = torch.tensor([[True, False]])
    predicted[0, 1] = 1e6  # not visible: not counted
    assert object_keypoint_similarity(predicted, target, area, sigmas, first).item() == pytest.approx(math.exp(-0.5))
    assert object_keypoint_similarity(predicted, target, area, sigmas, both).item() == pytest.approx(math.exp(-0.5) / 2)
    assert object_keypoint_similarity(predicted, target, area, sigmas, ~both).item() == 0


@given(seeds, st.floats(0.5, 20))
def test_oks_does_not_depend_on_the_size_of_the_picture(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = 200 * torch.rand(3, 19, 2, generator=generator, dtype=torch.float64)
    predicted = target + 5 * torch.randn(3, 19, 2, generator=generator, dtype=torch.float64)
    area, visible = torch.tensor([900.0, 5000, 30000], dtype=torch.float64), torch.ones(3, 19, dtype=torch.bool)
    sigmas = torch.tensor(COCO.oks_sigmas, dtype=torch.float64)
    similarity = object_keypoint_similarity(predicted, target, area, sigmas, visible)
    assert ((similarity > 0) & (similarity < 1)).all()
    assert torch.allclose(
        object_keypoint_similarity(scale * predicted, scale * target, scale**2 * area, sigmas, visible), similarity
    )
    assert torch.equal(object_keypoint_similarity(target, target, area, sigmas, visible), torch.ones(3).double())
