"""The networks of detectors that ship; `scripts/convert_blazepose.py` and `scripts/convert_movenet.py` make them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region, crop
from pose2mesh.errors import InputError, one_line
from pose2mesh.inference.onnx_backend import open_session
from pose2mesh.io.extras import REINSTALL, require

FOLDER = Path(str(files("pose2mesh"))) / "weights" / "blazepose"
SHA256 = {
    "person_detector.onnx": "78da21a3c58a41496ab29a8662f7bb79a87c431cc4dce8a53e5c8049b3032622",
    "pose_landmarks.onnx": "8e3cc6246022dddb0e54634e313839434bfca0772543f3ae0cb2a43cc0e9080d",
}


class ShippedNetwork:
    """A network from images (B, H, W, 3) of bytes, run by ONNX Runtime on the CPU.

    Args:
        name: File name.
        folder: Where the file is.
        sha256: Its digest in hex, by default that in `SHA256`.

    Raises:
        InputError: ONNX Runtime is missing, or the file is missing or damaged.
    """

    def __init__(self, name: str, folder: Path = FOLDER, sha256: str | None = None) -> None:
        require("onnxruntime", "onnx")
        self.path = folder / name
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error}); {REINSTALL}") from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != (expected := sha256 or SHA256[name]):
            raise InputError(
                f"{self.path}: is damaged, it has {len(data):,} bytes with SHA-256 {digest}; expected {expected}; "
                f"{REINSTALL}"
            )
        # In a video these networks alternate with PyTorch's, whose threads spinning ones would slow down. On busy cores
        # spinning doubles the time of a run.
        self._session = open_session(data, ["CPUExecutionProvider"], spinning=False)

    def run(self, images: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        """The outputs called `names` for images (B, H, W, 3) RGB.

        Raises:
            InputError: ONNX Runtime fails, for example for want of memory.
        """
        try:
            return list(self._session.run(names, {"image": images}))
        except Exception as error:  # ONNX Runtime's errors have no other common base class
            raise InputError(f"{self.path}: does not run on images {images.shape} ({one_line(error)})") from error

    def run_on_regions(
        self, image: NDArray[np.uint8], regions: list[Region], size: int, names: list[str], batch: int
    ) -> Iterator[tuple[NDArray[np.float32], ...]]:
        """The outputs called `names` of each region of an image (H, W, 3) RGB, in their order.

        Args:
            image: The image, whose edge is repeated beyond it.
            regions: The regions.
            size: Side of the network's input in pixels.
            names: As for `run`.
            batch: Regions per run.

        Raises:
            InputError: as `run`.
        """
        for start in range(0, len(regions), batch):
            crops = [crop(image, region, size, repeat_edge=True) for region in regions[start : start + batch]]
            yield from zip(*self.run(np.stack(crops), names), strict=True)


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities from logits of any size."""
    return 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -100, 100)))
