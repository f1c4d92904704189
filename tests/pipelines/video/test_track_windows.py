"""Splitting of long tracks into windows, and blending."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.track_windows import joined, windows


@pytest.mark.parametrize("overlap", [0, 4])
@pytest.mark.parametrize("frames", [1, 3, 4, 5, 19, 20, 21, 36, 37, 333])
def test_windows_cover_all_frames(frames: int, overlap: int) -> None:
    spans = windows(frames, 20, overlap)
    assert (spans[0].start, spans[-1].stop) == (0, frames)
    assert all(0 < span.stop - span.start <= 20 for span in spans)
    assert [before.stop - after.start for before, after in pairwise(spans)] == [overlap] * (len(spans) - 1)
    assert (len(spans) == 1) == (frames <= 20)


def test_one_window_fades_into_the_next(tmp_path: Path) -> None:
    spans = windows(50, 20, 6)
    time = np.arange(50, dtype=np.float32)
    rows = ArrayFile(tmp_path / "raw.rows", np.float32, (2, 1))
    for number, span in enumerate(spans):  # each is off by something of its own
        rows.append(np.stack([time[span], time[span] + 0.7 * number], axis=1)[..., None])
    whole = np.concatenate(list(joined(rows, spans)))[..., 0]
    np.testing.assert_allclose(whole[:, 0], time, atol=1e-4)
    steps = np.diff(whole[:, 1])
    assert steps.min() > 0.99
    assert steps.max() < 1 + 0.7 / 4
    np.testing.assert_allclose(whole[[0, -1], 1], [0, 49 + 0.7 * (len(spans) - 1)], atol=1e-4)


def test_without_overlap_frames_stay_as_they_are(tmp_path: Path) -> None:
    rows = ArrayFile(tmp_path / "raw.rows", np.float32)
    rows.append(np.arange(50))
    parts = list(joined(rows, windows(50, 20, 0)))
    assert len(parts) == 3
    assert np.concatenate(parts).tolist() == list(range(50))
