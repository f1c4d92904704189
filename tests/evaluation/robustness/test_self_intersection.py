"""Limbs inside one another: capsules of known place and size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.evaluation.robustness.self_intersection import Capsules, segment_distance
from pose2mesh.skeletons import COCO, HUMAN36, SMPL, JointSet


def distance(*ends: object) -> float:
    return float(segment_distance(*(np.array(end, float)[None] for end in ends))[0])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (((0, 0, 0), (2, 0, 0), (1, -1, 3), (1, 1, 3)), 3),  # crossing at right angles, 3 apart
        (((0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)), 1),  # on one line, one after another
        (((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)), 1),  # parallel
        (((0, 0, 0), (1, 0, 0), (0.5, -1, 0), (0.5, 1, 0)), 0),  # through one another
        (((0, 0, 0), (0, 0, 0), (3, 4, 0), (3, 4, 0)), 5),  # points
        (((0, 0, 0), (1, 0, 0), (2, 1, 0), (2, 5, 0)), 2**0.5),  # end to end
    ],
)
def test_distance_of_segments(ends: tuple, expected: float) -> None:
    assert distance(*ends) == pytest.approx(expected, abs=1e-9)
    assert distance(*ends[2:], *ends[:2]) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 10_000))
def test_no_pair_of_points_is_nearer(seed: int) -> None:
    a, b, c, d = np.random.default_rng(seed).normal(size=(4, 3))
    share = np.linspace(0, 1, 60)[:, None]
    first, second = a + share * (b - a), c + share * (d - c)
    sampled = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    found = distance(a, b, c, d)
    assert found <= sampled + 1e-9
    assert found >= sampled - 0.02 * (np.linalg.norm(b - a) + np.linalg.norm(d - c))


@pytest.fixture(scope="module")
def rest(anny: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    vertices = anny.template.numpy()
    return anny.regressor(COCO).numpy() @ vertices, vertices


def test_parts_of_the_body_at_rest(rest: tuple[np.ndarray, np.ndarray]) -> None:
    joints, vertices = rest
    capsules = Capsules(COCO, joints, vertices)
    assert capsules.depth_mm(joints[None], vertices[None]).max() == 0
    radii = dict(zip(capsules.names, 1000 * capsules.radii(joints[None], vertices[None])[0], strict=True))
    assert 20 < radii["left_forearm"] < 40 < radii["left_thigh"] < 90
    assert radii["left_shank"] == pytest.approx(radii["right_shank"], rel=0.02)


def test_a_forearm_through_the_trunk_is_caught(rest: tuple[np.ndarray, np.ndarray]) -> None:
    joints, vertices = (points.copy() for points in rest)
    capsules = Capsules(COCO, joints, vertices)
    elbow, wrist, hip, shoulder = (
        COCO.index(name) for name in ("left_elbow", "left_wrist", "left_hip", "left_shoulder")
    )
    arm = capsules.owner == capsules.names.index("left_forearm")
    # The whole forearm is carried to the middle of the trunk's left half.
    middle = (joints[[hip, shoulder]].mean(0) + joints[[COCO.index("pelvis"), COCO.index("neck")]].mean(0)) / 2
    shift = middle - (joints[elbow] + joints[wrist]) / 2
    joints[[elbow, wrist]] += shift
    vertices[arm] += shift
    depth = capsules.depth_mm(joints[None], vertices[None])[0]
    names = [{capsules.names[a], capsules.names[b]} for a, b in capsules.pairs]
    radii = 1000 * capsules.radii(joints[None], vertices[None])[0]
    both = radii[capsules.names.index("left_forearm")] + radii[capsules.names.index("left_trunk")]
    assert depth[names.index({"left_forearm", "left_trunk"})] == pytest.approx(both, abs=5)
    assert depth[names.index({"right_forearm", "right_trunk"})] == 0


def test_joints_that_are_shared_are_no_overlap(rest: tuple[np.ndarray, np.ndarray]) -> None:
    capsules = Capsules(COCO, *rest)
    names = [{capsules.names[a], capsules.names[b]} for a, b in capsules.pairs]
    assert {"left_upper_arm", "left_forearm"} not in names
    assert {"left_upper_arm", "right_forearm"} in names
    assert {"left_trunk", "right_trunk"} not in names
    assert {"left_shank", "right_shank"} in names


@pytest.mark.parametrize("joint_set", [HUMAN36, SMPL])
def test_other_joint_sets(joint_set: JointSet, anny: BodyModel) -> None:
    vertices = anny.template.numpy()
    joints = anny.regressor(joint_set).numpy() @ vertices
    capsules = Capsules(joint_set, joints, vertices)
    assert capsules.depth_mm(joints[None], vertices[None]).max() < 1
