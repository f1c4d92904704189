"""The direction that is up, estimated from people."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pose2mesh.geometry.gravity import LEVEL, LEVEL_CAMERA, Gravity, estimate_gravity
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.skeletons import COCO, JOINT_SETS


def standing() -> NDArray[np.float64]:
    """(19, 3) an upright person in the axes of a level camera, y down."""
    joints = np.zeros((len(COCO), 3))
    for side, x in (("left", 0.1), ("right", -0.1)):
        for name, y in (("hip", 0.0), ("knee", 0.42), ("ankle", 0.82), ("shoulder", -0.5)):
            joints[COCO.index(f"{side}_{name}")] = x, y, 0
    joints[COCO.index("neck")] = 0, -0.5, 0
    return joints


def tilted(joints: NDArray[np.float64], pitch: float, roll: float = 0.0) -> NDArray[np.float64]:
    """Joints (…, 3) in the axes of a level camera, in those of a camera that is tilted by degrees."""
    turn = axis_rotation(2, torch.tensor(np.deg2rad(roll))) @ axis_rotation(0, torch.tensor(np.deg2rad(pitch)))
    return joints @ turn.numpy().T


def off_deg(gravity: Gravity, up: NDArray[np.float64]) -> float:
    return float(np.rad2deg(np.arccos(np.clip(np.array(gravity.up) @ up, -1, 1))))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (-12, 0), (10, 5), (-35, -4)])
def test_standing_people_reduce_the_error_of_a_tilted_camera(pitch: float, roll: float) -> None:
    up = tilted(np.array(LEVEL), pitch, roll)
    level = off_deg(LEVEL_CAMERA, up)
    one, four = (estimate_gravity([tilted(standing(), pitch, roll)[None]] * count, COCO) for count in (1, 4))
    assert (one.source, one.people, four.people) == ("people", 1, 4)
    assert off_deg(one, up) <= max(0.75 * level, 3.0)
    assert off_deg(four, up) <= max(0.35 * level, 1.5)
    assert four.spread_deg < one.spread_deg


def test_a_person_who_sits_or_lies_says_nothing() -> None:
    sitting = standing()
    for side in ("left", "right"):
        sitting[COCO.index(f"{side}_knee")] += (0, -0.42, -0.42)
        sitting[COCO.index(f"{side}_ankle")] += (0, -0.42, -0.42)
    for joints in (sitting, tilted(standing(), 0, 90)):
        gravity = estimate_gravity([joints[None]], COCO)
        assert (gravity.up, gravity.source, gravity.people) == (LEVEL, "level", 0)
    assert estimate_gravity([], COCO).source == "level"


def test_one_who_leans_far_among_many_has_little_weight() -> None:
    bodies = [standing()[None]] * 5 + [tilted(standing(), 0, 40)[None]]
    assert off_deg(estimate_gravity(bodies, COCO), np.array(LEVEL)) < 4


def test_a_track_counts_its_upright_frames_only() -> None:
    lying = tilted(standing(), 0, 80)
    track = np.stack([tilted(standing(), -15), lying, tilted(standing(), -15)])
    alone = estimate_gravity([tilted(standing(), -15)[None]], COCO)
    np.testing.assert_allclose(estimate_gravity([track], COCO).up, alone.up, atol=1e-9)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_any_joint_set_is_taken(name: str) -> None:
    joints = np.random.default_rng(0).normal(size=(2, len(JOINT_SETS[name]), 3))
    assert np.linalg.norm(estimate_gravity([joints], JOINT_SETS[name]).up) == pytest.approx(1)


def test_the_rotation_brings_up_upright() -> None:
    gravity = Gravity(tuple(tilted(np.array(LEVEL), -25, 8).tolist()), 5.0, "people", 1)
    np.testing.assert_allclose(gravity.rotation @ gravity.up, LEVEL, atol=1e-12)
    np.testing.assert_allclose(gravity.rotation @ gravity.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(LEVEL_CAMERA.rotation, np.eye(3))
