"""Records of a data set after reading: one row for each person, in memory-mapped columns.

Metres; camera frame x right, y down, z forward; pixels with the origin at the top left; rotations as axis-angle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError

GENDERS = ("neutral", "male", "female")
INDEX = "index.json"


@dataclass(frozen=True)
class Schema:
    """Columns of a data set, and the names of their joints.

    Attributes:
        name: Name of the data set.
        joints: Names of the `J` true joints, in array order.
        columns: The optional columns that it has (`column_types`).
        detected: Names of the `D` detected joints, which can be another joint set.
        body: Body model of the parameters, `smpl`, `smplh` or `mano`; "" for none.
        pose_joints: `K`, the number of joints that `pose` rotates.
    """

    name: str
    joints: tuple[str, ...]
    columns: tuple[str, ...]
    detected: tuple[str, ...] = ()
    body: str = ""
    pose_joints: int = 0

    def column_types(self) -> dict[str, tuple[tuple[int, ...], type, float]]:
        """Shape for each record, type, and placeholder of a missing value, of each column."""
        joints, detected, turned = len(self.joints), len(self.detected), self.pose_joints
        optional: dict[str, tuple[tuple[int, ...], type, float]] = {
            "joints_px": ((joints, 3), np.float32, 0),
            "detected_px": ((detected, 3), np.float32, 0),
            "joints_m": ((joints, 3), np.float32, 0),
            "joints_valid": ((joints,), np.bool_, 0),
            "pose": ((turned, 3), np.float32, 0),
            "shape": ((10,), np.float32, 0),
            "translation_m": ((3,), np.float32, np.nan),
            "gender": ((), np.int8, 0),
            "body_valid": ((), np.bool_, 0),
            "intrinsics": ((4,), np.float32, np.nan),
            "weak_camera": ((4,), np.float32, np.nan),
            "rotation": ((3, 3), np.float32, np.nan),
            "origin_m": ((3,), np.float32, np.nan),
        }
        if unknown := set(self.columns) - set(optional):
            raise ValueError(f"columns {sorted(unknown)} are not known")
        whole = ("image", "subject", "action", "camera", "sequence", "frame")
        always: dict[str, tuple[tuple[int, ...], type, float]] = {
            **{name: ((), np.int32, -1) for name in whole},
            "image_id": ((), np.int64, -1),
            "annotation_id": ((), np.int64, -1),
            "box": ((4,), np.float32, np.nan),
            "image_size": ((2,), np.int32, 0),
        }
        return always | {name: optional[name] for name in optional if name in self.columns}


class Strings:
    """File names in one block of UTF-8 with the end of each: a million names without a million Python objects."""

    def __init__(self, block: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._block, self._ends = block, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        start = int(self._ends[index - 1]) if index else 0
        return self._block[start : int(self._ends[index])].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class Records:
    """The `N` records of a data set, one person in one image each. A column that the data set lacks is None.

    Attributes:
        folder: Folder of the columns.
        schema: Joint sets, body model and columns.
        files: Image files, relative to the data set's folder of images; "" is not a file.
        sequences: Names of the sequences.
        image: (N,) index into `files`; -1 where there are no images.
        image_id, annotation_id: (N,) ids in the data set.
        subject, action, camera, sequence, frame: (N,) -1 where unknown; `sequence` indexes `sequences`.
        box: (N, 4) x, y, width, height in pixels; NaN where unknown.
        image_size: (N, 2) width, height in pixels; 0 where unknown.
        joints_px: (N, J, 3) true x, y in pixels and visibility in [0, 1]; 0 is not labelled.
        detected_px: (N, D, 3) x, y and score of a detector; score 0 where it found nothing.
        joints_m: (N, J, 3) true joints in the camera frame, metres.
        joints_valid: (N, J) which of `joints_m` are labelled.
        pose: (N, K, 3) rotations of the body model's joints, axis-angle in radians; the first is the global one.
        shape: (N, 10) shape coefficients.
        translation_m: (N, 3) translation of the body model, metres; NaN where unknown.
        gender: (N,) index into `GENDERS`.
        body_valid: (N,) which records have body parameters.
        intrinsics: (N, 4) fx, fy, cx, cy in pixels.
        weak_camera: (N, 4) weak perspective: sx, sy in pixels per metre and tx, ty in pixels; x_px = sx·x + tx.
        rotation, origin_m: (N, 3, 3), (N, 3) where the body parameters are in world axes: the world point X, metres, is
            rotation·X + origin_m in the camera frame.
        left_out: Numbers of annotations left out on purpose, by reason; these are not faulty.
        faults: Number of faulty annotations that were skipped (`on_fault="skip"`).
        fault_messages: Error messages of the first of them.
    """

    folder: Path
    schema: Schema
    files: Strings
    sequences: list[str]
    image: NDArray[np.int32]
    image_id: NDArray[np.int64]
    annotation_id: NDArray[np.int64]
    subject: NDArray[np.int32]
    action: NDArray[np.int32]
    camera: NDArray[np.int32]
    sequence: NDArray[np.int32]
    frame: NDArray[np.int32]
    box: NDArray[np.float32]
    image_size: NDArray[np.int32]
    joints_px: NDArray[np.float32] | None = None
    detected_px: NDArray[np.float32] | None = None
    joints_m: NDArray[np.float32] | None = None
    joints_valid: NDArray[np.bool_] | None = None
    pose: NDArray[np.float32] | None = None
    shape: NDArray[np.float32] | None = None
    translation_m: NDArray[np.float32] | None = None
    gender: NDArray[np.int8] | None = None
    body_valid: NDArray[np.bool_] | None = None
    intrinsics: NDArray[np.float32] | None = None
    weak_camera: NDArray[np.float32] | None = None
    rotation: NDArray[np.float32] | None = None
    origin_m: NDArray[np.float32] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    faults: int = 0
    fault_messages: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.annotation_id)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker of a data loader maps the files again: pickled arrays would be copied into every worker.
        return open_records, (self.folder,)


def describe(schema: Schema, **rest: object) -> str:
    """Text of the file `INDEX`, which describes the other files of a folder of records."""
    return json.dumps({"schema": asdict(schema), **rest})


def open_records(folder: Path) -> Records:
    """Open records: map the columns of a folder written by `cache.cached_records` into memory.

    Raises:
        InputError: the folder holds no records, or is damaged.
    """
    try:
        values = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        described = values["schema"]
        tuples = {name: tuple(described[name]) for name in ("joints", "columns", "detected")}
        schema = Schema(**described | tuples)
        columns: dict[str, Any] = {name: _mapped(folder / f"{name}.npy") for name in schema.column_types()}
        files = Strings(_mapped(folder / "files.npy"), _mapped(folder / "files_ends.npy"))
        rest: dict[str, Any] = {key: values[key] for key in ("sequences", "left_out", "faults", "fault_messages")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: not a whole index of a data set; delete it to have it built again") from error
    return Records(folder.resolve(), schema, files, **rest, **columns)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        return np.load(path, allow_pickle=False)
