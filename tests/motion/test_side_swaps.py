"""Frames in which a detector took left for right."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.motion.side_swaps import find_side_swaps
from pose2mesh.skeletons import COCO, JOINT_SETS

FPS = 30
EXCHANGED = np.array(COCO.flip_permutation)


def walk(frames: int = 90, noise_px: float = 2.0) -> NDArray[np.float64]:
    """(T, 19, 2) a person who walks to the right, seen from the side and from the front in turn, swinging the limbs."""
    rng, t = np.random.default_rng(0), np.arange(frames) / FPS
    joints = np.zeros((frames, len(COCO), 2))
    width = 40 * np.cos(0.6 * t)  # the person turns: sides are some pixels apart, then cross
    heights = {"shoulder": 100, "elbow": 160, "wrist": 210, "hip": 210, "knee": 290, "ankle": 370, "eye": 50, "ear": 55}
    for side, sign in (("left", 1), ("right", -1)):
        for name, y in heights.items():
            swing = (0.3 if name in ("eye", "ear", "shoulder", "hip") else 40) * sign * np.sin(2 * np.pi * t)
            joints[:, COCO.index(f"{side}_{name}")] = np.stack([sign * width + swing, np.full(frames, y)], axis=1)
    for name, y in (("nose", 55), ("neck", 100), ("pelvis", 210)):
        joints[:, COCO.index(name), 1] = y
    return joints + np.stack([60 * t, 0 * t], axis=1)[:, None] + rng.normal(0, noise_px, joints.shape)


def test_a_detector_that_is_right_is_believed() -> None:
    joints = walk()
    assert not find_side_swaps(joints, np.ones(joints.shape[:2]), COCO).any()


@pytest.mark.parametrize("stretches", [[(10, 11)], [(20, 30)], [(5, 8), (40, 41), (70, 85)], [(80, 90)]])
def test_exchanged_stretches_are_found(stretches: list[tuple[int, int]]) -> None:
    joints, expected = walk(), np.zeros(90, bool)
    for start, end in stretches:
        expected[start:end] = True
    joints[expected] = joints[expected][:, EXCHANGED]
    np.testing.assert_array_equal(find_side_swaps(joints, np.ones(joints.shape[:2]), COCO), expected)


def test_missing_joints_do_not_matter() -> None:
    joints, confidence, expected = walk(), np.ones((90, len(COCO))), np.zeros(90, bool)
    expected[30:37] = True
    hidden = np.random.default_rng(1).random(confidence.shape) < 0.3
    joints[hidden], confidence[hidden] = 0, 0
    joints[expected], confidence[expected] = joints[expected][:, EXCHANGED], confidence[expected][:, EXCHANGED]
    np.testing.assert_array_equal(find_side_swaps(joints, confidence, COCO), expected)


@pytest.mark.parametrize("name", JOINT_SETS)
@pytest.mark.parametrize("frames", [0, 1, 2, 5])
def test_any_joint_set_and_any_number_of_frames(name: str, frames: int) -> None:
    J = len(JOINT_SETS[name])
    joints = np.random.default_rng(0).normal(size=(frames, J, 2))
    assert find_side_swaps(joints, np.zeros((frames, J)), JOINT_SETS[name]).tolist() == [False] * frames
