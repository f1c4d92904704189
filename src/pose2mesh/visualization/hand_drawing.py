"""Hands drawn over an image: thin lines in one colour per finger, since a hand is small beside its body."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pose2mesh.io.hands import Hands
from pose2mesh.skeletons import HAND
from pose2mesh.visualization.overlay import Canvas
from pose2mesh.visualization.renderer import Colour

FINGER_COLOURS: tuple[Colour, ...] = ((230, 60, 50), (250, 190, 40), (70, 200, 90), (60, 150, 250), (200, 90, 220))
_FINER = 4  # PIL's lines are not anti-aliased: they are drawn on a layer of a finer resolution
_WIDTH_OVER_HAND, _LEAST_WIDTH_PX = 1 / 60, 1.2


def draw_hands(image: NDArray[np.uint8], canvas: Canvas, hands: Iterable[Hands | None]) -> NDArray[np.uint8]:
    """Draw the hands of people.

    Args:
        image: (H, W, 3), not changed; its left part may be the canvas, with views beside it.
        canvas: Where the pixels of the keypoints are in the image.
        hands: For each person, the hands where there are any.

    Returns:
        A new image (H, W, 3).
    """
    drawn = image.copy()
    for both in hands:
        for rows in () if both is None else both.joints_px:
            present = rows[:, 2] > 0
            if present.any():
                _draw_hand(drawn, np.asarray(canvas.place(rows[:, :2]), np.float64), present, canvas.image.shape[1])
    return drawn


def _draw_hand(
    image: NDArray[np.uint8], points: NDArray[np.float64], present: NDArray[np.bool_], right_edge: int
) -> None:
    """Draw one hand with joints (21, 2) into an image, left of `right_edge`."""
    from PIL import Image, ImageDraw

    width = max(_LEAST_WIDTH_PX, _WIDTH_OVER_HAND * float(np.ptp(points[present], axis=0).max()))
    limit = np.array([right_edge, image.shape[0]])
    low = np.clip(np.floor(points[present].min(0) - 2 * width), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(points[present].max(0) + 2 * width), low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    layer = Image.fromarray(part).resize(tuple(((high - low) * _FINER).tolist()), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(layer)
    places = [tuple(point) for point in ((points - low + 0.5) * _FINER).tolist()]
    for rim, colour_of in ((width, lambda finger: (30, 30, 30)), (0.0, lambda finger: FINGER_COLOURS[finger])):
        for index, (start, end) in enumerate(HAND.edges):
            if present[start] and present[end]:
                thickness = max(1, round((width + rim) * _FINER))
                pen.line((*places[start], *places[end]), fill=colour_of(index // 4), width=thickness)
    image[low[1] : high[1], low[0] : high[0]] = np.asarray(layer.reduce(_FINER))
