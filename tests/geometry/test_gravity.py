"""The direction that is up, estimated from people."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pose2mesh.geometry.gravity import LEVEL, LEVEL_CAMERA, Gravity, estimate_gravity
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.skeletons import COCO, JOINT_SETS

LEVEL_SPREAD = estimate_gravity([], COCO).spread_deg


def standing() -> NDArray[np.float64]:
    """(19, 3) an upright person in the axes of a level camera, y down; the neck is a little before the ankles."""
    joints = np.zeros((len(COCO), 3))
    for side, x in (("left", 0.1), ("right", -0.1)):
        for name, y, z in (("hip", 0.0, 0.0), ("knee", 0.42, 0.0), ("ankle", 0.82, 0.05), ("shoulder", -0.5, -0.05)):
            joints[COCO.index(f"{side}_{name}")] = x, y, z
    joints[COCO.index("neck")] = 0, -0.5, -0.05
    return joints


def placed(joints: NDArray[np.float64], x: float, z: float) -> NDArray[np.float64]:
    """Joints (J, 3) of a person who stands 1.4 m below the camera."""
    return joints + np.array([x, 1.4 - 0.82, z])


def tilted(joints: NDArray[np.float64], pitch: float, roll: float = 0.0) -> NDArray[np.float64]:
    """Joints (…, 3) in the axes of a level camera, in those of a camera that is tilted by degrees."""
    turn = axis_rotation(2, torch.tensor(np.deg2rad(roll))) @ axis_rotation(0, torch.tensor(np.deg2rad(pitch)))
    return joints @ turn.numpy().T


def off_deg(gravity: Gravity, up: NDArray[np.float64]) -> float:
    return float(np.rad2deg(np.arccos(np.clip(np.array(gravity.up) @ up, -1, 1))))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-12, 0), (10, 5), (-35, -4), (25, 24)])
def test_standing_people_reduce_the_error_of_a_tilted_camera(pitch: float, roll: float) -> None:
    up = tilted(np.array(LEVEL), pitch, roll)
    level = off_deg(LEVEL_CAMERA, up)
    one, four = (estimate_gravity([tilted(standing(), pitch, roll)[None]] * count, COCO) for count in (1, 4))
    assert (one.source, one.people, four.people) == ("people", 1, 4)
    assert off_deg(one, up) <= max(0.75 * level, 5.0)
    assert off_deg(four, up) <= max(0.4 * level, 3.0)
    assert four.spread_deg < one.spread_deg < LEVEL_SPREAD


def test_a_person_who_lies_leaves_the_camera_level() -> None:
    for joints in (tilted(standing(), 0, 90), tilted(standing(), 90), standing() * -1):
        gravity = estimate_gravity([joints[None]], COCO)
        assert (gravity.up, gravity.source, gravity.people) == (LEVEL, "level", 0)
    assert estimate_gravity([], COCO).source == "level"


def test_bent_legs_make_the_estimate_less_certain() -> None:
    sitting = standing()
    for side in ("left", "right"):
        sitting[COCO.index(f"{side}_knee")] += (0, -0.42, -0.42)
        sitting[COCO.index(f"{side}_ankle")] += (0, -0.42, -0.42)
    assert estimate_gravity([sitting[None]], COCO).spread_deg > estimate_gravity([standing()[None]], COCO).spread_deg


def test_legs_that_were_not_observed_are_left_out() -> None:
    confidence = np.ones((1, len(COCO)))
    confidence[:, COCO.index("left_ankle")] = 0
    crossed = standing()
    crossed[COCO.index("left_ankle")] = 0.6, 0.4, -0.3
    ignored = estimate_gravity([crossed[None]], COCO, [confidence])
    assert ignored == estimate_gravity([standing()[None]], COCO, [confidence])
    assert ignored != estimate_gravity([crossed[None]], COCO)


def test_one_who_leans_far_among_many_has_little_weight() -> None:
    bodies = [standing()[None]] * 5
    with_one = estimate_gravity([*bodies, tilted(standing(), 0, 40)[None]], COCO)
    assert with_one.people == 5
    assert off_deg(with_one, np.array(estimate_gravity(bodies, COCO).up)) < 2


def test_a_frame_of_a_track_that_lies_has_little_weight() -> None:
    upright = tilted(standing(), 15)
    track = np.stack([upright, upright, tilted(standing(), 0, 80), upright])
    alone = estimate_gravity([np.stack([upright] * 3)], COCO)
    assert off_deg(estimate_gravity([track], COCO), np.array(alone.up)) < 2


def test_feet_on_one_ground_tell_the_tilt_of_the_camera() -> None:
    up = tilted(np.array(LEVEL), 12)
    leaning = tilted(standing(), 8)  # all alike, so that their bodies mislead
    places = [(-1.0, 3.0), (0.5, 8.0), (1.0, 16.0), (0.0, 12.0)]
    apart = [tilted(placed(leaning, *place), 12)[None] for place in places]
    alone = [tilted(leaning, 12)[None] + np.array([0.0, 0.0, 5.0]) for _ in places]
    assert off_deg(estimate_gravity(apart, COCO), up) < 0.6 * off_deg(estimate_gravity(alone, COCO), up)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_any_joint_set_is_taken(name: str) -> None:
    joints = np.random.default_rng(0).normal(size=(2, len(JOINT_SETS[name]), 3))
    assert np.linalg.norm(estimate_gravity([joints], JOINT_SETS[name]).up) == pytest.approx(1)


def test_the_rotation_brings_up_upright() -> None:
    gravity = Gravity(tuple(tilted(np.array(LEVEL), -25, 8).tolist()), 5.0, "people", 1)
    np.testing.assert_allclose(gravity.rotation @ gravity.up, LEVEL, atol=1e-12)
    np.testing.assert_allclose(gravity.rotation @ gravity.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(LEVEL_CAMERA.rotation, np.eye(3))
