"""People tracked through synthetic videos: crossings, gaps, first and last frames, and constant memory."""

from __future__ import annotations

import pickle
from collections import defaultdict

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.motion.tracker import Tracker, TrackerConfig, TrackFrame
from pose2mesh.skeletons import COCO

J = len(COCO)


def figure(seed: int, height_px: float = 300) -> np.ndarray:
    """Joints (J, 2) of an upright person about the origin, with individual proportions."""
    names = COCO.names
    y = {"nose": 0.05, "eye": 0.04, "ear": 0.05, "neck": 0.18, "shoulder": 0.18, "elbow": 0.35}
    y |= {"wrist": 0.5, "pelvis": 0.52, "hip": 0.52, "knee": 0.75, "ankle": 0.97}
    x = {"eye": 0.01, "ear": 0.03, "shoulder": 0.1, "elbow": 0.13, "wrist": 0.14, "hip": 0.06, "knee": 0.07}
    side = [1 if name.startswith("left") else -1 if name.startswith("right") else 0 for name in names]
    part = [name.split("_")[-1] for name in names]
    joints = np.array([(s * x.get(p, 0.06), y[p]) for s, p in zip(side, part, strict=True)])
    return height_px * (joints + np.random.default_rng(seed).normal(0, 0.01, joints.shape))


def walk(seed: int, start: tuple[float, float], velocity: tuple[float, float], frames: int) -> np.ndarray:
    """Detections (T, J, 2), with errors, of a figure that moves at constant velocity and swings its limbs."""
    rng = np.random.default_rng(seed + 100)
    time = np.arange(frames)[:, None, None]
    limbs = np.array([name.endswith(("wrist", "ankle", "knee", "elbow")) for name in COCO.names])[:, None]
    swing = 15 * np.sin(time / 5 + seed) * limbs * np.array([1.0, 0.2])
    return figure(seed) + start + time * velocity + swing + rng.normal(0, 3, (frames, J, 2))


def track_video(
    people: list[np.ndarray], visible: np.ndarray | None = None, config: TrackerConfig | None = None
) -> dict[int, list[tuple[TrackFrame, int | None]]]:
    """Frames by track, each with its ground-truth person; the order of detections changes from frame to frame."""
    tracker = Tracker(COCO, config)
    rng = np.random.default_rng(9)
    frames = len(people[0])
    visible = np.ones((len(people), frames), bool) if visible is None else visible
    orders, tracks = [], defaultdict(list)
    for frame in range(frames):
        order = [person for person in rng.permutation(len(people)) if visible[person, frame]]
        orders.append(order)
        joints = np.array([people[person][frame] for person in order]).reshape(-1, J, 2)
        for found in tracker.update(joints, np.ones((len(order), J))):
            person = None if found.detection is None else orders[found.frame][found.detection]
            tracks[found.track].append((found, person))
    return tracks


def test_ids_are_stable_through_a_crossing() -> None:
    people = [walk(0, (100, 0), (8, 0), 100), walk(1, (900, 10), (-8, 0), 100), walk(2, (500, -20), (0, 0.5), 100)]
    tracks = track_video(people)
    assert len(tracks) == 3
    for found in tracks.values():
        assert [frame.frame for frame, _ in found] == list(range(100))
        assert len({person for _, person in found}) == 1


def test_ids_are_stable_where_the_farther_one_is_hidden_while_crossing() -> None:
    people = [walk(0, (100, 0), (8, 0), 100), walk(1, (900, 10), (-8, 0), 100)]
    visible = np.ones((2, 100), bool)
    apart = np.abs(people[0].mean(1) - people[1].mean(1))[:, 0]
    visible[1, apart < 60] = False
    tracks = track_video(people, visible)
    assert len(tracks) == 2
    hidden = int((~visible[1]).sum())
    assert 5 <= hidden <= 15
    for found in tracks.values():
        assert [frame.frame for frame, _ in found] == list(range(100))
        assert len({person for _, person in found if person is not None}) == 1
    assert sum(frame.bridged for found in tracks.values() for frame, _ in found) == hidden


