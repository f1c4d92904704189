"""Videos read frame by frame: all frames, upright, from any start; damage is reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.mp4_writer import Mp4Writer

from .conftest import FRAMES, SIZE, number_of, write_video


def test_every_frame_in_order(video_file: Path) -> None:
    video = Video(video_file)
    assert (video.size, video.rate, video.expected_frames) == (SIZE, 30, FRAMES)
    pictures = list(video.frames())
    assert [number_of(picture) for picture in pictures] == list(range(FRAMES))
    assert {(picture.shape, picture.dtype) for picture in pictures} == {((120, 160, 3), np.dtype(np.uint8))}
    assert video.fault is None
    later = list(video.frames(start=33))
    assert len(later) == FRAMES - 33
    assert np.array_equal(later[0], pictures[33])


def test_a_file_cut_short_gives_what_it_has(video_file: Path, tmp_path: Path) -> None:
    data = video_file.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 2 // 3])
    video = Video(cut)
    read = len(list(video.frames()))
    assert 5 < read < FRAMES
    assert video.fault == f"cut short or damaged: {read} of about {FRAMES} frames could be read"
    assert video.rate == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read as a video"), (b"no video at all", "cannot be read as a video"), (None, "No such file")],
)
def test_what_is_no_video_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as fault:
        Video(path)
    assert str(fault.value).startswith(f"{path}: ")
    assert "\n" not in str(fault.value)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to turn a video")
@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".avi"])
def test_other_containers(video_file: Path, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", video_file, "-c", "copy", path], check=True)
    video = Video(path)
    assert len(list(video.frames())) == FRAMES
    assert float(video.rate) == pytest.approx(30, rel=1e-3)
    assert video.fault is None


def test_a_file_says_how_it_is_turned(tmp_path: Path) -> None:
    """As phones record: the frames are stored rotated, with a matrix in the track's header (ISO 14496-12)."""
    writer = Mp4Writer(tmp_path / "x.mp4", SIZE, Fraction(30))
    left_bright = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    left_bright[:, : SIZE[0] // 2] = 200
    for _ in range(3):
        writer.write(left_bright)
    writer.close()
    data = bytearray((tmp_path / "x.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0: nine 32-bit numbers after 40 bytes
    for index, number in enumerate((0, 1, 0, -1, 0, 0)):  # a quarter clockwise
        unit = 1 << 16
        data[matrix + 4 * index : matrix + 4 * index + 4] = (number * unit).to_bytes(4, "big", signed=True)
    (tmp_path / "x.mp4").write_bytes(data)
    video = Video(tmp_path / "x.mp4")
    assert video.size == (SIZE[1], SIZE[0])
    picture = next(video.frames())
    assert picture[:60].mean() > 150 > 50 > picture[100:].mean()  # left became top


def test_odd_sizes_lose_a_pixel(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "x.mp4", frames=2, size=(161, 121)))
    assert video.size == (160, 120)


def test_without_pyav_a_line_says_what_to_install(video_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r'videos need PyAV, which .*`pip install "pose2mesh\[video\]"` brings it'):
        Video(video_file)


@pytest.mark.parametrize(("value", "equivalent"), [("26", 26.0), ("0", None), ("many", None)])
def test_the_focal_length_of_the_metadata(tmp_path: Path, value: str, equivalent: float | None) -> None:
    av = pytest.importorskip("av")
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    with av.open(str(tmp_path / "a.mov"), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata[key] = value
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    found = Video(tmp_path / "a.mov").focal_length
    assert found.equivalent_mm == equivalent
    assert (found.fault is None) == (equivalent is not None)
    if found.fault is not None:
        assert found.fault == f"{key} is {value}; expected 8 to 1200 mm"
