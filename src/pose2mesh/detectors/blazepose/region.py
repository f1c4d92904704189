"""Regions of BlazePose: rotated squares around a person, their crops, and the way back to the image.

Convention: pixels from the top left corner, x right, y down; angles in radians, positive clockwise on the screen. In a
region of angle 0 the person stands upright. Pixel centres are at whole numbers, as in the networks' training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25  # side of a region over the diameter of the circle around the person
_STEP_BITS = 5
_STEPS = 1 << _STEP_BITS  # positions of interpolation per pixel


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

    Positions are rounded to 1/32 pixel and values half up, as OpenCV does, and with it MediaPipe: the landmark network
    is so sensitive that without these roundings 3D landmarks differ from MediaPipe's by 15 mm; with them by 0.1 mm
    (`benchmarks/blazepose_agreement.py`).

    Args:
        image: (H, W, 3).
        region: The region; it may reach beyond the image.
        size: Side of the crop in pixels.
        repeat_edge: Whether pixels beyond the image repeat its edge; else they are black.
    """
    height, width = image.shape[:2]
    affine, steps = region.affine(size), np.arange(size, dtype=np.float64)
    places: list[tuple[NDArray[np.int64], NDArray[np.uint16]]] = []  # neighbours left, right, above, below
    for (across, down, start), limit in zip(affine * _STEPS, (width, height), strict=True):
        position = np.rint(across * steps + (down * steps + start)[:, None]).astype(np.int64).ravel()
        before, fraction = position >> _STEP_BITS, (position & (_STEPS - 1)).astype(np.uint16)
        for index, weight in ((before, _STEPS - fraction), (before + 1, fraction)):
            inside = np.clip(index, 0, limit - 1)
            places.append((inside, weight if repeat_edge else weight * (inside == index)))
    (left, to_left), (right, to_right), (above, to_above), (below, to_below) = places
    to_above, to_below = to_above.astype(np.uint32), to_below.astype(np.uint32)
    corners = [3 * (row * width + column) for row in (above, below) for column in (left, right)]
    values = np.ascontiguousarray(image).reshape(-1)
    out = np.empty((size * size, 3), np.uint8)
    for channel in range(3):
        a, b, c, d = (values[channel:].take(corner) for corner in corners)
        total = (a * to_left + b * to_right) * to_above + (c * to_left + d * to_right) * to_below
        out[:, channel] = (total + _STEPS**2 // 2) >> 2 * _STEP_BITS
    return out.reshape(size, size, 3)
