"""The benchmark of tracks: its counts on a film made by hand, and the rendered film, detected and tracked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tracking

from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.motion.synthetic_scene import SyntheticScene, detection_dtype
from pose2mesh.skeletons import COCO


def test_gaps_are_interpolated_up_to_a_second() -> None:
    frames = 100
    pose = np.random.default_rng(0).uniform(0, 1, (len(COCO), 2)) * (100, 300) + 200
    joints = (pose + 3 * np.arange(frames)[:, None, None]).astype(np.float32)[:, None]
    film = [np.zeros(1, detection_dtype(len(COCO))) for _ in range(frames)]
    for rows, person in zip(film, joints, strict=True):
        rows["joints_px"], rows["confidence"], rows["score"] = person, 0.9, 0.9
    for frame in (*range(10, 20), *range(40, 75)):
        film[frame] = film[frame][:0]
    scene = SyntheticScene(30.0, joints, np.ones((frames, 1)), film)
    errors = tracking.compare(scene, film, tracking.bound(film, 30.0))
    assert (errors.people, errors.missed, errors.false, errors.switches) == (100, 35, 0, 0)
    found = tracking.compare(scene, film, tracking.whole_film(film, 30.0))
    assert (found.missed, found.false, found.tracks) == (35, 0, 1)
    assert tracking.compare(scene, film, tracking.frame_to_frame(film, 30.0)).tracks == 2


@pytest.mark.thorough
def test_people_who_meet_and_turn_back_are_two_tracks(shared_data: Path) -> None:
    (clip,) = load_clips(shared_data / "mocap" / "cmu_actions" / "walking_1.bvh")
    scene, images = tracking.rendered_film(clip)
    film = tracking.detect(images, scene.fps)
    tracks = tracking.whole_film(film, scene.fps)
    errors = tracking.compare(scene, film, tracks)
    assert (len(tracks), errors.fragments, errors.switches) == (2, 2, 0)
    assert errors.idf1 > 0.8
