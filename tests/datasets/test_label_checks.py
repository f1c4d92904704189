"""Label checks: they find faults put in on purpose, and do not report poses that are only unusual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.label_checks import backwards, crossed, extent_m, implausible_size, mirrored, outside, repeated
from pose2mesh.datasets.readers.custom import read_custom
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, SyntheticSamples, sample_people
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import COCO, HUMAN36, SMPL, JointSet


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return default_body()


def draw(anny: BodyModel, joint_set: JointSet, count: int = 200) -> SyntheticSamples:
    source = PoseSource(None, PoseConfig(procedural=1.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return sample_people(count, source, BodySynthesiser(anny, joint_set, None), SyntheticConfig(views=1), generator)


def test_outside_by_hand() -> None:
    joints = np.array([[[5, 5, 1], [10, 5, 1], [30, 5, 1], [90, 90, 0]]] * 3, float)
    joints[2, :, 2] = 0
    size = np.array([[20, 10], [0, 0], [20, 10]])
    np.testing.assert_allclose(outside(joints, size), [1 / 3, np.nan, np.nan])


def test_extent_by_hand() -> None:
    joints = np.array([[[0, 0, 4], [0.5, 1.7, 4.2], [9, 9, 9]], [[1, 1, 1]] * 3])
    valid = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_allclose(extent_m(joints, valid), [1.7, np.nan])


@pytest.mark.parametrize(("kind", "size"), [("body", 1.7), ("hand", 0.18)])
def test_units(kind: str, size: float) -> None:
    small, large = implausible_size(np.array([size, size / 1000, size * 1000, np.nan]), kind)
    assert small.tolist() == [False, True, False, False]
    assert large.tolist() == [False, False, True, False]


def test_mirrored_points_meet_better_exchanged(anny: BodyModel) -> None:
    joints = draw(anny, COCO).joints_cam.numpy()
    valid = np.ones(joints.shape[:2], bool)
    noisy = joints + np.random.default_rng(0).normal(0, 0.02, joints.shape)
    flip = COCO.flip_permutation
    assert not mirrored(noisy, joints, valid, flip).any()
    assert mirrored(noisy[:, flip] + 3, joints, valid, flip).mean() > 0.98  # wherever they stand
    assert not mirrored(joints[..., :1] * 0, joints[..., :1] * 0, valid, flip).any()
    valid[:, [COCO.index(name) for name in COCO.names if name.startswith("left_")]] = False
    assert not mirrored(noisy[:, flip], joints, valid, flip).any()  # with one side alone, nothing can be told


@pytest.mark.parametrize(("joint_set", "found"), [(COCO, 0.95), (HUMAN36, 0.95), (SMPL, 0.1)])
def test_bodies_that_look_over_their_back(anny: BodyModel, joint_set: JointSet, found: float) -> None:
    joints = draw(anny, joint_set).joints_cam.numpy()
    valid = np.ones(joints.shape[:2], bool)
    assert not backwards(joints, valid, joint_set.names).any()
    swapped = backwards(joints[:, joint_set.flip_permutation], valid, joint_set.names)
    assert swapped.mean() >= found  # without a nose only standing people can be asked, by their toes
    assert not backwards(joints[:, joint_set.flip_permutation], ~valid, joint_set.names).any()


def test_labels_of_photos(shared_data: Path, tmp_path: Path) -> None:
    """Those of COCO are right; with the hips exchanged, everybody whose trunk is wide is found."""
    records = read_custom(
        shared_data / "coco_mini", tmp_path, annotations=shared_data / "coco_mini" / "person_keypoints.json"
    )
    joints = np.array(records.joints_px)
    assert not crossed(joints, COCO.names).any()
    exchanged = joints.copy()
    hips = [COCO.index("left_hip"), COCO.index("right_hip")]
    exchanged[:, hips] = exchanged[:, hips[::-1]]
    assert crossed(exchanged, COCO.names).sum() >= 20
    assert crossed(joints[:, COCO.flip_permutation], COCO.names).sum() >= 5


def test_a_face_by_hand() -> None:
    joints = np.zeros((2, 19, 3))
    for name, x, y in (
        ("nose", 50, 20), ("left_eye", 55, 15), ("right_eye", 45, 15), ("left_ear", 62, 17), ("right_ear", 38, 17),
        ("left_shoulder", 80, 60), ("right_shoulder", 20, 60),
    ):  # fmt: skip
        joints[0, COCO.index(name)] = x, y, 1
    joints[1] = joints[0, COCO.flip_permutation]
    assert crossed(joints, COCO.names).tolist() == [False, True]
    joints[:, COCO.index("nose"), 2] = 0  # who is seen from behind
    assert not crossed(joints, COCO.names).any()
    assert not crossed(joints[:, :4], COCO.names[:4]).any()


def test_the_same_person_twice() -> None:
    image = np.array([0, 0, 1, 0, -1, -1])
    box = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]], float)
    assert repeated(image, box).tolist() == [False, False, False, True, False, False]
    assert not repeated(np.zeros(3, int), np.full((3, 4), np.nan)).any()
