"""Reader of camera calibrations by Qualisys Track Manager (`…qca.txt`, which is XML).

Convention of the file: focal lengths and principal point in 1/64 pixel; camera positions in millimetres in world axes;
`r11 r12 r13` is the x axis of the camera in the world, and so on; camera axes x right, y up, z backwards, which a half
turn around x brings to those of this project. `tangentalDistortion` is the file's spelling.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pose2mesh.errors import InputError, one_line
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.triangulation import CalibratedCamera

_SUBPIXELS = 64
_MAX_BYTES = 1 << 24  # a calibration of a hundred cameras takes 100 kB
_ORTHONORMAL = 1e-3
_HALF_TURN = np.diag([1.0, -1.0, -1.0])


def read_qualisys(path: Path) -> list[CalibratedCamera]:
    """Read the active cameras of a calibration, in the order of the file.

    Raises:
        InputError: not such a file, a field missing, not a number or impossible, or a serial number that repeats.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: has {path.stat().st_size} bytes; a calibration has at most {_MAX_BYTES}")
        text = path.read_bytes()
        if b"<!ENTITY" in text:  # a file of a few bytes can expand to gigabytes
            raise InputError(f"{path}: declares entities, which a calibration does not need")
        root = ElementTree.fromstring(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    except (ElementTree.ParseError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not a Qualisys calibration ({one_line(error)})") from error
    cameras = [_camera(path, element) for element in root.iter("camera") if element.get("active", "1") != "0"]
    if not cameras:
        raise InputError(f"{path}: has no active <camera>; expected a calibration by Qualisys Track Manager")
    names = [camera.name for camera in cameras]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}: camera serial {repeated[0]!r} occurs {names.count(repeated[0])} times, expected once"
        )
    return cameras


def _camera(path: Path, element: ElementTree.Element) -> CalibratedCamera:
    name = element.get("serial", "")
    if not name:
        raise InputError(f"{path}: a <camera> has no serial")
    fields = _Fields(path, name, element)
    axes = np.array([[fields.number("transform", f"r{row}{column}") for column in (1, 2, 3)] for row in (1, 2, 3)])
    if not np.allclose(axes @ axes.T, np.eye(3), atol=_ORTHONORMAL) or np.linalg.det(axes) < 0:
        raise InputError(f"{path}: camera {name}: r11 … r33 are no rotation: {axes.round(4).tolist()}")
    rotation = _HALF_TURN @ axes
    position_m = np.array([fields.number("transform", axis) for axis in "xyz"]) / 1000
    fx, fy, cx, cy = (
        fields.number("intrinsic", key) / _SUBPIXELS
        for key in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    )
    if min(fx, fy) <= 0:
        raise InputError(
            f"{path}: camera {name}: focal lengths are {fx:g} and {fy:g} pixels, expected positive numbers"
        )
    if abs(fields.number("intrinsic", "skew", 0.0)) > _SUBPIXELS or fields.number(
        "intrinsic", "radialDistortion3", 0.0
    ):
        raise InputError(f"{path}: camera {name}: has skew or radialDistortion3, which are not supported; expected 0")
    k1, k2, p1, p2 = (
        fields.number("intrinsic", key, 0.0)
        for key in ("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2")
    )
    low_u, low_v = (fields.number("intrinsic", key, 0.0) for key in ("sensorMinU", "sensorMinV"))
    high_u, high_v = (fields.number("intrinsic", key) for key in ("sensorMaxU", "sensorMaxV"))
    width, height = ((high - low) / _SUBPIXELS + 1 for low, high in ((low_u, high_u), (low_v, high_v)))
    if min(width, height) < 2:
        raise InputError(f"{path}: camera {name}: its sensor has {width:g} x {height:g} pixels")
    return CalibratedCamera(
        name,
        Intrinsics(fx, fy, cx, cy, distortion=(k1, k2, p1, p2)),
        rotation,
        -rotation @ position_m,
        (round(width), round(height)),
    )


class _Fields:
    """Numbers in the attributes of a camera's elements."""

    def __init__(self, path: Path, name: str, element: ElementTree.Element) -> None:
        self._where, self._element = f"{path}: camera {name}", element

    def number(self, tag: str, key: str, default: float | None = None) -> float:
        child = self._element.find(tag)
        if child is None:
            raise InputError(f"{self._where}: has no <{tag}>")
        text = child.get(key)
        if text is None:
            if default is None:
                raise InputError(f"{self._where}: <{tag}> has no {key}")
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise InputError(f"{self._where}: {key} is {text!r}, expected a number")
        return value
