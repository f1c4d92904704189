"""The ONNX networks of detectors, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.inference.onnx_backend import open_session
from pose2mesh.io.extras import require


def require_onnxruntime() -> None:
    """Check that ONNX Runtime is installed and loads.

    Raises:
        InputError: ONNX Runtime is missing or fails to load; the message names the package to install.
    """
    require("onnxruntime", "rtmpose")


class OnnxNetwork:
    """A network with one image as input, run on the CPU with OMP_NUM_THREADS threads, or one per core if unset.

    Args:
        path: The `.onnx` file.

    Attributes:
        size: (width, height) of the input (1, 3, H, W); None where the file does not fix it.
        outputs: Names of the outputs.

    Raises:
        InputError: ONNX Runtime is missing, or the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        require_onnxruntime()
        self.path = path
        try:
            self._session = open_session(path, ["CPUExecutionProvider"])
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be read as an ONNX file ({one_line(error)})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            shapes = ", ".join(str(each.shape) for each in inputs)
            raise InputError(f"{path}: takes {shapes}; expected one image (1, 3, H, W)")
        self._input = inputs[0].name
        height, width = inputs[0].shape[2:]
        self.size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        self.outputs = {each.name for each in self._session.get_outputs()}

    def run(self, pixels: NDArray[np.floating | np.uint8], names: list[str] | None = None) -> list[NDArray[np.float32]]:
        """Run on an image (H, W, 3); returns the outputs called `names`, or all.

        Raises:
            InputError: the network does not run on an input of this size.
        """
        feed = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
        try:
            return list(self._session.run(names, {self._input: feed}))
        except Exception as error:  # ONNX Runtime's errors have no other common base class
            raise InputError(f"{self.path}: does not run on an image of {feed.shape} ({one_line(error)})") from error
