"""Arrays on disk: the same as in memory, and whole after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.motion.smoothing import steady_bodies
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.detection_store import DetectionStore, person_dtype
from pose2mesh.skeletons import COCO

from .conftest import walkers


def test_it_is_the_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(23, 4, 3)).astype(np.float32)
    rows = ArrayFile(tmp_path / "x.rows", np.float32, (4, 3))
    assert len(rows) == 0
    assert rows[:].shape == (0, 4, 3)
    for start in range(0, 23, 5):
        rows.append(truth[start : start + 5])
    truth[7] = 5
    rows[7] = truth[7]
    for again in (rows, ArrayFile(rows.path, np.float32, (4, 3))):
        assert np.array_equal(again[:], truth)
        assert np.array_equal(again[3:9], truth[3:9])
        assert np.array_equal(again[-1], truth[-1])
        assert again[20:99].shape == (3, 4, 3)
    with pytest.raises(IndexError, match="row 23 of 23"):
        rows[23]
    rows[22][:] = 9  # what is read is a copy
    assert np.array_equal(rows[22], truth[22])


def test_a_row_that_a_kill_cut_is_written_over(tmp_path: Path) -> None:
    rows = ArrayFile(tmp_path / "x.rows", np.float64, (2,))
    rows.append(np.arange(6.0).reshape(3, 2))
    rows.path.write_bytes(rows.path.read_bytes()[:-5])
    again = ArrayFile(rows.path, np.float64, (2,))
    assert len(again) == 2
    again.append(np.array([[8.0, 9.0]]))
    assert np.array_equal(ArrayFile(rows.path, np.float64, (2,))[:], [[0, 1], [2, 3], [8, 9]])


def test_cut_rows_are_gone_at_the_next_append(tmp_path: Path) -> None:
    rows = ArrayFile(tmp_path / "x.rows", np.int32)
    rows.append(np.arange(10))
    rows.cut(4)
    rows.append(np.array([70]))
    assert ArrayFile(rows.path, np.int32)[:].tolist() == [0, 1, 2, 3, 70]


def test_people_of_a_frame_that_a_kill_cut_do_not_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = []
    for people in (2, 0, 3):
        rows = np.zeros(people, person_dtype(COCO))
        for name in person_dtype(COCO).names or ():
            rows[name] = rng.uniform(size=rows[name].shape)
        frames.append(rows)
    detections = DetectionStore(tmp_path, COCO)
    for frame in frames:
        detections.append(frame)
    ends = tmp_path / "frames.rows"
    ends.write_bytes(ends.read_bytes()[:-8])  # the people are there, the frame is not
    again = DetectionStore(tmp_path, COCO)
    assert (len(again), again.people) == (2, 2)
    again.append(frames[2])
    for index, rows in enumerate(frames):
        np.testing.assert_array_equal(again[index], rows)


def test_steadying_on_disk_holds_a_few_frames_and_gives_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    T, points = 60, 1 + 19 + 9000
    bodies = rng.normal(size=(T, points, 3)).astype(np.float32)
    bodies[:, 0, 2] += 5
    rows = ArrayFile(tmp_path / "x.rows", np.float32, (points, 3))
    rows.append(bodies)
    tracemalloc.start()
    steady_bodies(rows, 30, COCO)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.25 * bodies.nbytes
    steady_bodies(bodies, 30, COCO)
    assert np.array_equal(rows[:], bodies)


@pytest.mark.slow
def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """Of the model that ships, with its rig, in every format but the overlay."""
    measure = (
        "import resource, sys; from pose2mesh.cli.main import main; assert main(sys.argv[1:]) == 0; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    there = 3 * walkers()[:, 0] * [1, 1, 1 / 3]
    peaks = []
    for times in (2, 12):
        np.save(tmp_path / "x.npy", np.concatenate([there, there[::-1]] * times))
        arguments = ["predict", str(tmp_path / "x.npy"), "--fps", "30", "--formats", "npz,json,bvh,glb,rig"]
        command = [sys.executable, "-c", measure, *arguments, "--out", str(tmp_path / "out")]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        peaks.append(int(finished.stdout.splitlines()[-1]) / 1024)
    # 800 frames more, of 165 KB each, would be 130 MB.
    assert peaks[1] - peaks[0] < 30
