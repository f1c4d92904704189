"""Triangulated truth and errors of single views, on a moving person whose views are projected here."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.evaluation.multiview import (
    COLUMNS,
    JOINTS,
    root_relative,
    triangulate_person,
    view_bias,
    view_errors,
)
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.triangulation import CalibratedCamera
from pose2mesh.skeletons import COCO17

FLIP = [COCO17.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in COCO17]


def cameras(count: int = 4) -> list[CalibratedCamera]:
    made = []
    for number in range(count):
        angle = 2 * np.pi * number / count + 0.3
        back, down = np.array([np.sin(angle), 0.0, np.cos(angle)]), np.array([0.0, 1.0, 0.0])
        rotation = np.stack([np.cross(down, back), down, back])
        made.append(
            CalibratedCamera(
                f"cam{number}",
                Intrinsics(1680, 1680, 540, 960),
                rotation,
                np.array([0, 0, 3.5]),
                (1080, 1920),
            )
        )
    return made


def moving(frames: int = 12) -> np.ndarray:
    """Joints (T, 17, 3) of a rigid body that turns, metres."""
    body = np.random.default_rng(0).uniform(-0.7, 0.7, (17, 3))
    angles = np.linspace(0, 0.6, frames)
    turns = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles])
    return np.einsum("tij,nj->tni", turns, body)


def views(frames: int = 12) -> tuple[list[CalibratedCamera], np.ndarray, np.ndarray]:
    made = cameras()
    world = moving(frames)
    return made, world, np.stack([camera.project(world) for camera in made])


def test_truth_in_each_camera() -> None:
    made, world, pixels = views()
    truth = triangulate_person(made, pixels, np.ones(pixels.shape[:3]))
    for view, camera in enumerate(made):
        expected = root_relative(camera.to_camera(world)[:, COLUMNS])
        assert np.abs(truth.in_camera(view) - expected).max() < 1e-4
    exact = truth.exactness()
    assert exact["error_px"] < 0.1
    assert exact["left_out"] == exact["exchanged"] == 0
    assert exact["leave_one_out_mm"] < 0.1
    assert exact["bone_spread_mm"] < 0.1


def test_truth_survives_exchanged_sides_a_wrong_joint_and_a_shifted_view() -> None:
    made, world, pixels = views()
    pixels = pixels + np.random.default_rng(1).normal(0, 0.5, pixels.shape)
    pixels[1, 4:7] = pixels[1, 4:7][:, FLIP]
    pixels[0, 2, COCO17.index("left_wrist")] += 100
    pixels[3] += [14, 6]
    truth = triangulate_person(made, pixels, np.ones(pixels.shape[:3]))
    expected = root_relative(made[0].to_camera(world)[:, COLUMNS])
    assert np.linalg.norm(truth.in_camera(0) - expected, axis=-1).mean() < 0.005
    assert truth.exchanged[1].nonzero()[0].tolist() == [4, 5, 6]
    assert truth.exchanged.sum() == 3
    assert not truth.used[0, 2, JOINTS.index("left_wrist")]
    # A common translation of the world explains a part of the shift of one view.
    assert np.linalg.norm(truth.shift_px[3] - [14, 6]) < np.linalg.norm([14, 6])
    kept = triangulate_person(made, pixels, np.ones(pixels.shape[:3]), shift=False)
    assert (kept.shift_px == 0).all()
    assert truth.exactness()["error_px"] < 0.5 * kept.exactness()["error_px"]


def test_errors_of_views_that_are_turned_scaled_or_late() -> None:
    target = root_relative(moving()[:, COLUMNS])
    same = view_errors(target + np.array([3, 1, 2]), target)
    assert max(same.values()) < 1e-6
    larger = view_errors(1.1 * target, target)
    assert larger["mpjpe"] == pytest.approx(100 * np.linalg.norm(target, axis=-1).mean(), rel=1e-6)
    assert larger["scaled_mpjpe"] < 1e-6
    assert larger["pa_mpjpe"] < 1e-6
    turn = np.array([[np.cos(0.2), np.sin(0.2), 0], [-np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])
    turned = view_errors(target @ turn.T, target)
    assert turned["scaled_mpjpe"] > 10
    assert turned["pa_mpjpe"] < 1e-6


def test_frames_without_a_person_do_not_count() -> None:
    target = root_relative(moving(10)[:, COLUMNS])
    prediction = target.copy()
    prediction[4] = np.nan
    prediction[9] += np.random.default_rng(0).normal(0, 0.1, target.shape[1:])
    errors = view_errors(prediction, target)
    assert errors["missing"] == pytest.approx(0.1)
    assert errors["mpjpe"] > 0
    frames = np.arange(10) < 9
    assert view_errors(prediction, target, frames)["mpjpe"] == 0


def test_bias_names_scale_and_rotation() -> None:
    target = root_relative(moving()[:, COLUMNS])
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    bias = view_bias(0.8 * target @ turn, target)  # the inverse of the rotation by 10° around z
    assert bias["scale"][0] == pytest.approx(np.cos(angle) / 0.8, abs=0.05)
    assert np.allclose(bias["rotation_deg"], [0, 0, 10], atol=1e-6)
    assert len(bias["joints_mm"]) == len(JOINTS)


def test_what_cannot_be_triangulated() -> None:
    made, _, pixels = views(3)
    weights = np.ones(pixels.shape[:3])
    with pytest.raises(InputError, match="2 calibrated views, expected three or more"):
        triangulate_person(made[:2], pixels[:2], weights[:2])
    with pytest.raises(InputError, match=r"expected \(4, T, 17, 2\)"):
        triangulate_person(made, pixels[:, :, :12], weights[:, :, :12])
    weights[1:, :2, COCO17.index("left_knee")] = 0
    with pytest.raises(InputError, match="left_knee is detected in two views or more in 1 of 3 frames"):
        triangulate_person(made, pixels, weights)


def test_a_joint_that_one_view_alone_detects_is_interpolated_over_time() -> None:
    made, world, pixels = views()
    weights = np.ones(pixels.shape[:3])
    weights[1:, 5, COCO17.index("left_knee")] = 0
    truth = triangulate_person(made, pixels, weights)
    assert truth.exactness()["interpolated"] == pytest.approx(1 / (12 * len(JOINTS)))
    assert np.abs(truth.joints_m - world[:, COLUMNS]).max() < 0.002
