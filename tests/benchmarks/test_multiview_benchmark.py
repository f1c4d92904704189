"""The benchmark of real people, on drawn films of a few frames without a model; and the recorded detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from multiview import extents, largest, mean_row, read_detections, smooth_present
from recorded_detector import RecordedDetector, RecordedFollower, record

from pose2mesh.detectors.detection import Detection
from pose2mesh.errors import InputError


def detection(left: float, size: float) -> Detection:
    joints = np.random.default_rng(0).uniform(left, left + size, (17, 2)).astype(np.float32)
    box = np.array([left, left, left + size, left + size], np.float32)
    return Detection(joints, np.full(17, 0.8, np.float32), box, 0.7, np.ones((17, 3), np.float32))


def test_results_are_kept_by_image_and_boxes(tmp_path: Path) -> None:
    calls = []

    def detector(image: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
        calls.append(boxes)
        return [detection(10, 50)] if boxes is None else [detection(5, 20) for _ in boxes]

    images = [np.full((8, 8, 3), value, np.uint8) for value in (0, 1)]
    box = np.array([[0, 0, 5, 5]])
    recorded = RecordedDetector(detector, tmp_path / "kept.npz")
    for _ in range(2):
        recorded(images[0])
        recorded(images[0], box)
        recorded(images[1])
    assert len(calls) == 3
    recorded.save()
    again = RecordedDetector(detector, tmp_path / "kept.npz")
    (person,) = again(images[0], box)
    assert len(calls) == 3
    assert np.array_equal(person.joints_px, detection(5, 20).joints_px)
    assert person.score == pytest.approx(0.7)
    assert person.joints3d_m is not None
    assert person.landmarks_px is None
    again(images[1], box)
    assert len(calls) == 4


def test_followed_people_are_kept(tmp_path: Path) -> None:
    class Follower:
        calls = 0

        def __call__(self, image: np.ndarray, /, boxes: np.ndarray | None = None) -> list[Detection]:
            return [detection(0, 9)]

        def glance(self, image: np.ndarray, /) -> list[Detection]:
            return [detection(1, 9)]

        def follow(self, image: np.ndarray, joints: np.ndarray, confidence: np.ndarray, /) -> list[Detection]:
            self.calls += 1
            return [detection(float(joints[0, 0, 0]), 9)]

    follower, image = Follower(), np.zeros((8, 8, 3), np.uint8)
    for _ in range(2):
        recorded = record(follower, tmp_path / "kept.npz")
        assert isinstance(recorded, RecordedFollower)
        assert recorded(image)[0].box_px[0] == 0
        assert recorded.glance(image)[0].box_px[0] == 1
        for place in (3.0, 4.0):
            found = recorded.follow(image, np.full((1, 17, 2), place), np.ones((1, 17)))
            assert found[0].box_px[0] == place
        recorded.save()
    assert follower.calls == 2


def test_detections_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "film.npz"
    joints = np.stack([detection(10, 50).joints_px, np.full((17, 2), np.nan)])
    np.savez(path, joints_px=joints, confidence=np.ones((2, 17)), joints3d_m=np.zeros((2, 17, 3)))
    joints_px, confidence, joints3d_m = read_detections(path)
    assert np.array_equal(joints_px[0], joints[0])
    assert confidence.sum(1).tolist() == [17, 0]
    assert joints3d_m.shape == (2, 17, 3)
    np.savez(path, joints_px=joints, confidence=np.ones((3, 17)))
    with pytest.raises(InputError, match=r"expected joints_px of shape \(3, 17, 2\)"):
        read_detections(path)


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
