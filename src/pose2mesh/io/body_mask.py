"""`BodyMask`, the silhouette of one person: from a detector, or from the polygons of a COCO file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError

POLYGON_MASK_PX = 128  # longer side of a mask made from polygons
_MARGIN = 0.15  # of the longer side, empty around the polygons


@dataclass(frozen=True, eq=False)
class BodyMask:
    """The silhouette of one person, as a small image over a part of the photographed one.

    Attributes:
        probability: (h, w) float32 in [0, 1]: that a pixel shows the person.
        to_image: (2, 3) affine map from mask pixels (x, y, 1), whole numbers at their centres, to pixels of the image.
    """

    probability: NDArray[np.float32]
    to_image: NDArray[np.float64]

    def sample(self, pixels: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities (…) at pixels (…, 2) of the image, interpolated linearly; 0 outside the mask."""
        inverse = np.linalg.inv(self.to_image[:, :2])
        place = ((pixels - self.to_image[:, 2]) @ inverse.T).astype(np.float32)
        height, width = self.probability.shape
        padded = np.pad(self.probability, 2)
        place = np.clip(np.nan_to_num(place), -1.5, [width + 0.5, height + 0.5]) + 2  # two pixels of padding
        low = place.astype(np.int32)
        x, y = np.moveaxis((place - low).astype(np.float32), -1, 0)
        index = low[..., 1] * (width + 4) + low[..., 0]
        flat = padded.ravel()
        above = flat[index] * (1 - x) + flat[index + 1] * x
        below = flat[index + width + 4] * (1 - x) + flat[index + width + 5] * x
        return np.asarray(above * (1 - y) + below * y, np.float32)


def body_mask(mask: BodyMask | list[Any] | dict[str, Any] | None, where: str = "mask") -> BodyMask | None:
    """The mask of a person from a detector or a COCO file; None where there is none, or it is run-length encoded.

    Raises:
        InputError: as `mask_of_polygons`.
    """
    if isinstance(mask, list):
        return mask_of_polygons(mask, where) if mask else None
    return mask if isinstance(mask, BodyMask) else None


def mask_of_polygons(polygons: Sequence[Any], where: str = "mask") -> BodyMask:
    """COCO's polygons of one person as a mask whose longer side has 128 pixels.

    Args:
        polygons: The value of `segmentation` in the file: flat lists x, y, x, y … of pixels.
        where: Name of the annotation in an error.

    Raises:
        InputError: a polygon is not a list of at least three pairs of pixels, or there is none.
    """
    from PIL import Image, ImageDraw

    corners = [polygon_corners(polygon, where) for polygon in polygons]
    if not corners:
        raise InputError(f"{where}: holds no polygon; expected at least one")
    points = np.concatenate(corners)
    low, high = points.min(0), points.max(0)
    side = max(float((high - low).max()), 1.0)
    low, high = low - _MARGIN * side, high + _MARGIN * side
    scale = POLYGON_MASK_PX / float((high - low).max())
    width, height = (max(1, round(float(extent))) for extent in (high - low) * scale)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for polygon in corners:
        draw.polygon([(float(x), float(y)) for x, y in (polygon - low) * scale], fill=255)
    to_image = np.array([[1 / scale, 0, low[0]], [0, 1 / scale, low[1]]])
    return BodyMask(np.asarray(np.asarray(image) / 255, np.float32), to_image)


def polygon_corners(polygon: Any, where: str) -> NDArray[np.float64]:
    """The corners (N, 2) of one of COCO's polygons; `where` names the annotation in an error.

    Raises:
        InputError: it is not a list of at least three pairs of pixels.
    """
    try:
        corners = np.array(polygon, np.float64)
    except (TypeError, ValueError):
        corners = np.zeros(0)
    valid = corners.ndim == 1 and len(corners) >= 6 and len(corners) % 2 == 0 and np.abs(corners).max() <= 1e6
    if not valid:  # nor is NaN
        raise InputError(
            f"{where}: {str(polygon)[:60]!r} is no polygon; expected x, y, x, y, … of three points or more"
        )
    return corners.reshape(-1, 2)
