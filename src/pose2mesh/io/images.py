"""Photos from disk, turned the way their keypoints are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line


def read_photo(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A photo (H, W, 3), turned as its EXIF orientation says, unless only the photo as stored has the shape of `size`.

    Args:
        path: The file.
        size: (width, height) of the picture that the keypoints are for; a smaller or larger copy of it will do.

    Raises:
        InputError: not a picture, cut short, or of another shape than `size`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            photo = next((each for each in (turned, image) if size is None or _same_shape(each.size, size)), None)
            if photo is not None:
                return np.asarray(photo.convert("RGB"))
            found = "x".join(map(str, turned.size))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not a picture that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({one_line(error)})") from error
    assert size is not None
    raise InputError(f"{path}: is {found} pixels; expected {size[0]}x{size[1]}, as its keypoints say, or that shape")


def resized(photo: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photo (H, W, 3) at `size` (width, height)."""
    from PIL import Image

    if (photo.shape[1], photo.shape[0]) == size:
        return photo
    return np.asarray(Image.fromarray(photo).resize(size))


def _same_shape(found: tuple[int, int], expected: tuple[int, int]) -> bool:
    """Whether one picture is a scaled copy of the other, but for a pixel of rounding on the sides."""
    factor = max(found) / max(expected)
    return all(abs(a - factor * b) <= max(1.0, factor) for a, b in zip(found, expected, strict=True))
