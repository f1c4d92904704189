"""Reads the frames of a video file as upright RGB images, one at a time.

PyAV (BSD-3-Clause) is the reader; the FFmpeg libraries in its wheels come with GPL parts, see `docs/video.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.extras import install_command
from pose2mesh.io.focal_length import FocalLength, checked_focal_length

# Missing time at the end from which a file counts as cut short: other streams may be a little longer than the video's.
_MISSING_S, _MISSING_SHARE = 0.5, 0.03
# Relative difference from the declared frame rate up to which the declared one is kept.
_SAME_RATE = 0.005
# Ends of the keys of 35 mm equivalents: com.apple.quicktime.camera.focal_length.35mm_equivalent, and that of EXIF.
_FOCAL_KEYS = ("focal_length.35mm_equivalent", "focallengthin35mmformat", "focallengthin35mmfilm")


def require_pyav() -> Any:
    """PyAV's module.

    Raises:
        InputError: it is not installed, or does not load.
    """
    try:
        import av
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "av"
        fault = "is not installed" if missing else f"does not load ({one_line(error)})"
        raise InputError(f"videos need PyAV, which {fault}; {install_command('video')} brings it") from error
    return av


class Video:
    """A video file.

    Args:
        path: The file.

    Attributes:
        size: (width, height) of the upright frames.
        rate: Frames per second: the declared rate until all frames are read, then the mean of the read frames.
        expected_frames: Approximate number of frames by the file's header; None where it is missing.
        focal_length: By the metadata of the file.
        fault: After `frames` is exhausted: the reason for fewer frames than expected, or None.

    Raises:
        InputError: PyAV is missing, or the file holds no video that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: str | None = None
        with self._opened() as (container, stream):
            self.rate = Fraction(stream.guessed_rate or stream.average_rate or 30)
            self.focal_length = _focal_length({**container.metadata, **stream.metadata})
            self._start_s = float((stream.start_time or 0) * stream.time_base)
            if stream.duration:
                self._seconds = float(stream.duration * stream.time_base)
            else:
                self._seconds = (container.duration or 0) / 1e6
            self.expected_frames = round(self._seconds * self.rate) or None
        first = next(self.frames(), None)
        if first is None:
            raise InputError(f"{path}: holds no frame that can be read")
        self.size = (first.shape[1], first.shape[0])

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        av = require_pyav()
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise InputError(f"{self.path}: holds no video")
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                yield container, stream
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise InputError(f"{self.path}: cannot be read as a video ({reason})") from error

    def frames(self, start: int = 0) -> Iterator[NDArray[np.uint8]]:
        """RGB images (H, W, 3) from frame `start` on; undecodable frames are left out, see `fault`."""
        av = require_pyav()
        count, damaged, first_s, last_s = 0, False, 0.0, 0.0
        shape: tuple[int, int] | None = None
        with self._opened() as (container, stream):
            packets = container.demux(stream)
            known = container.format.name != "avi"  # AVI stores no times; FFmpeg guesses them
            while True:
                try:
                    packet = next(packets, None)
                    decoded = [] if packet is None else packet.decode()
                except av.error.FFmpegError:
                    # A damaged packet; where the file is truncated, the next one is the end.
                    damaged, decoded = True, []
                for frame in decoded:
                    last_s = frame.time if known and frame.time is not None else count / float(self.rate)
                    first_s = first_s if count else last_s
                    if count >= start:
                        image = _upright(frame, stream.sample_aspect_ratio, shape)
                        shape = image.shape[:2]
                        yield image
                    count += 1
                if packet is None:
                    break
        if count > 1 and last_s > first_s:
            mean = (count - 1) / (last_s - first_s)
            if abs(mean / float(self.rate) - 1) > _SAME_RATE:
                self.rate = Fraction(mean).limit_denominator(1001)
        missing_s = self._seconds - (last_s - self._start_s) - 1 / float(self.rate)
        if damaged or missing_s > max(_MISSING_S, _MISSING_SHARE * self._seconds):
            of = f" of about {self.expected_frames}" if self.expected_frames else ""
            self.fault = f"cut short or damaged: {count}{of} frames could be read"


def _focal_length(metadata: Mapping[str, str]) -> FocalLength:
    """The 35 mm equivalent focal length that phones write into the file, as Apple's key or a key that ends alike."""
    for key, value in metadata.items():
        if key.lower().endswith(_FOCAL_KEYS):
            return checked_focal_length(key, value)
    return FocalLength()


def _upright(frame: Any, aspect: Fraction | None, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A frame as an RGB image, rotated by its metadata, with square pixels, of `shape` (height, width) if given."""
    turns = round(frame.rotation / 90) % 4  # degrees counter-clockwise
    width, height = frame.width, frame.height
    if aspect and aspect != 1:
        width = round(width * aspect)
    if shape is not None:  # a stream may change its size
        height, width = shape if turns % 2 == 0 else shape[::-1]
    image = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, turns))
