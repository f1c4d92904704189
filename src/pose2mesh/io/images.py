"""Reading of image files, in the orientation of their keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line


def read_image(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an image (H, W, 3), rotated by its EXIF orientation, unless only the stored image has the shape of `size`.

    Args:
        path: The file.
        size: (width, height) of the image that the keypoints are for; a smaller or larger copy is accepted.

    Raises:
        InputError: not an image, truncated, or of another shape than `size`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            fitting = next((each for each in (turned, image) if size is None or _same_shape(each.size, size)), None)
            if fitting is not None:
                return np.asarray(fitting.convert("RGB"))
            found = "x".join(map(str, turned.size))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({one_line(error)})") from error
    assert size is not None
    raise InputError(f"{path}: is {found} pixels; expected {size[0]}x{size[1]}, as in its keypoints, or that shape")


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image (H, W, 3) to `size` (width, height)."""
    from PIL import Image

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size))


def _same_shape(found: tuple[int, int], expected: tuple[int, int]) -> bool:
    """Whether two sizes have the same aspect ratio, up to one pixel of rounding at each side."""
    factor = max(found) / max(expected)
    return all(abs(a - factor * b) <= max(1.0, factor) for a, b in zip(found, expected, strict=True))
