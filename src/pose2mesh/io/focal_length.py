"""Focal lengths in the metadata of images: EXIF's 35 mm equivalent, or the focal length and the density of the sensor.

Convention: 35 mm equivalent by the diagonal (CIPA DCG-001): the lens that sees as much over the 43.27 mm diagonal of a
36 × 24 mm frame. Phones write that of the whole sensor even into 16:9 crops of it, which is 8 % too short there.
Source: Exif 3.0 (CIPA DC-008), tags 0xA405, 0x920A, 0xA20E, 0xA210, 0xA002, 0xA003.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose2mesh.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

LEAST_35MM, LARGEST_35MM = 8.0, 1200.0  # from a fisheye to the longest lens that is sold
_EXIF, _EQUIVALENT, _FOCAL, _DENSITY, _UNIT, _WIDTH, _HEIGHT = 0x8769, 0xA405, 0x920A, 0xA20E, 0xA210, 0xA002, 0xA003
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_DIAGONAL_MM = math.hypot(36, 24)
# Shapes that cameras record, longer over shorter side; up to 2.4 for phones of long screens and anamorphic film.
_CAMERA_SHAPES = (1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 10, 16 / 9, 1.85, 2.0, 19.5 / 9, 20 / 9, 2.35, 2.39)
_SAME_SHAPE = 0.025


@dataclass(frozen=True)
class FocalLength:
    """The focal length of an image or video by its metadata.

    Attributes:
        equivalent_mm: 35 mm equivalent; None where there is none, or one that cannot be right.
        fault: Why a value that is there is not used: the field, its value and what is expected; None where it is.
    """

    equivalent_mm: float | None = None
    fault: str | None = None


def focal_length_of(image: Image.Image) -> FocalLength:
    """The focal length in the EXIF data of an opened image."""
    try:
        exif = image.getexif().get_ifd(_EXIF)
    except Exception as error:  # Pillow raises many kinds of errors for damaged data
        return FocalLength(fault=f"EXIF data cannot be read ({type(error).__name__}); expected a valid block")
    equivalent, focal = exif.get(_EQUIVALENT), exif.get(_FOCAL)
    if equivalent is not None and _number(equivalent) != 0:  # by the standard, 0 stands for unknown
        return _checked("FocalLengthIn35mmFilm", equivalent, _number(equivalent), image.size, exif)
    if focal is not None and _DENSITY in exif:
        per_mm = _number(exif[_DENSITY]) / _UNIT_MM.get(exif.get(_UNIT, 2), math.nan)
        stored = _number(exif.get(_WIDTH, image.size[0])), _number(exif.get(_HEIGHT, image.size[1]))
        found = _number(focal) * per_mm / max(math.hypot(*stored), 1) * _DIAGONAL_MM
        return _checked("FocalLength by FocalPlaneXResolution", focal, found, image.size, exif)
    if equivalent is not None:
        return FocalLength(fault="EXIF FocalLengthIn35mmFilm is 0, that is unknown; expected 8 to 1200 mm")
    return FocalLength()


def checked_focal_length(field: str, value: Any) -> FocalLength:
    """A 35 mm equivalent from the metadata of a video, if it can be right; `field` is its name."""
    found = _number(value)
    if not LEAST_35MM <= found <= LARGEST_35MM:  # nor is NaN
        return FocalLength(fault=f"{field} is {str(value)[:40]}; expected {LEAST_35MM:g} to {LARGEST_35MM:g} mm")
    return FocalLength(found)


def parse_focal_length(text: str) -> float:
    """Parse a 35 mm equivalent focal length such as `28mm`, a value of `--intrinsics`.

    Raises:
        InputError: no number, or one out of range.
    """
    found = _number(text.removesuffix("mm"))
    if not LEAST_35MM <= found <= LARGEST_35MM:
        raise InputError(f"--intrinsics {text!r}: expected {LEAST_35MM:g}mm to {LARGEST_35MM:g}mm, 35 mm equivalent")
    return found


def read_focal_length(path: Path) -> FocalLength:
    """The focal length in the metadata of an image file; none for a file that is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return focal_length_of(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # reported when the image is read
        return FocalLength()


def _checked(field: str, value: Any, found: float, size: tuple[int, int], exif: Mapping[int, Any]) -> FocalLength:
    if not LEAST_35MM <= found <= LARGEST_35MM:  # nor is NaN
        shown = str(value)[:40] + (
            "" if found == _number(value) or math.isnan(found) else f", {found:g} mm as 35 mm equivalent"
        )
        return FocalLength(fault=f"EXIF {field} is {shown}; expected {LEAST_35MM:g} to {LARGEST_35MM:g} mm")
    recorded = _number(exif.get(_WIDTH)), _number(exif.get(_HEIGHT))
    shape = max(size) / min(size)
    if min(recorded) > 0 and not _same_shape(shape, max(recorded) / min(recorded)):  # NaN > 0 is False
        of = f"of {recorded[0]:g}x{recorded[1]:g} pixels"
        return FocalLength(fault=f"EXIF {field} is for an image {of}, of another shape than {size[0]}x{size[1]}")
    if not any(_same_shape(shape, other) for other in _CAMERA_SHAPES):
        return FocalLength(
            fault=f"EXIF {field} is {str(value)[:40]}, but no camera has the shape {size[0]}x{size[1]}: a crop"
        )
    return FocalLength(found)


def _same_shape(first: float, second: float) -> bool:
    return abs(first / second - 1) <= _SAME_SHAPE


def _number(value: Any) -> float:
    """A value of EXIF data as a number; NaN for anything else, and for fractions over 0."""
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan
