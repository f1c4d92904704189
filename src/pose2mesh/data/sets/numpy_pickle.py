"""Pickles that hold nothing but NumPy arrays and plain values, read without running what else a pickle can hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from pose2mesh.errors import InputError, one_line


def _encode(text: str, encoding: str) -> bytes:
    # How Python 3 writes bytes in old protocols; with any other codec, code of others would run.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r}")
    return text.encode("latin1")


_BUFFER = np.empty(1).__reduce_ex__(5)[0]
_RECONSTRUCT, _SCALAR = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _BUFFER,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_numpy_pickle(path: Path) -> Any:
    """What a pickle holds, of Python 2 or 3: arrays, numbers, text, lists and dicts.

    Raises:
        InputError: no such file, not a pickle, or one that asks for anything but NumPy's arrays.
    """
    try:
        with path.open("rb") as file:
            return _Restricted(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        reason = one_line(error) or type(error).__name__
        raise InputError(f"{path}: not a pickle of NumPy arrays and plain values ({reason})") from error
