"""Regions of BlazePose: rotated squares around a person, their crops, and the way back to the image.

Convention: pixels from the top left corner, x right, y down; angles in radians, positive clockwise on the screen. In a
region of angle 0 the person stands upright. Pixel centres are at whole numbers, as in the networks' training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25  # side of a region over the diameter of the circle around the person


@dataclass(frozen=True, eq=False)
class Region:
    """A rotated square.

    Attributes:
        centre_px: (2,) its centre, between the person's hips.
        side_px: Length of its side.
        angle: Its rotation.
    """

    centre_px: NDArray[np.float64]
    side_px: float
    angle: float

    @classmethod
    def from_points(cls, hips_px: NDArray[np.floating], rim_px: NDArray[np.floating]) -> Region:
        """The region of two points (2,): between the hips, and where the body's axis meets the circle around it."""
        x, y = (rim_px - hips_px).astype(np.float64)
        # The axis points from the hips to the head; upright it is −y on the screen.
        angle = float(np.pi / 2 - np.arctan2(-y, x))
        return cls(
            hips_px.astype(np.float64), MARGIN * 2 * float(np.hypot(x, y)), (angle + np.pi) % (2 * np.pi) - np.pi
        )

    @classmethod
    def around_box(cls, box_px: NDArray[np.floating]) -> Region:
        """The upright region of a box (4,): left, top, right, bottom."""
        centre, side = (box_px[:2] + box_px[2:]) / 2, float((box_px[2:] - box_px[:2]).max())
        return cls(centre.astype(np.float64), MARGIN * side, 0.0)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(2, 2) from the axes of the region to those of the image."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])

    def to_image(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (…, 2) in [0, 1] over the region → pixels of the image."""
        return (points - 0.5) * self.side_px @ self.rotation.T + self.centre_px

    def affine(self, size: int) -> NDArray[np.float64]:
        """(2, 3) from pixels (x, y, 1) of a crop of `size` x `size` pixels to pixels of the image."""
        matrix = self.rotation * (self.side_px / size)
        return np.column_stack([matrix, self.to_image(np.zeros(2))])


def crop(image: NDArray[np.uint8], region: Region, size: int, repeat_edge: bool) -> NDArray[np.uint8]:
    """The part of an image (H, W, 3) in a region as `size` x `size` pixels, by bilinear interpolation.

    Args:
        image: (H, W, 3).
        region: The region; it may reach beyond the image.
        size: Side of the crop in pixels.
        repeat_edge: Whether pixels beyond the image repeat its edge; else they are black.
    """
    from PIL import Image

    affine = region.affine(size)
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ affine.T
    limit = np.array(image.shape[1::-1])
    low = np.floor(corners.min(0)).astype(int) - 1
    high = np.ceil(corners.max(0)).astype(int) + 2
    inner_low, inner_high = np.clip(low, 0, limit - 1), np.clip(high, 1, limit)
    part = image[inner_low[1] : inner_high[1], inner_low[0] : inner_high[0]]
    before, after = inner_low - low, high - inner_high
    if repeat_edge and (before.any() or after.any()):
        # No more than what shows: a region far larger than its image would need a huge margin.
        reach = int(np.ceil(region.side_px))
        before, after = np.clip(before, 0, reach), np.clip(after, 0, reach)
        part = np.pad(part, ((before[1], after[1]), (before[0], after[0]), (0, 0)), mode="edge")
        inner_low = inner_low - before
    corner = affine[:, 2] - inner_low + 0.5 - 0.5 * affine[:, :2].sum(1)  # Pillow's pixel centres are at halves
    coefficients = (*affine[0, :2], corner[0], *affine[1, :2], corner[1])
    source = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(source.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))
