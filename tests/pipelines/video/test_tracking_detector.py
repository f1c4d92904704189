"""Detection in previous boxes; new people at the next full detection; lost people are dropped."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.detection import Detection
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector

from .conftest import KnownPeople, number_of, walkers


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


class Following(KnownPeople):
    """Follows people, and glances at the first person alone."""

    def glance(self, image: np.ndarray, /) -> list[Detection]:
        self.glances.append(number_of(image))
        return super().__call__(image)[:1]

    def follow(self, image: np.ndarray, joints_px: np.ndarray, confidence: np.ndarray, /) -> list[Detection]:
        assert (joints_px.shape[1:], confidence.shape[1:]) == ((17, 2), (17,))
        return self(image, np.stack([np.concatenate([each.min(0), each.max(0)]) for each in joints_px]))

    def __init__(self, people: np.ndarray) -> None:
        super().__init__(people)
        self.glances: list[int] = []


def test_a_detector_that_follows_searches_thoroughly_once_a_second() -> None:
    people = walkers(40)
    people[:8, 1, :, 2] = 0
    detector = Following(people)
    found = follow(detector, 40)
    assert [len(each) for each in found] == [1] * 30 + [2] * 10  # a glance does not find the second one
    assert detector.glances == [5, 10, 15, 20, 25, 35]
    assert sorted(set(detector.looks[0]) - set(detector.glances)) == [0, 30]


def test_a_pose_elsewhere_is_another_person() -> None:
    """Two people are followed; then one is not found, and the pose in their box is that of the other one."""
    people = walkers(20)

    class Jumping(KnownPeople):
        def __call__(self, seen: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
            found = super().__call__(seen, boxes)
            return [found[0], found[0]] if boxes is not None and len(found) == 2 and number_of(seen) >= 12 else found

    detector = Jumping(people)
    found = follow(detector, 20)
    assert all(len(each) == 2 for each in found[:12])
    assert 12 in detector.looks[0]  # searched at once
    assert len(found[12]) == 2
    assert found[12][1].joints_px == pytest.approx(people[12, 1, :, :2], abs=1e-3)
