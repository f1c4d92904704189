"""Writes images to an MP4 file that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.pipelines.video.frame_reader import require_pyav

# The first encoder of the installed FFmpeg is used. H.264 plays everywhere; VP9, for an FFmpeg without GPL parts, plays
# in browsers.
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "libopenh264": {"b": "6M"},
    "libvpx-vp9": {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
}


class Mp4Writer:
    """A video file being written.

    Args:
        path: The file; complete after `close`.
        size: (width, height) of the images; odd sizes lose a pixel, since the encoders take even sizes only.
        rate: Frames per second.

    Raises:
        InputError: PyAV is missing, it has no encoder for MP4, or the file cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        self._av = require_pyav()
        self.path = path
        encoder = next((name for name in _ENCODERS if name in self._av.codecs_available), None)
        if encoder is None:
            raise InputError(f"{path}: PyAV has none of {', '.join(_ENCODERS)}; expected an encoder for MP4")
        self._width, self._height = (max(2, side - side % 2) for side in size)
        # The index is put first, so that a browser can start playing before the download ends.
        self._container = self._av.open(str(path), "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream(encoder, rate=rate, options=_ENCODERS[encoder])
        self._stream.width, self._stream.height, self._stream.pix_fmt = self._width, self._height, "yuv420p"

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append a frame (H, W, 3) RGB.

        Raises:
            InputError: the file cannot be written.
        """
        even = np.ascontiguousarray(image[: self._height, : self._width])
        self._encode(self._av.VideoFrame.from_ndarray(even, format="rgb24"))

    def _encode(self, frame: object | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: cannot be written as a video ({one_line(error)})") from error

    def close(self, whole: bool = True) -> None:
        """Close the file; without `whole` the encoder is not flushed, for a file that is discarded."""
        try:
            if whole:
                self._encode(None)
        finally:
            self._container.close()