def test_a_gap_is_interpolated_linearly_and_marked() -> None:
    people = [figure(0) + 5.0 * np.arange(40)[:, None, None]]
    visible = np.ones((1, 40), bool)
    visible[0, 20:26] = False
    (found,) = track_video(people, visible).values()
    assert [frame.frame for frame, _ in found] == list(range(40))
    assert [frame.frame for frame, _ in found if frame.bridged] == list(range(20, 26))
    for frame, _ in found:
        assert frame.joints_px == pytest.approx(people[0][frame.frame], abs=1e-2)


def test_longer_gaps_stay_open_and_the_longest_end_the_track() -> None:
    people = [walk(0, (100, 0), (1, 0), 100)]
    config = TrackerConfig(max_gap=20, max_bridge=5)
    for gap, tracks_expected, holes in ((5, 1, 0), (6, 1, 6), (20, 1, 20), (21, 2, 21)):
        visible = np.ones((1, 100), bool)
        visible[0, 30 : 30 + gap] = False
        tracks = track_video(people, visible, config)
        assert sorted(tracks) == list(range(tracks_expected))
        assert 100 - sum(len(found) for found in tracks.values()) == holes


def test_isolated_detections_start_no_track() -> None:
    people = [walk(0, (100, 0), (2, 0), 30), walk(1, (700, 0), (2, 0), 30)]
    visible = np.ones((2, 30), bool)
    visible[1] = False
    visible[1, [5, 6, 15]] = True
    tracks = track_video(people, visible, TrackerConfig(min_hits=3))
    assert list(tracks) == [0]
    assert len(track_video(people, visible, TrackerConfig(min_hits=2, max_gap=3))) == 2


def test_a_confirmed_track_includes_its_first_frames() -> None:
    tracker = Tracker(COCO, TrackerConfig(min_hits=3))
    joints = walk(0, (0, 0), (1, 0), 4)
    news = [tracker.update(frame[None], np.ones((1, J))) for frame in joints]
    assert [[found.frame for found in new] for new in news] == [[], [], [0, 1, 2], [3]]


def test_missing_joints_and_empty_frames() -> None:
    tracker = Tracker(COCO, TrackerConfig(min_hits=1))
    joints = walk(0, (100, 0), (3, 0), 6)
    legs = np.array([name.endswith(("knee", "ankle")) for name in COCO.names])
    found = []
    for frame in range(6):
        confidence = np.where(legs & (frame % 2 == 1), 0.0, 0.8)[None]
        is_empty = frame == 3
        found += tracker.update(joints[frame][None][: 0 if is_empty else 1], confidence[: 0 if is_empty else 1])
    assert [(new.track, new.frame, new.bridged) for new in found] == [(0, frame, frame == 3) for frame in range(6)]
    assert tracker.update(joints[:1], np.zeros((1, J))) == []


def test_memory_does_not_grow() -> None:
    tracker = Tracker(COCO)
    people = [walk(seed, (300.0 * seed, 0), (0, 0), 20) for seed in range(3)]
    rng = np.random.default_rng(0)
    sizes = []
    for frame in range(1200):
        here = [person[frame % 20] for person in people if rng.random() < 0.9]  # flickering detections
        strays = rng.uniform(0, 2000, (rng.integers(0, 2), 1, 1)) + figure(7)
        joints = np.concatenate([np.array(here).reshape(-1, J, 2), strays])
        tracker.update(joints, np.ones((len(joints), J)))
        if frame % 200 == 199:
            sizes.append(len(pickle.dumps(tracker)))
    assert max(sizes[1:]) < 2 * sizes[0]


def test_bad_input_is_named() -> None:
    tracker = Tracker(COCO)
    with pytest.raises(InputError, match=r"frame 0: joints have shape \(1, 5, 2\) .* expected \(D, 19, 2\)"):
        tracker.update(np.zeros((1, 5, 2)), np.ones((1, 5)))
    with pytest.raises(InputError, match="frame 0: a joint or a confidence is not finite"):
        tracker.update(np.full((1, J, 2), np.nan), np.ones((1, J)))
    with pytest.raises(InputError, match="min_hits is 0, expected at least 1"):
        TrackerConfig(min_hits=0)
