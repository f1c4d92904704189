"""Images of every kind that cameras and programs write, as upright 8-bit RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2mesh.io.images import count_frames, read_image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Stored as EXIF says, the red corner of the upright image is top left again, and the image is wide again."""
    upright = np.zeros((30, 40, 3), np.uint8)
    upright[:10, :10] = (255, 0, 0)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), upright)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_16_bit_image_keeps_its_tones(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    Image.fromarray(ramp).save(tmp_path / f"a.{suffix}")
    found = read_image(tmp_path / f"a.{suffix}")
    assert found.shape == (4, 256, 3)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found[0, :, 0], np.arange(256), atol=1)


def test_grey_and_colours_of_print(tmp_path: Path) -> None:
    Image.new("L", (8, 6), 130).save(tmp_path / "grey.jpg")
    assert (np.abs(read_image(tmp_path / "grey.jpg").astype(int) - 130) <= 2).all()
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    red, green, blue = read_image(tmp_path / "print.jpg")[3, 4].astype(int)
    assert red > 200
    assert max(green, blue) < 60
    Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(tmp_path / "real.tif")
    assert read_image(tmp_path / "real.tif")[-1, -1].tolist() == [255, 255, 255]


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(tmp_path / "cut_out.png")
    found = read_image(tmp_path / "palette.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[3, 3].tolist() == [10, 200, 30]
    assert (read_image(tmp_path / "cut_out.png") == 255).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=50, **options)
    assert count_frames(tmp_path / f"a.{suffix}") == 3
    assert read_image(tmp_path / f"a.{suffix}")[3, 3].tolist() == [250, 0, 0]


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[1, 2, 3]]]
    assert count_frames(tmp_path / "a.png") == 1
