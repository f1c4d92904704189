"""Motion capture clips as poses of the body model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.bvh import read_bvh
from pose2mesh.datasets.synthetic.finger_retarget import retarget_fingers
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES, Up, retarget
from pose2mesh.errors import InputError

# Speeds above those of human limbs (forearms and shanks reach about 1,700° a second in flips, kicks and throws) and
# hips; and the length below which a part between two such jumps is a fault of the capture.
_LIMB_SPEED_DEG_S = 2000.0
_HIPS_SPEED_DEG_S = 1000.0
_SHORT_STRETCH_S = 0.5
_LIMBS = [BODY_BONES.index(side + bone) for side in ("Left", "Right") for bone in ("UpLeg", "Leg", "Arm", "ForeArm")]


@dataclass(frozen=True)
class Clip:
    """A motion of the body model; `T` frames.

    Attributes:
        name: Path of the file within its folder, without the suffix, `/` between the parts.
        fps: Frames a second.
        orientations: (T, 22, 3, 3) world rotation of each of `BODY_BONES` from the template's rest pose, Z up.
        root_m: (T, 3) position of the hips, Z up, in metres for a body with the template's legs.
        times_s: (T,) time of each frame from the first of the file; steps are 1 / fps except where frames were dropped.
        dropped: Number of frames of the file that were left out because limbs move implausibly fast there.
        fingers: (T, 30, 3, 3) rotation of each of `FINGER_BONES` relative to its hand, the identity at rest
            (`body_models.finger_pose`); None where the skeleton has no fingers.
    """

    name: str
    fps: float
    orientations: NDArray[np.float32]
    root_m: NDArray[np.float32]
    times_s: NDArray[np.float64]
    dropped: int = 0
    fingers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.orientations)

    def stretches(self) -> list[NDArray[np.intp]]:
        """The frame numbers of each part of the clip without dropped frames."""
        breaks = np.flatnonzero(np.diff(self.times_s) > 1.5 / self.fps) + 1
        return np.split(np.arange(len(self)), breaks)


def load_clip(path: str | Path, fps: float = 30, *, name: str | None = None, up: Up | None = None) -> Clip:
    """Read a BVH file as a motion of the body model.

    Args:
        path: The file.
        fps: Frame rate of the clip; the nearest frame of the file is used, so slower files repeat frames.
        name: Name of the clip; the file's name without suffix if None.
        up: Vertical axis of the file's world, where it cannot be found from the motion.

    Raises:
        InputError: the file is not valid BVH, or its skeleton cannot be retargeted (see `retarget`).
    """
    if not fps > 0:
        raise InputError(f"fps is {fps}, expected a positive number of frames a second")
    bvh = read_bvh(path)
    orientations, root_m = retarget(bvh, up)
    fingers = retarget_fingers(bvh)
    good = _plausible(orientations, bvh.frame_time)
    count = int((len(bvh) - 1) * bvh.frame_time * fps + 0.5) + 1
    times_s = np.arange(count) / fps
    nearest = np.minimum(np.round(times_s / bvh.frame_time).astype(int), len(bvh) - 1)
    kept = good[nearest]
    frames = nearest[kept]
    return Clip(
        name=name if name is not None else Path(path).stem,
        fps=fps,
        orientations=orientations[frames],
        root_m=root_m[frames],
        times_s=times_s[kept],
        dropped=int((~good).sum()),
        fingers=None if fingers is None else fingers[frames],
    )


def load_clips(
    source: str | Path | Sequence[str | Path],
    fps: float = 30,
    *,
    up: Up | None = None,
    on_error: Callable[[InputError], None] | None = None,
) -> list[Clip]:
    """Read every BVH file of a folder and the folders in it, or a list of files, in the order of their names.

    Args:
        source: A folder, a file, or several files; names are relative to the folder, or to the files' common one.
        fps: Frames a second of the clips.
        up: The vertical axis of the files' worlds, where it cannot be found from the motion.
        on_error: Called with the fault of each file that cannot be used, which is then left out. If None, such faults
            are collected and raised as one.

    Raises:
        InputError: there is no such folder, it holds no BVH file, none can be used, or some cannot and `on_error` is
            None.
    """
    folder, files = _bvh_files(source)
    clips, faults = [], []
    for file in files:
        try:
            clips.append(load_clip(file, fps, name=file.relative_to(folder).with_suffix("").as_posix(), up=up))
        except InputError as fault:
            faults.append(fault)
            if on_error is not None:
                on_error(fault)
    if faults and (on_error is None or not clips):
        others = f" (and {len(faults) - 1} of {len(files)} files more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}")
    return clips


def _bvh_files(source: str | Path | Sequence[str | Path]) -> tuple[Path, list[Path]]:
    """The folder that clip names are relative to, and the files."""
    if isinstance(source, (str, Path)) and not Path(source).is_file():
        folder = Path(source)
        if not folder.is_dir():
            raise InputError(f"{source}: no such folder of BVH files")
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".bvh")
        if not files:
            raise InputError(f"{source}: no .bvh file in this folder")
        return folder, files
    files = [Path(source)] if isinstance(source, (str, Path)) else [Path(file) for file in source]
    if not files:
        raise InputError("no BVH file given")
    return Path(os.path.commonpath([file.parent for file in files])), files


def _plausible(orientations: NDArray[np.float32], frame_time: float) -> NDArray[np.bool_]:
    """(T,) which frames to keep.

    The clip is cut wherever a limb or the hips turn faster than a body can; parts between the cuts that are too short
    to be a motion, such as a single faulty frame or a rest pose before the motion, are dropped.
    """
    ways = np.array(list(TEMPLATE_BONES.values()))[_LIMBS]
    ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
    posed = np.einsum("tbij,bj->tbi", orientations[:, _LIMBS], ways)
    limb_cosines = (posed[1:] * posed[:-1]).sum(-1).min(-1)
    hips = orientations[:, 0]
    hips_cosines = (np.einsum("tij,tij->t", hips[1:], hips[:-1]) - 1) / 2
    jumps = (limb_cosines < _cosine(_LIMB_SPEED_DEG_S * frame_time)) | (
        hips_cosines < _cosine(_HIPS_SPEED_DEG_S * frame_time)
    )
    starts = np.flatnonzero(np.concatenate([[True], jumps]))
    lengths = np.diff(np.append(starts, len(orientations)))
    keep = (lengths * frame_time >= _SHORT_STRETCH_S) | (lengths == lengths.max())
    return np.repeat(keep, lengths)


def _cosine(degrees: float) -> float:
    return float(np.cos(np.deg2rad(min(degrees, 180.0))))
