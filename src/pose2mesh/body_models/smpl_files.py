"""Reads model files of the SMPL family, official `.npz` and `.pkl`, as checked arrays; no code in a file is run.

The official pickles were written by Python 2, some with arrays of chumpy, a package that no longer installs; see
`pose2mesh.io.safe_pickle`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.safe_pickle import as_array, read_pickle

SmplModel = Literal["smpl", "smplh", "smplx", "mano"]

JOINT_COUNTS: dict[str, int] = {"smpl": 24, "smplh": 52, "smplx": 55, "mano": 16}
SHAPES = 10  # the first coefficients, with the largest variance; SMPL-H files have 16, SMPL-X files 300

# File keys of the mean pose of the fingers, axis-angle, which a model adds to its input pose.
HAND_MEANS: dict[str, tuple[str, ...]] = {
    "smpl": (),
    "smplh": ("hands_meanl", "hands_meanr"),
    "smplx": ("hands_meanl", "hands_meanr"),
    "mano": ("hands_mean",),
}


@dataclass(frozen=True)
class SmplArrays:
    """The arrays of a model file, in the units and axes of the model: metres.

    Attributes:
        template: (V, 3) the mean body without pose.
        faces: (F, 3) triangles.
        skin_weights: (V, J) skinning weights.
        shapes: (V, 3, 10) displacement of the vertices per unit of a shape coefficient.
        pose_shapes: (V, 3, 9 · (J − 1)) displacement per unit of each entry of the joints' rotation matrices.
        joint_regressor: (J, V) the joints of the rest body.
        parents: (J,) the parent of each joint, −1 for the root.
        hand_means: (45,) axis-angle by key of the file; only the keys that exist.
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
        model: The expected model.

    Raises:
        InputError: the file cannot be read, pickles classes that no model needs, lacks an array, is of another model,
            or an array has the wrong shape or values.
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
        parents = _parents(path, found["kintree_table"], model)  # first, since it identifies a file of another model
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
    """The first row of the table; a different number of joints means another model, which the error names."""
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
    """One numeric array of the expected shape, where None stands for any length."""
    array = found[key]
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: {key} holds {array.dtype}, expected numbers")
    # Indexed chumpy arrays are flat.
    fixed = int(np.prod([length for length in shape if length is not None]))
    if array.ndim == 1 < len(shape) and array.size and array.size % fixed == 0:
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
        # Only the needed keys are read: SMPL-X files also hold pickled dictionaries.
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys if key in arrays.files}
    except Exception as error:  # a damaged archive raises many kinds of exceptions
        raise InputError(f"{path}: not a readable .npz file ({one_line(error)})") from error


def _read_pickle(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    found = read_pickle(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, expected a dictionary of arrays")
    arrays = {}
    for key in keys:
        try:
            if key in found:
                arrays[key] = as_array(found[key])
        except Exception as error:
            raise InputError(f"{path}: {key} cannot be read ({one_line(error)})") from error
    return arrays
