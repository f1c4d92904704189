"""Calibration of confidences: perfect, useless, or a single value."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.evaluation.robustness.calibration import calibrate, measure_calibration, spearman

from .conftest import FakePredictor, make_people


def test_calibrated_confidences() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 5000)
    found = calibrate("made up", confidence, confidence, confidence[:10], confidence[:10])
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.joint_rank == pytest.approx(1)
    assert found.person_rank == pytest.approx(1)
    assert sum(count for count, *_ in found.bins) == 5000
    assert len(found.bins) == 5


def test_overconfident_and_uninformative_confidences() -> None:
    rng = np.random.default_rng(0)
    confidence, similarity = rng.uniform(0.8, 1, 20_000), rng.uniform(0.4, 0.6, 20_000)
    found = calibrate("made up", confidence, similarity, confidence, similarity)
    assert found.error == pytest.approx(0.4, abs=0.01)
    assert found.joint_rank == pytest.approx(0, abs=0.03)
    assert [round(claimed, 1) for _, claimed, _ in found.bins] == [0.9]


def test_ranks() -> None:
    assert spearman(np.array([1.0, 2, 30]), np.array([5.0, 6, 7])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 30]), np.array([7.0, 6, 5])) == pytest.approx(-1)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_of_a_file_whose_confidences_are_all_one() -> None:
    people = make_people()
    predictor = FakePredictor(lambda px, c: (np.concatenate([px, px[..., :1] * 0], -1), px), np.zeros((1, 3)))
    found = measure_calibration(predictor, people, 0)  # type: ignore[arg-type]
    assert found.bins[0][1:] == pytest.approx((1, 1))  # the joints project onto the input
    assert found.error == pytest.approx(0, abs=1e-6)
    assert np.isnan(found.joint_rank)
