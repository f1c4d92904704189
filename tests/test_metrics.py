"""Metrics: values worked out by hand, and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from pose2mesh.metrics import (
    BodyPoints,
    acceleration_error,
    compute_errors,
    f_score,
    mean_distance,
    object_keypoint_similarity,
    procrustes_distance,
    scaled_distance,
)
from pose2mesh.skeletons import COCO

seeds = st.integers(0, 10_000)


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 14, 3)
    return (
        torch.randn(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    )


def test_mean_distance_by_hand() -> None:
    target = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[[3.0, 4, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])
    assert mean_distance(predicted, target).tolist() == [3, 0]


@given(seeds)
def test_mean_distance_of_root_relative_joints_does_not_depend_on_the_position_of_the_people(seed: int) -> None:
    predicted, target = pair(seed)
    generator = torch.Generator().manual_seed(seed)
    one, other = 10 * torch.randn(2, 2, 1, 3, generator=generator, dtype=torch.float64)

    def relative(joints: torch.Tensor) -> torch.Tensor:
        return joints - joints[:, :1]

    expected = mean_distance(relative(predicted), relative(target))
    assert torch.allclose(mean_distance(relative(predicted + one), relative(target + other)), expected)
    # Moved together they need no root; moved apart by a vector, joints that agreed are off by its length.
    assert torch.allclose(mean_distance(predicted + one, target + one), mean_distance(predicted, target))
    assert torch.allclose(mean_distance(target + one, target), one[:, 0].norm(dim=-1))


def test_procrustes_distance_by_hand() -> None:
    # A cross twice as large, turned by a quarter and moved, but for its corner, which is off.
    target = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]], dtype=torch.float64)
    turned = 2 * torch.stack([-target[..., 1], target[..., 0], target[..., 2]], -1) + torch.tensor([5.0, 6, 7])
    assert procrustes_distance(turned, target).item() == pytest.approx(0)
    turned[0, 0, 2] += 1  # along z, where no rotation helps: half of it is left, less the mean of a fifth
    # Four points are then 0.2 · scale below, one 0.8 · scale above; the scale is 8 / (16 + 0.8) of least squares.
    scale = 8 / 16.8
    in_plane, below, above = abs(2 * scale - 1), 0.2 * scale, 0.8 * scale
    expected = (4 * math.hypot(in_plane, below) + above) / 5
    assert procrustes_distance(turned, target).item() == pytest.approx(expected)


@given(seeds, st.floats(0.02, 0.5))
def test_procrustes_distance_agrees_with_scipy(seed: int, noise: float) -> None:
    target = pair(seed)[1]
    rotation = torch.from_numpy(Rotation.random(rng=seed).as_matrix())
    predicted = 3 * (target + noise * pair(seed + 1)[0]) @ rotation.mT + 2
    expected = []
    for points, true_points in zip(predicted.numpy(), target.numpy(), strict=True):
        # SciPy gives both of norm 1 about their mean, and may mirror: for these points it has no reason to.
        fixed, moved, _ = procrustes(true_points, points)
        norm = np.linalg.norm(true_points - true_points.mean(0))
        expected.append(np.linalg.norm(fixed - moved, axis=1).mean() * norm)
    np.testing.assert_allclose(procrustes_distance(predicted, target).numpy(), expected, rtol=1e-9)


@given(seeds)
def test_procrustes_distance_agrees_with_scipys_rotations_where_a_mirror_image_would_be_nearer(seed: int) -> None:
    target = pair(seed)[1]
    predicted = target * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    expected = []
    for points, true_points in zip(predicted.numpy(), target.numpy(), strict=True):
        points, true_points = points - points.mean(0), true_points - true_points.mean(0)
        rotation, _ = Rotation.align_vectors(true_points, points)
        turned = rotation.apply(points)
        scale = (turned * true_points).sum() / (turned**2).sum()
        expected.append(np.linalg.norm(scale * turned - true_points, axis=1).mean())
    np.testing.assert_allclose(procrustes_distance(predicted, target).numpy(), expected, rtol=1e-6)
    assert (procrustes_distance(predicted, target) > 0.01).all()


@given(seeds, st.floats(0.1, 10))
def test_procrustes_distance_ignores_similarities_of_the_prediction(seed: int, scale: float) -> None:
    predicted, target = pair(seed)
    rotation = torch.from_numpy(Rotation.random(rng=seed).as_matrix())
    moved = scale * predicted @ rotation.mT + 3
    assert torch.allclose(procrustes_distance(moved, target), procrustes_distance(predicted, target), atol=1e-8)
    assert procrustes_distance(scale * target @ rotation.mT + 3, target).max() < 1e-8


@given(seeds)
def test_procrustes_distance_is_in_the_unit_of_the_target(seed: int) -> None:
    predicted, target = pair(seed)
    expected = 1000 * procrustes_distance(predicted, target)
    assert torch.allclose(procrustes_distance(predicted, 1000 * target), expected)


@given(seeds)
def test_alignment_reduces_the_squared_error(seed: int) -> None:
    predicted, target = pair(seed)
    near = target + 0.01 * predicted
    assert (procrustes_distance(near, target) <= 1.1 * mean_distance(near, target)).all()


def test_scaled_distance_ignores_the_size_alone() -> None:
    _, target = pair(0)
    assert scaled_distance(0.3 * target, target).max() < 1e-12
    assert scaled_distance(target + 1, target).min() > 0.1
    # one joint at (1, 0, 0), predicted at (1, 1, 0): the best scale is a half, and √½ is left
    left = scaled_distance(torch.tensor([[[1.0, 1, 0]]]), torch.tensor([[[1.0, 0, 0]]]))
    assert left.item() == pytest.approx(math.sqrt(0.5))


def test_acceleration_error_by_hand() -> None:
    frames = torch.arange(6, dtype=torch.float64)
    target = torch.zeros(6, 2, 3, dtype=torch.float64)
    predicted = target.clone()
    predicted[:, 0, 0] = 0.5 * frames**2  # one of two joints accelerates by 1 a frame²
    assert acceleration_error(predicted, target).item() == pytest.approx(0.5)
    assert acceleration_error(predicted, target, fps=30).item() == pytest.approx(0.5 * 900)
    shaking = target.clone()
    shaking[::2, :, 2] = 0.001  # a millimetre to and fro: 0, 2, 0, 2 … apart in second differences
    assert acceleration_error(shaking, target).item() == pytest.approx(0.002)


def test_acceleration_error_ignores_a_constant_offset_and_drift() -> None:
    predicted, target = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    drift = 0.1 * torch.arange(5, dtype=torch.float64)[:, None, None] + 2
    assert acceleration_error(target + drift, target) < 1e-12
    expected = acceleration_error(predicted, target)
    assert torch.allclose(acceleration_error(predicted + drift, target), expected)


def test_acceleration_error_of_too_short_a_sequence() -> None:
    assert math.isnan(acceleration_error(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)))


def test_f_score_by_hand() -> None:
    target = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]])
    predicted = torch.tensor([[[0.1, 0, 0], [0, 0.2, 0], [9, 0, 0]]])
    # Two of three predicted points are near one, one of four true points is near one of them: 2·(2/3)(1/4)/(11/12).
    assert f_score(predicted, target, 0.5).item() == pytest.approx(4 / 11)
    # Nearer than the threshold, not as near.
    assert f_score(predicted[:, :1], target[:, :1], 0.1).item() == 0
    assert f_score(target, target, 1e-6).item() == 1
    assert f_score(target + 50, target, 1).item() == 0
    both = f_score(torch.cat([predicted, predicted]), torch.cat([target, target]), 0.5)
    assert both.tolist() == pytest.approx([4 / 11] * 2)
    assert f_score(target[:0], target[:0], 1).shape == (0,)


def test_oks_by_hand() -> None:
    sigmas = torch.tensor([0.05, 0.1])
    target = torch.zeros(1, 2, 2)
    predicted = torch.tensor([[[3.0, 4], [6, 8]]])
    area = torch.tensor([2500.0])
    both = torch.tensor([[True, True]])
    # d² / (2 · 2500 · (2σ)²): 25 / 50 and 100 / 200
    assert object_keypoint_similarity(predicted, target, area, sigmas, both).item() == pytest.approx(math.exp(-0.5))
    first = torch.tensor([[True, False]])
    predicted[0, 1] = 1e6  # not visible: not counted
    assert object_keypoint_similarity(predicted, target, area, sigmas, first).item() == pytest.approx(math.exp(-0.5))
    assert object_keypoint_similarity(predicted, target, area, sigmas, both).item() == pytest.approx(math.exp(-0.5) / 2)
    assert object_keypoint_similarity(predicted, target, area, sigmas, ~both).item() == 0


@given(seeds, st.floats(0.5, 20))
def test_oks_does_not_depend_on_the_size_of_the_image(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = 200 * torch.rand(3, 19, 2, generator=generator, dtype=torch.float64)
    predicted = target + 5 * torch.randn(3, 19, 2, generator=generator, dtype=torch.float64)
    area, visible = torch.tensor([900.0, 5000, 30000], dtype=torch.float64), torch.ones(3, 19, dtype=torch.bool)
    sigmas = torch.tensor(COCO.oks_sigmas, dtype=torch.float64)
    similarity = object_keypoint_similarity(predicted, target, area, sigmas, visible)
    assert ((similarity > 0) & (similarity < 1)).all()
    assert torch.allclose(
        object_keypoint_similarity(scale * predicted, scale * target, scale**2 * area, sigmas, visible), similarity
    )
    assert torch.equal(object_keypoint_similarity(target, target, area, sigmas, visible), torch.ones(3).double())


def bodies(seed: int, dtype: torch.dtype) -> BodyPoints:
    generator = torch.Generator().manual_seed(seed)
    return BodyPoints(*(torch.randn(7, points, 3, generator=generator, dtype=dtype) for points in (19, 431)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compute_errors_is_bit_for_bit_the_distances_of_root_relative_points(dtype: torch.dtype) -> None:
    prediction, ground_truth = bodies(0, dtype), bodies(1, dtype)
    assert prediction.vertices is not None
    assert ground_truth.vertices is not None
    root, true_root = (body.joints[:, COCO.root_index, None] for body in (prediction, ground_truth))
    joints = (prediction.joints - root)[:, COCO.evaluation_indices]
    true_joints = (ground_truth.joints - true_root)[:, COCO.evaluation_indices]
    vertices, true_vertices = prediction.vertices - root, ground_truth.vertices - true_root
    expected = {
        "mpjpe": mean_distance(joints, true_joints),
        "pa_mpjpe": procrustes_distance(joints, true_joints),
        "mpvpe": mean_distance(vertices, true_vertices),
        "pa_mpvpe": procrustes_distance(vertices, true_vertices),
    }
    errors = compute_errors(prediction, ground_truth, COCO)
    assert list(errors) == list(expected)
    for name, values in expected.items():
        assert torch.equal(errors[name], values), name
    # Points that are root-relative already are not changed by the alignment of the roots.
    relative = (
        BodyPoints(prediction.joints - root, vertices),
        BodyPoints(ground_truth.joints - true_root, true_vertices),
    )
    for name, values in compute_errors(*relative, COCO).items():
        assert torch.equal(values, expected[name]), name
    scaled = compute_errors(prediction, ground_truth, COCO, ("scaled_mpvpe", "mpvpe", "scaled_mpjpe"))
    assert list(scaled) == ["scaled_mpvpe", "mpvpe", "scaled_mpjpe"]
    assert torch.equal(scaled["scaled_mpjpe"], scaled_distance(joints, true_joints))
    assert torch.equal(scaled["scaled_mpvpe"], scaled_distance(vertices, true_vertices))


def test_compute_errors_by_hand() -> None:
    """Values in the unit of the input, pinned by numbers that do not depend on the distances' code."""
    ground_truth = bodies(1, torch.float64)
    joints, vertices = ground_truth.joints.clone(), ground_truth.vertices
    assert vertices is not None
    chosen = [COCO.index(name) for name in ("left_wrist", "right_knee")]
    joints[:, chosen[0], 2] += 0.06
    prediction = BodyPoints(joints + 4, vertices + torch.tensor([4, 4, 4.003]))
    errors = compute_errors(prediction, ground_truth, COCO, ("mpjpe", "mpvpe"), joint_indices=chosen)
    assert errors["mpjpe"].tolist() == pytest.approx([0.03] * 7)
    assert errors["mpvpe"].tolist() == pytest.approx([0.003] * 7, abs=1e-6)
    errors = compute_errors(prediction, ground_truth, COCO, ("mpjpe",))
    assert errors["mpjpe"].tolist() == pytest.approx([0.06 / len(COCO.evaluation_indices)] * 7)


def test_compute_errors_of_vertices_about_their_own_root() -> None:
    ground_truth = bodies(1, torch.float64)
    assert ground_truth.vertices is not None
    vertices, root = ground_truth.vertices, ground_truth.vertices[:, 0]
    moved = BodyPoints(ground_truth.joints, vertices + 2, root + 2)
    assert compute_errors(moved, BodyPoints(ground_truth.joints, vertices, root), COCO)["mpvpe"].max() < 1e-12


def test_compute_errors_leaves_out_vertices_that_either_side_lacks() -> None:
    whole = bodies(0, torch.float32)
    without = BodyPoints(whole.joints)
    for pair in ((whole, without), (without, whole), (without, without)):
        assert list(compute_errors(*pair, COCO)) == ["mpjpe", "pa_mpjpe"]
