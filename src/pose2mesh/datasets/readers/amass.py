"""AMASS (Mahmood et al., ICCV 2019): published motions as SMPL-H parameters, without images and cameras.

FOLDER/{data set}/{subject}/{motion}_poses.npz    poses (T, 156), trans (T, 3), betas (16,), gender, mocap_framerate
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.records import GENDERS, Records, Schema
from pose2mesh.errors import InputError, one_line

# The 22 body joints of SMPL-H's 52 are those of SMPL, which rotates a whole hand by one joint; that one stays at rest.
_BODY_JOINTS = 22

_SCHEMA = Schema(
    name="amass",
    joints=(),
    body="smpl",
    pose_joints=24,
    columns=("pose", "shape", "translation_m", "gender", "body_valid"),
)


def read_amass(
    folder: Path,
    cache: Path,
    *,
    sets: Sequence[str] = ("CMU",),
    frames_per_second: float = 2.0,
    on_fault: OnFault = "raise",
) -> Records:
    """Read AMASS at a reduced frame rate: world axes, z up, SMPL's 24 joints with the hands at rest.

    `sequence` is the file and `frame` the frame in it; there is no `subject`.

    Args:
        folder: With a folder for each of `sets`; upper and lower case are the same.
        cache: Folder of the cached records.
        sets: The data sets of AMASS to read.
        frames_per_second: Poses to read for each second; every pose of a motion that has fewer. The reference
            implementation uses 2 for CMU.
        on_fault: See `cache.cached_records`. Each faulty file counts as one fault.

    Raises:
        InputError: see `cache.cached_records`; a folder of `sets` is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with data sets of AMASS")
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    if unknown := [name for name in sets if name.lower() not in there]:
        raise InputError(f"{folder}: has no folder {unknown[0]!r}, expected one for each data set")
    files = [file for name in sets for file in sorted(there[name.lower()].glob("*/*_poses.npz"))]
    if not files:
        raise InputError(f"{folder}: has no motion */*_poses.npz of {', '.join(sets)}")

    def build(writer: RecordWriter) -> None:
        for file in files:
            with writer.faults.each():
                _motion(file, file.relative_to(folder).as_posix(), frames_per_second, writer)

    options = {"sets": list(sets), "frames_per_second": frames_per_second}
    return cached_records(cache, _SCHEMA, files, options, build, on_fault=on_fault)


def _motion(path: Path, name: str, frames_per_second: float, writer: RecordWriter) -> None:
    motion = Annotation(path, "motion", _arrays(path))
    frames = len(np.atleast_1d(motion.get("poses")))
    poses = motion.array("poses", frames, 156).reshape(frames, 52, 3)[:, :_BODY_JOINTS]
    trans_m = motion.array("trans", frames, 3)
    betas = np.ravel(motion.get("betas"))
    if len(betas) < 10:
        raise motion.fault(f"betas has {len(betas)} numbers, expected at least 10")
    gender = _text(motion.get("gender"))
    if gender not in GENDERS:
        raise motion.fault(f"gender is {gender!r}, expected one of {', '.join(GENDERS)}")
    rate = float(motion.array("mocap_framerate", 1)[0])
    if rate <= 0:
        raise motion.fault(f"mocap_framerate is {rate:g}, expected frames a second")
    pose = np.zeros((24, 3))
    for frame in range(0, frames, max(1, round(rate / frames_per_second))):
        pose[:_BODY_JOINTS] = poses[frame]
        writer.add(
            motion,
            len(writer),
            sequence=name,
            frame=frame,
            pose=pose,
            shape=betas[:10],
            translation_m=trans_m[frame],
            gender=GENDERS.index(gender),
            body_valid=True,
        )


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name in _WANTED}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path}: not an .npz file of AMASS ({one_line(error)})") from error


_WANTED = ("poses", "trans", "betas", "gender", "mocap_framerate")


def _text(value: NDArray[Any]) -> str:
    item = value.item() if value.size == 1 else ""
    return item.decode("latin1") if isinstance(item, bytes) else str(item)
