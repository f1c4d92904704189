"""Model files of the SMPL family, official `.npz` and `.pkl`, as checked arrays; nothing in a file is ever run.

The official pickles were written by Python 2, some with arrays of chumpy, a package that no longer installs. Unpickling
is running a small program that may call anything it can name, so every name is looked up in a table of ours: stand-ins
for classes of NumPy, SciPy and chumpy that only remember what they are given. Other names are refused.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line

SmplModel = Literal["smpl", "smplh", "smplx", "mano"]

JOINT_COUNTS: dict[str, int] = {"smpl": 24, "smplh": 52, "smplx": 55, "mano": 16}
SHAPES = 10  # the first coefficients of a model; SMPL-H has 16, SMPL-X 300, of which these vary most

# The mean pose of the fingers, axis-angle, which a model adds to the pose it is given.
HAND_MEANS: dict[str, tuple[str, ...]] = {
    "smpl": (),
    "smplh": ("hands_meanl", "hands_meanr"),
    "smplx": ("hands_meanl", "hands_meanr"),
    "mano": ("hands_mean",),
}


@dataclass(frozen=True)
class SmplArrays:
    """What a model file holds, in the units and axes of the model: metres.

    Attributes:
        template: (V, 3) the mean body without pose.
        faces: (F, 3) triangles.
        skin_weights: (V, J) how far each joint carries a vertex.
        shapes: (V, 3, 10) how vertices move with a shape coefficient.
        pose_shapes: (V, 3, 9 · (J − 1)) how they move with each entry of the joints' rotation matrices.
        joint_regressor: (J, V) the joints of the body without pose.
        parents: (J,) the parent of each joint, −1 for the root.
        hand_means: By their names in the file, (45,) axis-angle; those that are there.
    """

    template: NDArray[np.float32]
    faces: NDArray[np.int64]
    skin_weights: NDArray[np.float32]
    shapes: NDArray[np.float32]
    pose_shapes: NDArray[np.float32]
    joint_regressor: NDArray[np.float32]
    parents: NDArray[np.int64]
    hand_means: dict[str, NDArray[np.float32]]


def read_smpl(path: Path, model: SmplModel) -> SmplArrays:
    """Read an official model file.

    Args:
        path: `.npz` or `.pkl`.
        model: What the file must be.

    Raises:
        InputError: the file cannot be read, names what a model does not need, lacks an array, is of another model, or
            an array has the wrong shape or values.
    """
    keys = ("kintree_table", "v_template", "f", "weights", "shapedirs", "posedirs", "J_regressor")
    readers = {".npz": _read_npz, ".pkl": _read_pickle}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected a model file, .npz or .pkl")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    found = readers[path.suffix](path, (*keys, *HAND_MEANS[model]))
    joints = JOINT_COUNTS[model]
    if "kintree_table" in found:
        parents = _parents(path, found["kintree_table"], model)  # first, to tell a file of another model
    for key in keys:
        if key not in found:
            raise InputError(f"{path}: no array {key!r}, expected in a file of {model}")
    template = _numbers(path, found, "v_template", (None, 3))
    V = len(template)
    faces = _numbers(path, found, "f", (None, 3)).astype(np.int64)
    if not 0 <= faces.min() <= faces.max() < V:
        raise InputError(f"{path}: f names vertices {faces.min()} to {faces.max()}, expected 0 to {V - 1}")
    shapes = _numbers(path, found, "shapedirs", (V, 3, None))
    if shapes.shape[2] < SHAPES:
        raise InputError(f"{path}: shapedirs has {shapes.shape[2]} shapes, expected at least {SHAPES}")
    return SmplArrays(
        template=template,
        faces=faces,
        skin_weights=_numbers(path, found, "weights", (V, joints)),
        shapes=shapes[..., :SHAPES],
        pose_shapes=_numbers(path, found, "posedirs", (V, 3, 9 * (joints - 1))),
        joint_regressor=_numbers(path, found, "J_regressor", (joints, V)),
        parents=parents,
        hand_means={key: _numbers(path, found, key, (45,)) for key in HAND_MEANS[model] if key in found},
    )


def _parents(path: Path, table: NDArray[Any], model: SmplModel) -> NDArray[np.int64]:
    """The first row of the table; whoever has another number of joints is another model, which is then named."""
    if table.ndim != 2 or table.shape[0] != 2 or table.dtype.kind not in "iu":
        raise InputError(f"{path}: kintree_table has shape {table.shape} of {table.dtype}, expected (2, J) of integers")
    count = table.shape[1]
    if count != JOINT_COUNTS[model]:
        other = [f" (the file is of {name})" for name, joints in JOINT_COUNTS.items() if joints == count]
        raise InputError(
            f"{path}: kintree_table has {count} joints{''.join(other)}, expected {JOINT_COUNTS[model]} of {model}"
        )
    parents = table[0].astype(np.int64)
    parents[0] = -1  # 2³² − 1 in the official files
    if not (parents[1:] >= 0).all() or not (parents[1:] < np.arange(1, count)).all():
        raise InputError(f"{path}: kintree_table has parents {parents.tolist()}, expected each before its joint")
    return parents


def _numbers(
    path: Path, found: dict[str, NDArray[Any]], key: str, shape: tuple[int | None, ...]
) -> NDArray[np.float32]:
    """One array, of numbers in the shape expected, where None stands for any length."""
    array = found[key]
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: {key} holds {array.dtype}, expected numbers")
    # An indexed array of chumpy comes flat.
    known = int(np.prod([length for length in shape if length is not None]))
    if array.ndim == 1 < len(shape) and array.size and array.size % known == 0:
        array = array.reshape([-1 if length is None else length for length in shape])
    fits = len(array.shape) == len(shape) and all(
        length in (None, have) for length, have in zip(shape, array.shape, strict=True)
    )
    if not fits or not array.size:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise InputError(f"{path}: {key} has shape {array.shape}, expected ({expected})")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {key} holds {array[~np.isfinite(array)][0]}, expected finite numbers")
    return array


def _read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a readable .npz file (not a zip archive, or cut off)")
    try:
        # Only what is needed is read: SMPL-X keeps pickled dictionaries next to its arrays.
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys if key in arrays.files}
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        raise InputError(f"{path}: not a readable .npz file ({one_line(error)})") from error


def _read_pickle(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream:
            found = _ModelUnpickler(stream, path).load()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle fails in as many ways as it has parts
        raise InputError(f"{path}: not a readable pickle ({one_line(error) or type(error).__name__})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, expected a dictionary of arrays")
    arrays = {}
    for key in keys:
        try:
            if key in found:
                arrays[key] = _array(found[key])
        except Exception as error:
            raise InputError(f"{path}: {key} cannot be read ({one_line(error)})") from error
    return arrays


class _StandIn:
    """Stands for an object of another package: remembers the state it is given, and makes an array of it when asked."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        raise ValueError("found something that is no array")


