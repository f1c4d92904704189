"""Focal lengths in metadata: those that can be right are used, the others are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from pose2mesh.errors import InputError
from pose2mesh.io.focal_length import (
    FocalLength,
    checked_focal_length,
    parse_focal_length,
    read_focal_length,
)

EQUIVALENT, FOCAL, DENSITY, UNIT, WIDTH, HEIGHT = 0xA405, 0x920A, 0xA20E, 0xA210, 0xA002, 0xA003


def photo(path: Path, tags: dict[int, Any], size: tuple[int, int] = (400, 300)) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    Image.new("RGB", size).save(path, exif=exif.tobytes())
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_equivalent_focal_length_is_read(tmp_path: Path, suffix: str) -> None:
    assert read_focal_length(photo(tmp_path / f"a.{suffix}", {EQUIVALENT: 26})) == FocalLength(26.0)


def test_a_focal_length_with_the_density_of_the_sensor(tmp_path: Path) -> None:
    """A 36 x 27 mm sensor of 4,000 pixels, 50 mm: 45 mm diagonal, so 48.1 mm on the 43.27 mm of the 35 mm frame."""
    tags = {FOCAL: IFDRational(50), DENSITY: IFDRational(4000 * 10, 36), UNIT: 3, WIDTH: 4000, HEIGHT: 3000}
    found = read_focal_length(photo(tmp_path / "a.jpg", tags))
    assert found.fault is None
    assert found.equivalent_mm == pytest.approx(50 * 43.2666 / 45, rel=1e-4)


@pytest.mark.parametrize(
    ("tags", "size", "fault"),
    [
        ({EQUIVALENT: 3}, (400, 300), "EXIF FocalLengthIn35mmFilm is 3; expected 8 to 1200 mm"),
        ({EQUIVALENT: 65535}, (400, 300), "EXIF FocalLengthIn35mmFilm is 65535; expected"),
        ({EQUIVALENT: 0}, (400, 300), "EXIF FocalLengthIn35mmFilm is 0, that is unknown"),
        ({FOCAL: IFDRational(0), DENSITY: IFDRational(1000), UNIT: 3}, (400, 300), "EXIF FocalLength by"),
        ({FOCAL: IFDRational(5, 0), DENSITY: IFDRational(1000), UNIT: 3}, (400, 300), "is nan; expected"),
        ({FOCAL: IFDRational(50), DENSITY: IFDRational(1000), UNIT: 9}, (400, 300), "EXIF FocalLength by"),
        ({EQUIVALENT: 26, WIDTH: 4000, HEIGHT: 3000}, (300, 300), "4000x3000 pixels, of another shape than 300x300"),
        ({EQUIVALENT: 26}, (400, 120), "no camera has the shape 400x120: a crop"),
    ],
)
def test_a_lie_is_ignored_and_named(tmp_path: Path, tags: dict[int, Any], size: tuple[int, int], fault: str) -> None:
    found = read_focal_length(photo(tmp_path / "a.jpg", tags, size))
    assert found.equivalent_mm is None
    assert fault in str(found.fault)


@pytest.mark.parametrize("value", ["-26", "nan", "", "wide", None, "1e9"])
def test_a_value_of_a_video_that_cannot_be_right(value: Any) -> None:
    found = checked_focal_length("key", value)
    assert found.equivalent_mm is None
    assert str(found.fault).startswith(f"key is {value}; expected 8 to 1200 mm")


def test_without_metadata_nothing_is_said(tmp_path: Path) -> None:
    assert read_focal_length(photo(tmp_path / "a.jpg", {FOCAL: IFDRational(4)})) == FocalLength()
    (tmp_path / "b.jpg").write_text("no image")
    assert read_focal_length(tmp_path / "b.jpg") == FocalLength()


def test_a_resized_copy_keeps_the_focal_length(tmp_path: Path) -> None:
    tags = {EQUIVALENT: 26, WIDTH: 4000, HEIGHT: 3000}
    for size in ((400, 300), (300, 400)):
        assert read_focal_length(photo(tmp_path / "a.jpg", tags, size)) == FocalLength(26.0)


def test_a_focal_length_as_text() -> None:
    assert parse_focal_length("28mm") == 28
    for text in ("mm", "-5mm", "nanmm", "5000mm"):
        with pytest.raises(InputError, match=r"--intrinsics .*expected 8mm to 1200mm"):
            parse_focal_length(text)
