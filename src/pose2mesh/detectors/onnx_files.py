"""ONNX files of detectors, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.inference.onnx_backend import open_session


def require_onnxruntime() -> None:
    """Refuse to go on where ONNX Runtime cannot run.

    Raises:
        InputError: says what to install.
    """
    try:
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; `pip install pose2mesh[rtmpose]` brings it") from error
    except (ImportError, OSError) as error:
        raise InputError(f"ONNX Runtime does not load ({one_line(error)})") from error


class Network:
    """A network of one picture, on the CPU: on as many threads as OMP_NUM_THREADS says, else on all cores.

    Args:
        path: The file.

    Attributes:
        size: (width, height) of its input (1, 3, H, W); None where the file leaves it open.
        outputs: Their names.

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
        takes = self._session.get_inputs()
        if len(takes) != 1 or len(takes[0].shape) != 4:
            shapes = ", ".join(str(each.shape) for each in takes)
            raise InputError(f"{path}: takes {shapes}; expected one picture (1, 3, H, W)")
        self._input = takes[0].name
        height, width = takes[0].shape[2:]
        self.size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        self.outputs = {each.name for each in self._session.get_outputs()}

    def run(self, pixels: NDArray[np.floating | np.uint8], names: list[str] | None = None) -> list[NDArray[np.float32]]:
        """The outputs called `names`, or all, for an input (H, W, 3).

        Raises:
            InputError: it does not run on that.
        """
        feed = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
        try:
            return list(self._session.run(names, {self._input: feed}))
        except Exception as error:  # ONNX Runtime's errors share no class but this
            raise InputError(f"{self.path}: does not run on a picture of {feed.shape} ({one_line(error)})") from error
