"""Safe reader of pickles with arrays and plain values, as in data sets and body models: no code in them is run.

Stand-ins for classes of NumPy, SciPy and chumpy only store their state; arrays of numbers are made from it afterwards.
Other names are refused.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line


def read_pickle(path: Path) -> Any:
    """Read a pickle of Python 2 or 3; its arrays are stand-ins, for `as_array` or `plain`.

    Raises:
        InputError: no such file, not a pickle, or one that contains other classes.
    """
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream, path).load()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle can raise almost any exception
        raise InputError(f"{path}: not a readable pickle ({one_line(error) or type(error).__name__})") from error


def read_plain(path: Path) -> Any:
    """Read a pickle of Python 2 or 3 as arrays, numbers, text, lists and dictionaries.

    Raises:
        InputError: as `read_pickle`, or an array of something else.
    """
    found = read_pickle(path)
    try:
        return plain(found)
    except Exception as error:  # a forged array can raise almost any exception
        raise InputError(f"{path}: not a readable pickle ({one_line(error) or type(error).__name__})") from error


def plain(value: Any) -> Any:
    """Replace all stand-ins in nested lists, tuples and dictionaries by arrays.

    Raises:
        ValueError: one of them is no array of numbers or of such values.
    """
    if isinstance(value, _StandIn):
        array = value.array()
        return array.item() if array.ndim == 0 else array
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value


class _StandIn:
    """Stand-in for an object of another package: stores the state, and makes an array of it on request."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        raise ValueError("found something that is no array")


class _Dtype(_StandIn):
    """`numpy.dtype`, of numbers alone: a forged object type would make pointers of the file's bytes."""

    def __init__(self, code: str = "", *_: Any) -> None:
        self.code = code

    def dtype(self) -> np.dtype:
        if not re.fullmatch("[biuf][1248]", self.code):
            raise ValueError(f"found an array of {self.code!r}, expected numbers")
        return np.dtype(self.code).newbyteorder(self.state[1] if self.state else "|")


class _NdArray(_StandIn):
    """`numpy.ndarray`, whose state is a version, the shape, the dtype, whether in Fortran's order, and the bytes."""

    def array(self) -> NDArray[Any]:
        _, shape, dtype, fortran, data = self.state
        if dtype.code.startswith("O") and isinstance(data, list):
            objects = np.empty(len(data), object)
            objects[:] = [plain(item) for item in data]
            return objects.reshape(shape, order="F" if fortran else "C")
        numbers = dtype.dtype()  # first: objects come as a list, not as bytes
        return np.frombuffer(_bytes(data), numbers).reshape(shape, order="F" if fortran else "C")


class _Sparse(_StandIn):
    """A sparse matrix of SciPy."""

    format: str

    def array(self) -> NDArray[Any]:
        import scipy.sparse as sp

        kind = sp.csc_array if self.format == "csc" else sp.csr_array
        parts = tuple(as_array(self.state[name]) for name in ("data", "indices", "indptr"))
        matrix = kind(parts, shape=self.state["_shape"] if "_shape" in self.state else self.state["shape"])
        matrix.check_format(full_check=True)  # an index beyond the shape would be written to memory unchecked
        return matrix.toarray()


class _Columns(_Sparse):
    format = "csc"


class _Rows(_Sparse):
    format = "csr"


class _Chumpy(_StandIn):
    """Any class of chumpy: an array (`x`), or entries of another (`a`, `idxs`)."""

    def array(self) -> NDArray[Any]:
        if "x" in self.state:
            return as_array(self.state["x"])
        if not {"a", "idxs"} <= self.state.keys():
            raise ValueError(f"a chumpy expression of {', '.join(self.state)}, expected an array or entries of one")
        chosen = as_array(self.state["a"]).ravel()[as_array(self.state["idxs"])]
        return chosen.reshape(self.state.get("preferred_shape", chosen.shape))


def as_array(value: Any) -> NDArray[Any]:
    return value.array() if isinstance(value, _StandIn) else np.asarray(value)


def _stand_in(kind: type, *_: Any) -> _StandIn:
    """`copyreg._reconstructor` and NumPy's `_reconstruct`, for stand-ins alone: the state follows."""
    if not issubclass(kind, _StandIn):
        raise ValueError(f"an object of {kind.__name__}")
    return kind()


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str = "C", *_: Any) -> _NdArray:
    """NumPy's `_frombuffer`, which is how protocol 5 writes arrays."""
    if order not in ("C", "F"):
        raise ValueError(f"found an array in order {order!r}, expected C or F")
    found = _NdArray()
    found.state = (1, shape, dtype, order == "F", data)
    return found


def _scalar(dtype: _Dtype, data: bytes | str) -> _NdArray:
    return _from_buffer(_bytes(data), dtype, ())


def _bytes(text: bytes | str, *_: Any) -> bytes:
    """`_codecs.encode`, which is how Python 3 writes bytes for Python 2: always latin1."""
    return text.encode("latin1") if isinstance(text, str) else bytes(memoryview(text))


def _no_bytes() -> bytes:
    """`bytes()`, which is how Python 3 writes no bytes at all for Python 2."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _bytes,
    **{(module, "_reconstructor"): _stand_in for module in ("copy_reg", "copyreg")},
    **{(module, "object"): object for module in ("__builtin__", "builtins")},
    **{(module, "set"): set for module in ("__builtin__", "builtins")},
    **{(module, "bytes"): _no_bytes for module in ("__builtin__", "builtins")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _stand_in for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    **{
        (f"scipy.sparse.{prefix}{kind.format}", f"{kind.format}_{suffix}"): kind
        for kind in (_Columns, _Rows) for prefix in ("", "_") for suffix in ("matrix", "array")
    },
}  # fmt: skip


class _Unpickler(pickle.Unpickler):
    """Unpickler that resolves the names in `_ALLOWED` and those of chumpy only."""

    def __init__(self, stream: Any, path: Path) -> None:
        super().__init__(stream, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if module == "chumpy" or module.startswith("chumpy."):
            return _Chumpy
        if (module, name) not in _ALLOWED:
            raise InputError(f"{self.path}: names the global {module}.{name}, which holds more than numbers: refused")
        return _ALLOWED[module, name]
