"""BVH files of the body: read back, they have the same joints and, retargeted, the same pose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bvh import forward_kinematics, read_bvh
from pose2mesh.datasets.synthetic.mocap import Clip, load_clip
from pose2mesh.datasets.synthetic.retarget import retarget
from pose2mesh.motion.body_motion import Y_UP_FROM_CAMERA, BodyMotion
from pose2mesh.motion.bvh_writer import _continuous, write_bvh


def test_joints_round_trip(anny_body: BodyModel, motion_in_camera: BodyMotion, tmp_path: Path) -> None:
    write_bvh(tmp_path / "p0.bvh", anny_body, motion_in_camera)
    bvh = read_bvh(tmp_path / "p0.bvh")
    assert len(bvh) == len(motion_in_camera)
    assert bvh.frame_time == pytest.approx(1 / 30, rel=1e-6)
    _, positions = forward_kinematics(bvh)
    shapes = torch.from_numpy(motion_in_camera.phenotypes).expand(len(motion_in_camera), -1)
    heads = (
        anny_body.bone_heads(shapes, torch.from_numpy(motion_in_camera.orientations)).numpy()
        + motion_in_camera.hips_m[:, None]
    )
    for bone in BODY_BONES:
        found = positions[:, bvh.names.index(f"mixamorig:{bone}")] / 100
        expected = heads[:, anny_body.bone_names.index(bone)] @ Y_UP_FROM_CAMERA.T
        assert np.abs(found - expected).max() < 1e-4


def test_retargeting_gives_the_same_motion(
    anny_body: BodyModel, synthetic_clip: Clip, motion_in_camera: BodyMotion, tmp_path: Path
) -> None:
    """Limb directions, hips and trunk are recovered; the hips' path is scaled by the length of the legs."""
    write_bvh(tmp_path / "p0.bvh", anny_body, motion_in_camera)
    orientations, root = retarget(read_bvh(tmp_path / "p0.bvh"))
    cosine = (np.einsum("tbij,tbij->tb", orientations, synthetic_clip.orientations) - 1) / 2
    angles = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    assert angles.max() < 6  # the rest pose of this shape is not the template's to the degree
    assert np.median(angles) < 1
    travelled = np.ptp(root, axis=0) / np.ptp(synthetic_clip.root_m, axis=0)
    assert np.allclose(travelled, travelled[0], rtol=0.05)


def test_the_pose_of_the_mean_body_agrees_to_two_degrees(
    anny_body: BodyModel, synthetic_clip: Clip, motion_in_camera: BodyMotion, tmp_path: Path
) -> None:
    mean = replace(motion_in_camera, phenotypes=anny_body.mean_phenotypes.numpy())
    write_bvh(tmp_path / "p0.bvh", anny_body, mean)
    clip = load_clip(tmp_path / "p0.bvh")
    cosine = (np.einsum("tbij,tbij->tb", clip.orientations, synthetic_clip.orientations) - 1) / 2
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 2


def test_the_rest_pose_stands_on_y_and_faces_z(
    anny_body: BodyModel, motion_in_camera: BodyMotion, tmp_path: Path
) -> None:
    write_bvh(tmp_path / "p0.bvh", anny_body, motion_in_camera, prefix="")
    bvh = read_bvh(tmp_path / "p0.bvh")
    at = dict(zip(bvh.names, bvh.rest_positions(), strict=True))
    assert [name for name, end in zip(bvh.names, bvh.is_end, strict=True) if not end] == list(BODY_BONES)
    assert at["Head"][1] > 40 > 0 > -70 > at["LeftFoot"][1]
    assert at["LeftHand"][0] > 30
    assert at["RightHand"][0] < -30
    assert at["LeftToeBase"][2] > at["LeftFoot"][2] + 8


def test_angles_do_not_jump() -> None:
    steps = np.zeros((200, 1, 3))
    steps[:, 0, 0] = np.arange(200) * 5.0  # nearly three turns
    wrapped = (steps + 180) % 360 - 180
    assert np.abs(np.diff(_continuous(wrapped), axis=0)).max() == pytest.approx(5)
    flipped = wrapped.copy()
    flipped[::2] = flipped[::2] * [1, -1, 1] + 180
    assert np.abs(np.diff(_continuous(flipped), axis=0)).max() == pytest.approx(5)
