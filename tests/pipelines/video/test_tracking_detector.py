"""People are looked for where they were; newcomers at the next look around; who is gone is not believed in."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.detection import Detection
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector

from .conftest import KnownPeople, walkers


def picture(frame: int) -> np.ndarray:
    return np.full((120, 160, 3), 40 + 4 * frame, np.uint8)


def follow(detector: KnownPeople, frames: int) -> list[list[Detection]]:
    follower = TrackingDetector(detector, fps=30)
    found: list[list[Detection]] = []
    before = np.zeros((0, 17, 3), np.float32)
    for frame in range(frames):
        people = follower(picture(frame), frame, before[..., :2], before[..., 2])
        before = np.array([np.column_stack([each.joints_px, each.confidence]) for each in people]).reshape(-1, 17, 3)
        found.append(people)
    return found


def test_most_frames_are_looked_at_only_where_people_were() -> None:
    people = walkers(30)
    detector = KnownPeople(people)
    found = follow(detector, 30)
    assert [len(each) for each in found] == [2] * 30
    for frame, (first, second) in enumerate(found):
        assert first.joints_px == pytest.approx(people[frame, 0, :, :2], abs=1e-3)
        assert second.joints_px == pytest.approx(people[frame, 1, :, :2], abs=1e-3)
    assert detector.looks[0] == [0, 5, 10, 15, 20, 25]
    assert detector.looks[1] == list(range(1, 30))


def test_newcomers_are_seen_at_the_next_look_around() -> None:
    people = walkers(20)
    people[:7, 1, :, 2] = 0
    assert [len(each) for each in follow(KnownPeople(people), 20)] == [1] * 10 + [2] * 10


def test_who_leaves_is_looked_for_everywhere_and_gone_at_once() -> None:
    people = walkers(20)
    people[13:, 1, :, 2] = 0
    detector = KnownPeople(people)
    assert [len(each) for each in follow(detector, 20)] == [2] * 13 + [1] * 7
    assert detector.looks[0] == [0, 5, 10, 13, 15]


def test_who_is_only_half_believed_in_must_be_seen_by_the_look_around() -> None:
    """A box that sticks to the background goes on giving a pose of low score."""
    people = walkers(12)
    people[..., 2] = 0.3

    class Blind(KnownPeople):
        def __call__(self, seen: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
            found = super().__call__(seen, boxes)
            return found if boxes is not None or self.looks[0] == [0] else found[:1]

    assert [len(each) for each in follow(Blind(people), 12)] == [2] * 5 + [1] * 7
