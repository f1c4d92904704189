"""Hands drawn over an image."""

from __future__ import annotations

import numpy as np

from pose2mesh.io.hands import Hands
from pose2mesh.visualization.hand_drawing import draw_hands
from pose2mesh.visualization.overlay import Canvas


def left_hand(first: tuple[float, float], last: tuple[float, float]) -> Hands:
    """A left hand whose joints lie on a line, and no right one."""
    joints, metres = np.zeros((2, 21, 3), np.float32), np.full((2, 21, 3), np.nan, np.float32)
    joints[0, :, :2], joints[0, :, 2], metres[0] = np.linspace(first, last, 21), 0.9, 0.0
    return Hands(joints, metres)


def test_a_hand_is_drawn_where_the_canvas_places_it() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    canvas = Canvas(image, np.zeros(2), np.full(2, 0.5))
    drawn = draw_hands(image, canvas, [None, left_hand((40, 100), (120, 100))])
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert not image.any()
    assert 47 <= rows.min() <= rows.max() <= 53
    assert 17 <= columns.min() <= columns.max() <= 63


def test_joints_beyond_the_canvas_are_cut_off() -> None:
    beside = np.zeros((100, 300, 3), np.uint8)  # a view beside the canvas
    canvas = Canvas(beside[:, :200], np.zeros(2), np.ones(2))
    drawn = draw_hands(beside, canvas, [left_hand((150, 50), (280, 50))])
    assert drawn[:, :200].any()
    assert not drawn[:, 200:].any()
    assert not draw_hands(beside, canvas, [left_hand((900, 50), (980, 50))])[:, :190].any()
