"""Rotations and alignments: round trips, invariances, and comparison with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from pose2mesh.geometry.rotations import (
    WORLD_TO_CAMERA,
    axis_rotation,
    best_scale,
    procrustes_align,
    rotation_between,
    rotation_from_six,
    rotation_from_vector,
    six_of_rotation,
)

vectors = st.tuples(*[st.floats(-10, 10, allow_subnormal=False)] * 3).map(
    lambda v: torch.tensor(v, dtype=torch.float64)
)
seeds = st.integers(0, 10_000)


def is_rotation(matrix: Tensor, tolerance: float = 1e-12) -> bool:
    identity = torch.eye(3, dtype=matrix.dtype).expand_as(matrix)
    orthonormal = torch.allclose(matrix @ matrix.mT, identity, atol=tolerance, rtol=0)
    return orthonormal and bool((torch.linalg.det(matrix) > 0.5).all())


def random_points(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, 3)))


def random_similarity(seed: int, points: Tensor) -> Tensor:
    generator = np.random.default_rng(seed + 1)
    rotation = torch.from_numpy(Rotation.random(rng=generator).as_matrix())
    return generator.uniform(0.1, 10) * points @ rotation.mT + torch.from_numpy(generator.normal(size=3))


# Rotations


def test_world_to_camera_is_a_rotation() -> None:
    matrix = torch.tensor(WORLD_TO_CAMERA)
    assert is_rotation(matrix)
    # up in the world is up (−y) in the image, and the person is in front of the camera
    assert (matrix @ torch.tensor([0.0, 0.0, 1.0])).tolist() == [0, -1, 0]
    assert (matrix @ torch.tensor([0.0, 1.0, 0.0])).tolist() == [0, 0, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quarter_turns_go_from_each_axis_to_the_next(axis: int) -> None:
    unit = torch.eye(3, dtype=torch.float64)
    turned = axis_rotation(axis, torch.tensor(math.pi / 2, dtype=torch.float64)) @ unit[(axis + 1) % 3]
    assert torch.allclose(turned, unit[(axis + 2) % 3], atol=1e-15)


@given(st.integers(0, 2), st.floats(-7, 7))
def test_axis_rotation_is_rodrigues_about_an_axis(axis: int, angle: float) -> None:
    angles = torch.full((2, 4), angle, dtype=torch.float64)
    vector = torch.zeros(2, 4, 3, dtype=torch.float64)
    vector[..., axis] = angle
    assert axis_rotation(axis, angles).shape == (2, 4, 3, 3)
    assert torch.allclose(axis_rotation(axis, angles), rotation_from_vector(vector), atol=1e-14)


@given(vectors)
def test_rotation_from_vector_is_scipys(vector: Tensor) -> None:
    matrix = rotation_from_vector(vector)
    assert is_rotation(matrix)
    assert np.allclose(matrix, Rotation.from_rotvec(vector.numpy()).as_matrix(), atol=1e-12)


@given(seeds, st.floats(1e-3, math.pi - 1e-3))
def test_rotation_vectors_survive_a_round_trip(seed: int, angle: float) -> None:
    vector = angle * torch.nn.functional.normalize(random_points(seed), dim=-1)
    back = Rotation.from_matrix(rotation_from_vector(vector).numpy()).as_rotvec()
    assert np.allclose(back, vector, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-13, 1e-8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_rotations_and_their_gradient(size: float, dtype: torch.dtype) -> None:
    vector = torch.tensor([size, 0, 0], dtype=dtype, requires_grad=True)
    matrix = rotation_from_vector(vector)
    assert is_rotation(matrix.detach(), 1e-7)
    matrix[2, 1].backward()  # d sin(x) / dx
    assert vector.grad is not None
    assert torch.allclose(vector.grad, torch.tensor([1.0, 0, 0], dtype=dtype), atol=1e-6)


@given(vectors, vectors)
def test_rotation_between_turns_one_direction_into_the_other(source: Tensor, target: Tensor) -> None:
    assume(source.norm() > 1e-3)
    assume(target.norm() > 1e-3)
    rotation = rotation_between(source, target)
    a, b = source / source.norm(), target / target.norm()
    assert is_rotation(rotation)
    assert torch.allclose(rotation @ a, b, atol=1e-9)
    # of all rotations that do so, the smallest: its angle is the one between the directions
    assert torch.allclose(rotation.trace(), 1 + 2 * (a @ b), atol=1e-9)


@given(vectors)
def test_rotation_between_equal_opposite_and_zero_directions(vector: Tensor) -> None:
    assume(vector.norm() > 1e-3)
    identity = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(rotation_between(vector, 3 * vector), identity, atol=1e-7)
    half_turn = rotation_between(vector, -vector)
    assert is_rotation(half_turn)
    assert torch.allclose(half_turn @ vector, -vector, atol=1e-9)
    assert torch.equal(rotation_between(torch.zeros_like(vector), vector), identity)


@pytest.mark.parametrize("off", [0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_rotation_between_is_exact_in_float32_near_equal_and_opposite(off: float, sign: int) -> None:
    source = torch.nn.functional.normalize(random_points(0, 500), dim=-1).float()
    target = torch.nn.functional.normalize(sign * source + off * random_points(1, 500).float(), dim=-1)
    rotation = rotation_between(source, target)
    assert is_rotation(rotation, 3e-6)
    assert ((rotation @ source[..., None])[..., 0] - target).norm(dim=-1).max() < 1e-5


# Procrustes


@given(seeds)
def test_procrustes_undoes_any_similarity(seed: int) -> None:
    target = random_points(seed, 2, 7)
    assert torch.allclose(procrustes_align(random_similarity(seed, target), target), target, atol=1e-9)


@given(seeds)
def test_procrustes_result_does_not_depend_on_a_similarity_of_the_source(seed: int) -> None:
    source, target = random_points(seed, 2, 7), random_points(seed + 1, 2, 7)
    once = procrustes_align(source, target)
    assert torch.allclose(procrustes_align(random_similarity(seed, source), target), once, atol=1e-8)
    assert torch.allclose(procrustes_align(once, target), once, atol=1e-8)


@given(seeds)
def test_procrustes_is_scipys_where_no_mirror_would_be_better(seed: int) -> None:
    target = random_points(seed, 1, 9)
    source = random_similarity(seed, target + 0.05 * random_points(seed + 2, 1, 9))
    aligned = procrustes_align(source, target)
    _, _, disparity = scipy.spatial.procrustes(target[0].numpy(), source[0].numpy())
    spread = (target - target.mean(1)).square().sum()
    assert math.isclose((aligned - target).square().sum() / spread, disparity, rel_tol=1e-8)

    a, b = (points[0].numpy() - points[0].numpy().mean(0) for points in (source, target))
    rotation, scale = scipy.linalg.orthogonal_procrustes(a, b)
    expected = a @ rotation * scale / (a**2).sum() + target[0].numpy().mean(0)
    assert np.allclose(aligned[0], expected, atol=1e-9)


@given(seeds)
def test_procrustes_never_mirrors_and_is_the_best_without(seed: int) -> None:
    source = random_points(seed, 1, 6)
    target = source * torch.tensor([-1.0, 1, 1]) + 0.1 * random_points(seed + 1, 1, 6)
    aligned = procrustes_align(source, target)
    a, b = source[0] - source[0].mean(0), target[0] - target[0].mean(0)
    turned = torch.from_numpy(Rotation.align_vectors(b.numpy(), a.numpy())[0].apply(a.numpy()))
    expected = (turned * b).sum() / a.square().sum() * turned + target[0].mean(0)
    assert torch.allclose(aligned[0], expected, atol=1e-7)
    shape, moved = a.T @ a, a.T @ (aligned[0] - aligned[0].mean(0))
    assert torch.linalg.det(moved) * torch.linalg.det(shape) > 0


@given(seeds)
def test_procrustes_weights(seed: int) -> None:
    source, target = random_points(seed, 2, 8), random_points(seed + 1, 2, 8)
    weights = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 1, (2, 8)))
    weights[:, 5:] = 0
    aligned = procrustes_align(source, target, weights)
    source[:, 5:] += 100  # what has no weight moves nothing
    target[:, 5:] -= 100
    assert torch.allclose(procrustes_align(source, target, weights)[:, :5], aligned[:, :5], atol=1e-8)
    assert torch.allclose(procrustes_align(source, target, 7 * weights), procrustes_align(source, target, weights))
    ones = torch.ones(8, dtype=torch.float64)
    assert torch.allclose(procrustes_align(source, target, ones), procrustes_align(source, target))


def test_procrustes_of_degenerate_points() -> None:
    target = random_points(0, 1, 5)
    assert torch.allclose(procrustes_align(torch.ones(1, 5, 3).double(), target), target.mean(1, keepdim=True))
    line = torch.linspace(0, 1, 5)[None, :, None].double() * torch.tensor([1.0, 2, 3])
    assert torch.allclose(procrustes_align(line, 2 * line.flip(-1)), 2 * line.flip(-1))


# Scale


@given(seeds)
def test_best_scale_is_the_least_squares_solution(seed: int) -> None:
    source, target = random_points(seed, 3, 5), random_points(seed + 1, 3, 5)
    scale = best_scale(source, target)
    assert scale.shape == (3, 1, 1)
    expected = torch.linalg.lstsq(source.reshape(3, -1, 1), target.reshape(3, -1, 1)).solution
    assert torch.allclose(scale, expected)


def test_best_scale_of_known_points() -> None:
    points = random_points(0, 1, 4)
    assert best_scale(points, 2.5 * points).item() == pytest.approx(2.5)
    assert best_scale(points, -points).item() == pytest.approx(-1)
    assert best_scale(torch.zeros(1, 4, 3), points.float()).item() == 0


def test_six_numbers_to_rotations_and_back() -> None:
    rotation = rotation_from_vector(torch.randn(50, 3, dtype=torch.float64))
    six = six_of_rotation(rotation)
    assert six.shape == (50, 6)
    assert torch.allclose(rotation_from_six(six), rotation, atol=1e-12)
    # Lengths, and how far the second leans towards the first, do not matter.
    first, second = six.split(3, dim=1)
    assert torch.allclose(rotation_from_six(torch.cat((3 * first, second / 2 + first), dim=1)), rotation, atol=1e-12)


def test_gradient_of_six_numbers() -> None:
    six = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_from_six, (six,))