class _Dtype(_StandIn):
    """`numpy.dtype`: of numbers alone, since a forged one of objects would make pointers of the file's bytes."""

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
        numbers = dtype.dtype()  # first: objects come as a list, not as bytes
        return np.frombuffer(_bytes(data), numbers).reshape(shape, order="F" if fortran else "C")


class _Sparse(_StandIn):
    """A sparse matrix of SciPy."""

    format: str

    def array(self) -> NDArray[Any]:
        import scipy.sparse as sp

        kind = sp.csc_array if self.format == "csc" else sp.csr_array
        parts = tuple(_array(self.state[name]) for name in ("data", "indices", "indptr"))
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
            return _array(self.state["x"])
        if not {"a", "idxs"} <= self.state.keys():
            raise ValueError(f"a chumpy expression of {', '.join(self.state)}, expected an array or entries of one")
        chosen = _array(self.state["a"]).ravel()[_array(self.state["idxs"])]
        return chosen.reshape(self.state.get("preferred_shape", chosen.shape))


def _array(value: Any) -> NDArray[Any]:
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


class _ModelUnpickler(pickle.Unpickler):
    """Knows the names in `_ALLOWED` and chumpy's, and looks no name up anywhere else."""

    def __init__(self, stream: Any, path: Path) -> None:
        super().__init__(stream, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if module == "chumpy" or module.startswith("chumpy."):
            return _Chumpy
        if (module, name) not in _ALLOWED:
            raise InputError(
                f"{self.path}: names the global {module}.{name}, which a model file does not need: refused"
            )
        return _ALLOWED[module, name]
