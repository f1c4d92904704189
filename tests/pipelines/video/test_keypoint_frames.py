"""Keypoints of a video's frames from files: numbered as the files say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.pipelines.video.keypoint_frames import KeypointFrames

from .conftest import walkers


def openpose(folder: Path, numbers: list[int], pattern: str = "clip_{:012d}_keypoints.json") -> Path:
    folder.mkdir()
    for number in numbers:
        rows = np.zeros((25, 3))
        rows[:, :2] = np.random.default_rng(number).uniform(10, 90, (25, 2))
        rows[:, 2], rows[0, 0] = 0.8, number % 1000
        people = [{"pose_keypoints_2d": rows.ravel().tolist()}]
        (folder / pattern.format(number)).write_text(json.dumps({"people": people}))
    return folder


def firsts(frames: KeypointFrames, start: int = 0) -> list[float | None]:
    """The x of each frame's first joint to three digits; None without people."""
    return [round(float(people[0].original[0, 0]), 3) if people else None for people in frames.frames(start)]


def x_of(people: np.ndarray, frame: int, person: int) -> float:
    return round(float(people[frame, person, 0, 0]), 3)


def test_openpose_frames_are_numbered_by_their_names(tmp_path: Path) -> None:
    frames = KeypointFrames(openpose(tmp_path / "x", [5, 6, 8, 9]), "coco")
    assert firsts(frames) == [5, 6, None, 8, 9]
    assert firsts(frames, start=2) == [None, 8, 9]
    assert frames.size is None
    plain = KeypointFrames(openpose(tmp_path / "y", [8, 9, 10, 11], "frame{}.json"), "coco")
    assert firsts(plain) == [8, 9, 10, 11]  # not in the order of the names


def test_coco_annotations_have_an_image_for_every_frame(tmp_path: Path) -> None:
    people = walkers(3)
    images = [{"id": 70 - n, "file_name": f"{n}.jpg", "width": 160, "height": 120} for n in range(3)]
    annotations = [
        {"image_id": 70 - n, "keypoints": np.column_stack([people[n, 0, :, :2], np.full(17, 2)]).ravel().tolist()}
        for n in (0, 2)
    ]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    frames = KeypointFrames(tmp_path / "x.json", "coco")
    assert frames.size == (160, 120)
    assert firsts(frames) == [x_of(people, 0, 0), None, x_of(people, 2, 0)]


def test_coco_results_leave_out_frames_without_anybody(tmp_path: Path) -> None:
    people = walkers(5)
    results = [{"image_id": n, "keypoints": people[n, 1].ravel().tolist(), "score": 0.9} for n in (4, 1, 2)]
    (tmp_path / "x.json").write_text(json.dumps(results))
    found = firsts(KeypointFrames(tmp_path / "x.json", "coco"))
    assert found == [None, x_of(people, 1, 1), x_of(people, 2, 1), None, x_of(people, 4, 1)]


def test_an_array_is_one_person(tmp_path: Path) -> None:
    people = walkers(6)
    people[3, 0, :, 2] = 0
    np.save(tmp_path / "x.npy", people[:, 0])
    found = firsts(KeypointFrames(tmp_path / "x.npy", "coco"))
    assert found == [None if frame == 3 else x_of(people, frame, 0) for frame in range(6)]


def test_bad_numbers_are_named(tmp_path: Path) -> None:
    nameless = openpose(tmp_path / "x", [1], "frame_{}_of_clip.json")
    with pytest.raises(InputError, match=r"clip.json: has no number at the end of its name; expected that of"):
        firsts(KeypointFrames(nameless, "coco"))
    far = openpose(tmp_path / "y", [1, 5_000_000])
    with pytest.raises(InputError, match="frame 4999999 follows 0; expected rising numbers of a video's frames"):
        firsts(KeypointFrames(far, "coco"))
    (tmp_path / "z").mkdir()
    with pytest.raises(InputError, match=r"z: has no .json file"):
        firsts(KeypointFrames(tmp_path / "z", "coco"))
