"""Reading of image files, in the orientation of their keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError, one_line

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_SEVERAL_FRAMES = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")  # an MPO file is a photo with a preview


def read_image(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an image (H, W, 3), rotated by its EXIF orientation, unless only the stored image has the shape of `size`.

    Grey, 16-bit, CMYK and palette images become RGB; transparent parts become white; of an animation, the first frame.

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
                return _rgb(fitting)
            found = "x".join(map(str, turned.size))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({one_line(error)})") from error
    assert size is not None
    raise InputError(f"{path}: is {found} pixels; expected {size[0]}x{size[1]}, as in its keypoints, or that shape")


def count_frames(path: Path) -> int:
    """Number of frames or pages of an image file, of which `read_image` reads the first; 1 for one it cannot read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1)) if image.format in _SEVERAL_FRAMES else 1
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1


def _rgb(image: PillowImage.Image) -> NDArray[np.uint8]:
    """An opened image as 8-bit RGB (H, W, 3). Pillow itself would clip 16-bit greys to white."""
    from PIL import Image

    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return np.repeat((grey // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image))
        scale = 255.0 if grey.max(initial=0) <= 1 else 1.0
        return np.repeat(np.clip(grey * scale, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


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
