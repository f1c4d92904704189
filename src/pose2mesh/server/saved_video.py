"""Reads the NPZ file that `predict` writes for a video, to display its results without running the model again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line
from pose2mesh.geometry.camera import Intrinsics, Source
from pose2mesh.geometry.gravity import LEVEL_CAMERA, Gravity
from pose2mesh.inference.person import Camera, Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.server.result_store import Frames
from pose2mesh.visualization.image_result import ImageResult

# Arrays with a row per person and frame, and the shape of a row.
_ROWS = {
    "vertices": "V3", "joints": "J3", "translation_m": "3", "joints_px": "J2", "confidence": "J",
    "frame": "", "person": "",
}  # fmt: skip
_WHOLE = ("faces", "frames", "size_px", "intrinsics", "fps")
_MOST_FRAMES = 100_000


def is_saved_video(file: Path) -> bool:
    """Whether an `.npz` file is one of a video rather than one of keypoints."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {*_ROWS, *_WHOLE} <= set(arrays.files)
    except Exception:  # the error is reported when the file is read as keypoints
        return False


def read_saved_video(file: Path, predictor: Predictor) -> Frames:
    """Read the frames that contain people, and the frame rate.

    Args:
        file: A file for which `is_saved_video` holds, of a size that is safe to unpack.
        predictor: The model, whose body the file must hold.

    Raises:
        InputError: an array has another shape or type, or is not finite, or the body is another one.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in (*_ROWS, *_WHOLE)}
            # Older files have neither of the two.
            distortion = arrays["distortion"] if "distortion" in arrays.files else np.zeros(0)
            source = str(arrays["camera_source"]) if "camera_source" in arrays.files else "given"
            found["up"] = arrays["up"] if "up" in arrays.files else np.array(LEVEL_CAMERA.up)  # older files lack it
    except Exception as error:  # numpy, zipfile and zlib raise many kinds of errors for a broken file
        raise InputError(f"{file}: is not a NumPy array file: {one_line(error)[:150]}") from None
    _check(file, found, predictor)
    intrinsics = _intrinsics(file, found["intrinsics"], distortion, source)
    width, height = found["size_px"].tolist()
    gravity = _gravity(file, found["up"])
    images = []
    for frame in np.unique(found["frame"]).tolist():
        rows = np.flatnonzero(found["frame"] == frame).tolist()
        people = [_person(found, row, intrinsics, predictor) for row in rows]
        numbers = found["person"][rows].tolist()
        stem = f"frame_{frame:05d}"
        size, identifiers = (width, height), list(numbers)
        image = ImageResult(
            stem, stem, None, size, people, identifiers, [], intrinsics, numbers=numbers, gravity=gravity
        )
        images.append(image)
    return Frames(images, float(found["fps"]))


def _intrinsics(file: Path, numbers: NDArray[Any], distortion: NDArray[Any], source: str) -> Intrinsics:
    """The camera as stored; one of weak perspective (`none`) has the nominal numbers that place its people."""
    if distortion.shape not in ((0,), (4,), (5,)) or distortion.dtype.kind != "f" or not np.isfinite(distortion).all():
        raise InputError(f"{file}: distortion has shape {distortion.shape}; expected 0, 4 or 5 finite numbers")
    if source not in ("given", "metadata", "nominal", "none"):
        raise InputError(f"{file}: camera_source is {source[:40]!r}; expected given, metadata, nominal or none")
    known: Source = "nominal" if source == "none" else source  # type: ignore[assignment]  # checked above
    return Intrinsics(*numbers.tolist(), distortion=tuple(distortion.tolist()), source=known)


def _gravity(file: Path, up: NDArray[Any]) -> Gravity:
    """The direction that is up, as stored; a file does not say how far it may be off."""
    if not abs(np.linalg.norm(up) - 1) < 1e-3 or up[1] >= 0:
        raise InputError(f"{file}: up is {up.tolist()}; expected a unit vector in camera axes, y below 0")
    x, y, z = up.tolist()
    return LEVEL_CAMERA if (x, y, z) == LEVEL_CAMERA.up else Gravity((x, y, z), 0.0, "people", 0)


def _person(found: Mapping[str, NDArray[Any]], row: int, intrinsics: Intrinsics, predictor: Predictor) -> Person:
    joints, translation = found["joints"][row], found["translation_m"][row].astype(np.float64)
    confidence = found["confidence"][row].clip(0, 1)
    scale = float(intrinsics.fx / translation[2])
    camera = Camera("perspective", intrinsics, translation, scale, intrinsics.project(translation))
    score = float(confidence[confidence > 0].mean()) if (confidence > 0).any() else 0.0
    stature = predictor.stature(joints)
    return Person(joints, found["vertices"][row], found["joints_px"][row], confidence, camera, stature, score)


def _check(file: Path, found: dict[str, NDArray[Any]], predictor: Predictor) -> None:
    sizes = {"V": len(predictor.template), "J": len(predictor.joint_set), "2": 2, "3": 3}
    count = len(found["frame"]) if found["frame"].ndim else 0
    expected: dict[str, tuple[int, ...]] = {
        name: (count, *(sizes[letter] for letter in letters)) for name, letters in _ROWS.items()
    }
    expected |= {
        "up": (3,),
        "frames": (),
        "fps": (),
        "size_px": (2,),
        "intrinsics": (4,),
        "faces": predictor.faces.shape,
    }
    for name, shape in expected.items():
        array = found[name]
        if array.shape != shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(f"{file}: {name} has shape {array.shape} of {array.dtype}; expected finite {shape}")
    if not np.array_equal(found["faces"], predictor.faces):
        raise InputError(f"{file}: its faces are those of another body than that of model {predictor.info.name!r}")
    whole = found["frame"].dtype.kind in "iu" and found["person"].dtype.kind in "iu"
    if not (count and whole and found["frame"].min() >= 0 and found["frame"].max() < _MOST_FRAMES):
        raise InputError(f"{file}: frame and person: expected whole numbers from 0, at least one row")
    if not 0 < found["fps"] <= 1000:
        raise InputError(f"{file}: fps is {found['fps']}; expected frames a second, at most 1000")
    if found["person"].min() < 0 or (found["translation_m"][:, 2] <= 0).any() or (found["intrinsics"][:2] <= 0).any():
        raise InputError(f"{file}: person, translation_m or intrinsics: expected people in front of a camera")
    if not (found["size_px"] >= 1).all() or not (found["size_px"] <= 16384).all():
        raise InputError(f"{file}: size_px is {found['size_px'].tolist()}; expected 1 to 16384 pixels")
