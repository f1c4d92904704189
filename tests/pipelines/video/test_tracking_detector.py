"""Detection in previous boxes; new people at the next full detection; lost people are dropped."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.detection import Detection
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector

from .conftest import KnownPeople, walkers


def image(frame: int) -> np.ndarray:
    return np.full((120, 160, 3), 40 + 4 * frame, np.uint8)


def follow(detector: KnownPeople, frames: int) -> list[list[Detection]]:
    follower = TrackingDetector(detector, fps=30)
    found: list[list[Detection]] = []
    before = np.zeros((0, 17, 3), np.float32)
    for frame in range(frames):
        people = follower(image(frame), frame, before[..., :2], before[..., 2])
        before = np.array([np.column_stack([each.joints_px, each.confidence]) for each in people]).reshape(-1, 17, 3)
        found.append(people)
    return found


def test_most_frames_are_searched_only_in_previous_boxes() -> None:
    people = walkers(30)
    detector = KnownPeople(people)
    found = follow(detector, 30)
    assert [len(each) for each in found] == [2] * 30
    for frame, (first, second) in enumerate(found):
        assert first.joints_px == pytest.approx(people[frame, 0, :, :2], abs=1e-3)
        assert second.joints_px == pytest.approx(people[frame, 1, :, :2], abs=1e-3)
    assert detector.looks[0] == [0, 5, 10, 15, 20, 25]
    assert detector.looks[1] == list(range(1, 30))


def test_new_people_are_found_at_the_next_full_detection() -> None:
    people = walkers(20)
    people[:7, 1, :, 2] = 0
    assert [len(each) for each in follow(KnownPeople(people), 20)] == [1] * 10 + [2] * 10


def test_a_lost_person_triggers_a_full_detection_and_is_dropped_at_once() -> None:
    people = walkers(20)
    people[13:, 1, :, 2] = 0
    detector = KnownPeople(people)
    assert [len(each) for each in follow(detector, 20)] == [2] * 13 + [1] * 7
    assert detector.looks[0] == [0, 5, 10, 13, 15]


def test_a_low_score_must_be_confirmed_by_the_full_detection() -> None:
    """A box on the background continues to give a pose of low score."""
    people = walkers(12)
    people[..., 2] = 0.3

    class Blind(KnownPeople):
        def __call__(self, seen: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
            found = super().__call__(seen, boxes)
            return found if boxes is not None or self.looks[0] == [0] else found[:1]

    assert [len(each) for each in follow(Blind(people), 12)] == [2] * 5 + [1] * 7
