"""Regions of hands and windows at wrists."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.hands.hand_region import (
    forearm_length,
    region_beyond_forearm,
    region_of_hand,
    upright_angle,
    window_at_wrist,
)
from pose2mesh.skeletons import COCO17

# A flat right hand, its palm to the viewer, fingers up, in pixels about the wrist.
FLAT = np.array(
    [(0.0, 0.0)]
    + [(-20.0 - 8 * k, -20.0 - 10 * k) for k in range(4)]
    + [(x, -60.0 - 18 * k) for x in (-24.0, -6.0, 12.0, 28.0) for k in range(4)]
)


@pytest.mark.parametrize(
    ("direction", "angle"), [((0, -1), 0), ((1, 0), np.pi / 2), ((-1, 0), -np.pi / 2), ((0, 1), -np.pi)]
)
def test_a_direction_points_up_in_its_region(direction: tuple[float, float], angle: float) -> None:
    assert upright_angle(np.array(direction)) == pytest.approx(angle)


def test_the_region_of_a_hand_holds_it_and_turns_with_it() -> None:
    upright = region_of_hand(FLAT)
    assert abs(upright.angle) < 0.15
    turn = Region(np.zeros(2), 1.0, 0.9).rotation
    turned = region_of_hand(FLAT @ turn.T + (300, 200))
    assert turned.angle - upright.angle == pytest.approx(0.9)
    assert turned.side_px == pytest.approx(upright.side_px)
    np.testing.assert_allclose(turned.centre_px, turn @ upright.centre_px + (300, 200), atol=1e-9)
    inside = (FLAT - upright.centre_px) @ upright.rotation / upright.side_px
    assert (abs(inside) < 0.5).all()


def test_regions_lie_beyond_the_wrist() -> None:
    wrist, elbow = np.array([100.0, 100.0]), np.array([40.0, 100.0])
    region = region_beyond_forearm(wrist, elbow, 60.0)
    assert region.angle == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(region.centre_px, (121, 100))
    window = window_at_wrist(wrist, elbow, 60.0)
    assert window.angle == 0
    assert window.side_px == pytest.approx(2 * region.side_px)
    np.testing.assert_allclose(window_at_wrist(wrist, None, 60.0).centre_px, wrist)
    np.testing.assert_allclose(window_at_wrist(wrist, wrist, 60.0).centre_px, wrist)


def test_a_forearm_that_points_to_the_camera_has_the_length_that_the_body_says() -> None:
    joints, confidence = np.zeros((17, 2)), np.zeros(17)
    assert forearm_length(joints, confidence) == 0
    for name, place in {"left_elbow": (0, 0), "left_wrist": (5, 0), "left_shoulder": (0, -100)}.items():
        joints[COCO17.index(name)], confidence[COCO17.index(name)] = place, 1
    assert forearm_length(joints, confidence) == pytest.approx(85)
