"""Decoding of the palm network's boxes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.hands.palm_network import PalmNetwork

IMAGE = np.zeros((192, 192, 3), np.uint8)
WINDOW = Region(np.array([96.0, 96.0]), 192.0, 0.0)  # a pixel of the window is one of the image
MIDDLE = 2 * (24 * 10 + 12)  # the first of two anchors of a cell with its centre at (100, 84)


class Boxes:
    """A network with given values and logits at given anchors."""

    def __init__(self, rows: dict[int, tuple[NDArray[np.float64], float]]) -> None:
        self.rows = rows

    def run(self, images: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        boxes, scores = np.zeros((len(images), 2016, 18), np.float32), np.full((len(images), 2016, 1), -20, np.float32)
        for anchor, (values, logit) in self.rows.items():
            boxes[:, anchor], scores[:, anchor] = values, logit
        return [boxes, scores]


def palm(wrist: tuple[float, float], middle: tuple[float, float], side: float) -> NDArray[np.float64]:
    """Values (18,) of a palm, in pixels beside the centre of its anchor."""
    row = np.zeros(18)
    row[2:4], row[4:6], row[8:10] = side, wrist, middle
    return row


def test_the_hand_lies_from_the_wrist_to_the_middle_finger() -> None:
    network = PalmNetwork(Boxes({MIDDLE: (palm((-20, 0), (20, 0), 40), 3.0)}))  # type: ignore[arg-type]
    ((found,),) = network(IMAGE, [WINDOW], 0.5)
    np.testing.assert_allclose(found.wrist_px, (80, 84), atol=1e-5)
    assert found.region.angle == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(found.region.centre_px, (120, 84), atol=1e-5)
    assert found.region.side_px == pytest.approx(104)
    assert found.score == pytest.approx(1 / (1 + np.exp(-3)))


def test_boxes_of_one_palm_are_averaged_and_weak_ones_left_out() -> None:
    up, small = palm((0, 10), (0, -10), 40), palm((0, 10), (0, -10), 30)
    rows = {MIDDLE: (up, 4.0), MIDDLE + 1: (up, 2.0), 0: (small, 1.0), 1152: (small, -3.0)}
    (found,) = PalmNetwork(Boxes(rows))(IMAGE, [WINDOW], 0.5)  # type: ignore[arg-type]
    assert [round(each.score, 3) for each in found] == [0.982, 0.731]
    np.testing.assert_allclose(found[0].wrist_px, (100, 94), atol=1e-5)
    np.testing.assert_allclose(found[1].wrist_px, (4, 14), atol=1e-5)


def test_no_windows() -> None:
    assert PalmNetwork(Boxes({}))(IMAGE, [], 0.5) == []  # type: ignore[arg-type]
