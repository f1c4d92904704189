"""The shipped regressors: well formed, at the rig's joints, and on the correct side of the body."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.finger_pose import resting_fingers, with_fingers
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.joint_regressors import FITTED, extend_with_derived, fitting_error, load_regressor
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.skeletons import COCO, FEET, HAND_JOINTS, HUMAN36, JOINT_SETS, WHOLEBODY


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that fits the file, with its map from joints to bones."""
    spec = importlib.util.spec_from_file_location(
        "fit_regressors", Path(__file__).parents[2] / "scripts/fit_regressors.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FITTED)
def test_rows_are_sparse_means_of_vertices(name: str, body: BodyModel) -> None:
    regressor = load_regressor(name)
    assert regressor.shape == (len(JOINT_SETS[name]), len(body.template))
    assert regressor.dtype == np.float32
    assert (regressor >= 0).all()
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
    fitted = ~np.isnan(fitting_error(name)[:, 0])
    assert ((regressor > 0).sum(1)[fitted] <= 64).all()


@pytest.mark.parametrize("function", [load_regressor, fitting_error])
def test_unknown_joint_set_is_named(function) -> None:
    with pytest.raises(InputError, match=r"'coco'.*human36, smpl"):
        function("coco")


@pytest.mark.parametrize("name", FITTED)
def test_joints_follow_the_rig(name: str, body: BodyModel, script: ModuleType) -> None:
    """A sitting woman with one arm up: no joint is farther from its bone than the largest stored error."""
    orientations = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    for bones, axis, angle_rad in (
        (("LeftUpLeg", "LeftToeBase", "LeftFoot", "RightUpLeg"), 0, -1.2),
        (("LeftArm", "LeftForeArm", "LeftHand"), 1, -1.5),
        (("Neck", "Head"), 2, 0.4),
    ):
        for bone in bones:
            orientations[:, BODY_BONES.index(bone)] = axis_rotation(axis, torch.tensor(angle_rad))
    phenotypes = torch.tensor([[0.9, 0.7, 0.4, 0.6, 0.35, 0.5]])
    joints = torch.from_numpy(load_regressor(name)) @ body(phenotypes, orientations)[0]
    heads = body.bone_heads(phenotypes, orientations)[0]
    compared = 0
    for index, joint in enumerate(JOINT_SETS[name].names):
        bones = script.target_bones(name, joint)
        if bones is None:
            continue
        target = heads[[body.bone_names.index(bone) for bone in bones]].mean(0)
        distance_mm = 1000 * (joints[index] - target).norm()
        assert distance_mm < 1.25 * fitting_error(name)[index, 1], joint
        compared += 1
    assert compared >= len(JOINT_SETS[name]) - 2


@pytest.mark.parametrize("name", FITTED)
def test_left_and_right_mirror_each_other(name: str, body: BodyModel) -> None:
    joint_set = JOINT_SETS[name]
    joints = load_regressor(name) @ body.template.numpy()
    mirrored = joints * [-1, 1, 1]
    centre = 2 * body.template[:, 0].mean().item()
    mirrored[:, 0] += centre
    for left, right in joint_set.flip_pairs:
        assert joints[left, 0] > 0 > joints[right, 0], joint_set.names[left]
        assert np.linalg.norm(joints[left] - mirrored[right]) < 0.015, joint_set.names[left]
        assert abs(fitting_error(name)[left, 0] - fitting_error(name)[right, 0]) < 4, joint_set.names[left]


@pytest.mark.parametrize("name", FITTED)
def test_stored_errors_are_those_of_a_usable_regressor(name: str) -> None:
    errors = fitting_error(name)
    assert errors.shape == (len(JOINT_SETS[name]), 2)
    unfitted = {JOINT_SETS[name].names[index] for index in np.isnan(errors[:, 0]).nonzero()[0]}
    assert unfitted == ({"nose", "head_top"} if name == "human36" else set())
    assert np.nanmean(errors[:, 0]) < 7
    assert np.nanmax(errors[:, 0]) < 20  # the knees, whose bones slide along the leg with the body's height


def test_nose_is_cocos_and_head_top_the_crown(body: BodyModel) -> None:
    regressor, template = load_regressor("human36"), body.template.numpy()
    nose = body.regressor(COCO)[COCO.index("nose")].numpy()
    np.testing.assert_allclose(regressor[HUMAN36.index("nose")], nose, atol=1e-7)
    crown = regressor[HUMAN36.index("head_top")] @ template
    assert template[:, 2].max() - crown[2] < 0.005
    assert abs(crown[0] - template[:, 0].mean()) < 0.01


def test_whole_body_holds_cocos_rows_and_sparse_ones(body: BodyModel) -> None:
    regressor = body.regressor(WHOLEBODY).numpy()
    assert regressor.shape == (67, len(body.template))
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
    rows = [WHOLEBODY.index(name) for name in COCO.names]
    np.testing.assert_array_equal(regressor[rows], body.regressor(COCO).numpy())
    others = np.delete(regressor, rows, axis=0)
    assert (others >= 0).all()
    assert ((others > 0).sum(1) <= 64).all()


def test_hand_joints_follow_bent_fingers(body: BodyModel, script: ModuleType) -> None:
    """A fist on the left and a raised right arm: every joint of the hands is at its bone's head or tail."""
    orientations = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    for bone in ("RightArm", "RightForeArm", "RightHand"):
        orientations[:, BODY_BONES.index(bone)] = axis_rotation(1, torch.tensor(1.2))
    fingers = resting_fingers(1).clone()
    fingers[:, 3:15] = axis_rotation(1, torch.tensor(0.8))
    posed = with_fingers(orientations, fingers)
    phenotypes = torch.tensor([[0.2, 0.8, 0.5, 0.6, 0.4, 0.5]])
    joints = body.regressor(WHOLEBODY) @ body(phenotypes, posed)[0]
    points = script.rig_points(body, phenotypes, posed)[0]
    for name in HAND_JOINTS:
        (index,) = script.point_indices(body, script.target_bones("wholebody", name))
        largest_mm = fitting_error("wholebody")[WHOLEBODY.index(name), 1]
        assert 1000 * (joints[WHOLEBODY.index(name)] - points[index]).norm() < 1.5 * largest_mm + 1, name


def test_errors_of_hand_joints_are_millimetres() -> None:
    errors = fitting_error("wholebody")
    fitted = [WHOLEBODY.index(name) for name in HAND_JOINTS]
    assert np.isfinite(errors[fitted]).all()
    assert np.isnan(np.delete(errors, fitted, axis=0)).all()
    assert errors[fitted, 0].mean() < 1.5
    assert errors[fitted, 1].max() < 8


def test_feet_are_the_ends_of_the_toes_and_the_back_of_the_heel(body: BodyModel) -> None:
    """The template faces −y: toes before the ankle, the big one inside, the heel behind, all near the floor."""
    template = body.template.numpy()
    at = {name: (body.regressor(WHOLEBODY).numpy() @ template)[WHOLEBODY.index(name)] for name in WHOLEBODY.names}
    floor = template[:, 2].min()
    for side, sign in (("left", 1), ("right", -1)):
        big, small, heel, ankle = (at[f"{side}_{part}"] for part in ("big_toe", "small_toe", "heel", "ankle"))
        assert sign * (small[0] - big[0]) > 0.06
        assert big[1] < small[1] < ankle[1] - 0.1
        assert heel[1] > ankle[1] + 0.02
        assert max(point[2] for point in (big, small, heel)) < floor + 0.03
        assert 0.2 < np.linalg.norm(big - heel) < 0.3
    assert set(FEET) <= set(at)


def test_derived_joints_are_means_of_their_sources() -> None:
    rows = np.eye(17, 20, dtype=np.float64)
    extended = extend_with_derived(rows, COCO)
    assert extended.shape == (19, 20)
    assert extended.dtype == np.float32
    np.testing.assert_array_equal(extended[:17], rows)
    for name, side in (("pelvis", "hip"), ("neck", "shoulder")):
        expected = np.zeros(20)
        expected[[COCO.index(f"left_{side}"), COCO.index(f"right_{side}")]] = 0.5
        np.testing.assert_array_equal(extended[COCO.index(name)], expected)


def test_extending_the_wrong_number_of_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"19 rows.*'coco' has 17"):
        extend_with_derived(np.zeros((19, 5)), COCO)


def test_fit_recovers_a_joint_that_is_a_mean_of_vertices(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "VERTEX_NOISE_M", 1e-6)
    vertices = np.random.default_rng(0).normal(size=(40, 12, 3))
    chosen, weights = script.fit_row(vertices, 0.3 * vertices[:, 2] + 0.7 * vertices[:, 9])
    found = dict(zip(chosen.tolist(), weights.tolist(), strict=True))
    assert weights.sum() == pytest.approx(1)
    assert found[2] == pytest.approx(0.3, abs=1e-4)
    assert found[9] == pytest.approx(0.7, abs=1e-4)
