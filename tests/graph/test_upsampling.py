"""Upsampling from points to vertices: exact under rigid motion, close under poses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.graph.coarsening import Hierarchy, build_hierarchy
from pose2mesh.graph.upsampling import fit_upsampling

LEVEL = 2
Fit = tuple[Hierarchy, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def fit(body: BodyMesh, posed_bodies: np.ndarray) -> Fit:
    """The hierarchy, the points' vertices, and the fitted indices and weights."""
    template = body.template.numpy().astype(np.float64)
    hierarchy = build_hierarchy(template, body.faces.numpy(), LEVEL)
    nodes = hierarchy.nodes[LEVEL]
    return hierarchy, nodes[nodes >= 0], *fit_upsampling(hierarchy, LEVEL, template, posed_bodies[:40])


def apply(fit: Fit, vertices: np.ndarray) -> np.ndarray:
    """The vertices (V, 3) that the step makes of the points of `vertices`."""
    _, points, index, weight = fit
    return (weight[..., None].astype(np.float64) * vertices[points][index]).sum(1)


def test_shapes_and_dtypes(fit: Fit) -> None:
    _, points, index, weight = fit
    assert index.shape == weight.shape == (162, 12)
    assert index.dtype == np.int32
    assert weight.dtype == np.float32
    assert 0 <= index.min() <= index.max() < len(points)


def test_weights_sum_to_one(fit: Fit) -> None:
    assert np.abs(fit[3].sum(1) - 1).max() < 1e-6


def test_moving_the_points_moves_the_vertices_with_them(fit: Fit, posed_bodies: np.ndarray) -> None:
    shape, shift = posed_bodies[-1], np.array([3.0, -2, 5])
    matrix = 1.7 * Rotation.from_rotvec([0.3, 1, -2]).as_matrix() + np.diag([0, 0.3, 0])
    # an affine map of the points is the same map of the vertices, whatever they are
    assert np.allclose(apply(fit, shape + shift), apply(fit, shape) + shift, atol=1e-5)
    assert np.allclose(apply(fit, shape @ matrix.T + shift), apply(fit, shape) @ matrix.T + shift, atol=1e-5)


def test_error_is_small_on_bodies_it_was_not_fitted_to(fit: Fit, posed_bodies: np.ndarray) -> None:
    _, points, index, _ = fit
    errors, nearest = [], []
    for vertices in posed_bodies[40:]:
        errors.append(np.linalg.norm(apply(fit, vertices) - vertices, axis=1))
        nearest.append(np.linalg.norm(vertices[points[index[:, 0]]] - vertices, axis=1))
    assert np.mean(errors) < 0.006  # metres, on a body 1.8 m tall with points 0.2 m apart
    assert np.mean(errors) < np.mean(nearest) / 10


def test_errors_of_the_points_are_damped(fit: Fit) -> None:
    """Weights of one would hand them on: Σ w² = 1."""
    assert np.square(fit[3]).sum(1).mean() < 0.6
    assert np.square(fit[3]).sum(1).max() < 2


def test_weights_are_those_of_least_expected_error(body: BodyMesh, posed_bodies: np.ndarray, fit: Fit) -> None:
    """Any other weights that sum to one do worse on fit and noise together."""
    _, points, index, _ = fit
    noise_m = 0.05
    template = body.template.numpy().astype(np.float64)
    posed = posed_bodies[:40]
    _, weight = fit_upsampling(fit[0], LEVEL, template, posed, noise_m=noise_m)

    def cost(weights: np.ndarray) -> np.ndarray:
        fitted = (weights[..., None] * posed[:, points][:, index]).sum(2)
        return np.square(fitted - posed).sum(2).mean(0) + 3 * noise_m**2 * np.square(weights).sum(1)

    best = cost(weight.astype(np.float64))
    generator = np.random.default_rng(0)
    for _ in range(20):
        change = 0.01 * generator.normal(size=weight.shape)
        assert (cost(weight + change - change.mean(1, keepdims=True)) > best).all()


def test_points_are_within_two_rings_of_the_vertexs_own(fit: Fit) -> None:
    hierarchy, points, index, weight = fit
    real = np.flatnonzero(hierarchy.nodes[LEVEL] >= 0)
    graph = hierarchy.adjacency[LEVEL].toarray()[np.ix_(real, real)] > 0
    graph |= np.eye(len(points), dtype=bool)
    near = (graph.astype(int) @ graph.astype(int)) > 0
    place = {node: number for number, node in enumerate(real.tolist())}
    for node, vertex in enumerate(hierarchy.nodes[0].tolist()):
        if vertex >= 0:
            used = index[vertex][weight[vertex] != 0]
            assert near[place[node >> LEVEL], used].all()


def test_parts_that_are_not_connected_do_not_mix(body: BodyMesh, posed_bodies: np.ndarray) -> None:
    """Two bodies as one mesh, the second a hand's breadth away: neither uses a point of the other."""
    count = len(body.template)
    template = np.concatenate([body.template, body.template.numpy() + 0.1]).astype(np.float64)
    faces = np.concatenate([body.faces, body.faces.numpy() + count])
    posed = np.concatenate([posed_bodies[:20], posed_bodies[20:40]], axis=1)
    hierarchy = build_hierarchy(template, faces, LEVEL)
    nodes = hierarchy.nodes[LEVEL]
    index, weight = fit_upsampling(hierarchy, LEVEL, template, posed)
    side = (nodes[nodes >= 0] >= count)[index]
    assert (side == (np.arange(2 * count) >= count)[:, None]).all()
    assert np.abs(weight.sum(1) - 1).max() < 1e-6


def test_a_part_with_fewer_points_than_neighbours(body: BodyMesh, posed_bodies: np.ndarray) -> None:
    """The places left over carry no weight."""
    template = body.template.numpy().astype(np.float64)
    hierarchy = build_hierarchy(template, body.faces.numpy(), 6)
    count = int((hierarchy.nodes[6] >= 0).sum())
    assert count < 12
    index, weight = fit_upsampling(hierarchy, 6, template, posed_bodies[:20])
    assert index.max() < count
    assert not weight[:, count:].any()
    assert np.abs(weight.sum(1) - 1).max() < 1e-6
