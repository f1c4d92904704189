"""The benchmark of real people: the person that counts, and smoothing with missing frames."""

from __future__ import annotations

import numpy as np
import pytest
from multiview import extents, largest, mean_row, smooth_present

from pose2mesh.detectors.detection import Detection


def detection(left: float, size: float) -> Detection:
    joints = np.random.default_rng(0).uniform(left, left + size, (17, 2)).astype(np.float32)
    box = np.array([left, left, left + size, left + size], np.float32)
    return Detection(joints, np.full(17, 0.8, np.float32), box, 0.7, np.ones((17, 3), np.float32))


def test_the_largest_person_counts() -> None:
    small, large = detection(0, 10), detection(50, 100)
    assert largest([small, large]) is large
    assert largest([]) is None
    joints = np.stack([small.joints_px, large.joints_px])
    confidence = np.ones((2, 17))
    confidence[1, 3:] = 0
    area = extents(joints, confidence)
    assert area[1] < extents(joints, np.ones((2, 17)))[1]


def test_smoothing_keeps_missing_frames() -> None:
    joints = np.random.default_rng(0).normal(0, 0.1, (20, 12, 3))
    joints[7] = np.nan
    smoothed = smooth_present(joints, 60)
    assert np.isnan(smoothed[7]).all()
    assert np.isfinite(np.delete(smoothed, 7, 0)).all()
    assert np.diff(np.delete(smoothed, 7, 0), axis=0).std() < 0.5 * np.diff(np.delete(joints, 7, 0), axis=0).std()


def test_means_over_views_separate_confused_sides() -> None:
    class Truth:
        exchanged = np.array([[True, False, False], [False, False, False]])

        def in_camera(self, view: int) -> np.ndarray:
            return np.random.default_rng(view).normal(0, 0.3, (3, 12, 3))

    truth = Truth()
    predictions = [truth.in_camera(0).copy(), truth.in_camera(1)]
    predictions[0][0] = -predictions[0][0]
    row = mean_row(predictions, truth)  # type: ignore[arg-type]
    assert row["mpjpe"] > 50
    assert row["straight_mpjpe"] == pytest.approx(0, abs=1e-9)
