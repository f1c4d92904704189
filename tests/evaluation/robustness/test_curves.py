"""Curves of models whose predictions depend on the input by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.evaluation.robustness.curves import MISSING, NOISE_PX, by_view, noise_and_missing
from pose2mesh.evaluation.robustness.predictions import predict

from .conftest import FakePredictor, make_people


def counting_model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
    """Vertices that move 10 mm for each joint that is missing."""
    joints = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)
    vertices = np.zeros((len(pixels), 4, 3))
    vertices[..., 0] = 0.01 * (confidence[:, :17] == 0).sum(1)[:, None]
    return joints, vertices


def test_missing_joints_are_missing() -> None:
    people, predictor = make_people(8), FakePredictor(counting_model, np.zeros((4, 3)))
    noise, missing = noise_and_missing(predictor, people, predict(predictor, people), 0)  # type: ignore[arg-type]
    assert missing.places == tuple(map(float, MISSING))
    assert [round(found.value, 6) for found in missing.values if found] == [10.0 * count for count in MISSING]
    assert noise.places == NOISE_PX
    assert all(found is not None and found.value == 0 for found in noise.values)
    assert noise.measure == "movement of vertices (mm)"  # no error without a ground truth


def test_people_with_too_few_joints_are_not_measured() -> None:
    people, predictor = make_people(8), FakePredictor(counting_model, np.zeros((4, 3)))
    people.confidence[:, :9] = 0  # eight are left, and no neck
    _, missing = noise_and_missing(predictor, people, predict(predictor, people), 0)  # type: ignore[arg-type]
    assert [found is not None for found in missing.values] == [True, True, False, False, False, False]


def test_views_are_grouped_by_eighths_of_a_turn() -> None:
    yaw = np.deg2rad([-180, 179, 1, -20, 22, 90, 91, -130])
    values = np.arange(8.0)
    curve = by_view(yaw, {"error (mm)": values}, np.arange(8), 0)[0]
    found = {place: each.value for place, each in zip(curve.places, curve.values, strict=True) if each is not None}
    assert found == {-180: 0.5, 0: pytest.approx(3), 90: 5.5, -135: 7}
