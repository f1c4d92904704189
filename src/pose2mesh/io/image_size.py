"""Sizes of images that do not belong to their keypoints: of another image, swapped, or of a scaled copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError

LARGEST_SIDE_PX = 1_000_000
# Where an image cuts a person off, detectors place the other joints outside: with the face alone in the image, the feet
# are some 3 image heights below it.
_FARTHEST = 4.0


def check_size(size: tuple[int, int], name: str = "image_size") -> tuple[int, int]:
    """The size (width, height) itself.

    Raises:
        InputError: not two whole positive numbers of pixels, at most 1,000,000.
    """
    if len(size) != 2 or not all(float(side).is_integer() and 1 <= side <= LARGEST_SIDE_PX for side in size):
        raise InputError(f"{name} {tuple(size)}: expected width and height in pixels, 1 to {LARGEST_SIDE_PX}")
    return size


def parse_size(text: str) -> tuple[int, int]:
    """Parse `W,H` or `WxH`, the value of `--image-size`.

    Raises:
        InputError: not two whole positive numbers.
    """
    try:
        width, height = (int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise InputError(f"--image-size {text!r}: expected W,H in pixels, as 1920,1080") from None
    return check_size((width, height), "--image-size")


def outside_image(
    joints_px: NDArray[np.floating], confidence: NDArray[np.floating], size: tuple[int, int]
) -> str | None:
    """Why a person cannot be in an image of `size` (width, height); None where they can.

    Args:
        joints_px: (J, 2) pixels.
        confidence: (J,) 0 where missing.
        size: (width, height) in pixels.
    """
    present = joints_px[confidence > 0]
    if not len(present):
        return None
    margin = 1.0 + 0.01 * max(size)  # pixels: annotations may lie on the border, or a rounding outside it
    if not ((present >= -margin) & (present <= np.array(size) + margin)).all(axis=1).any():
        return f"no joint lies in the image of {size[0]}x{size[1]} pixels (width x height)"
    reach = np.maximum(-present, present - np.array(size)).max()
    if reach > _FARTHEST * max(size):
        return f"a joint lies {reach:.0f} pixels outside the image of {size[0]}x{size[1]} pixels (width x height)"
    return None
