"""Laplacians against their spectra, and Chebyshev polynomials of them against their definition."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import trimesh

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy, mesh_adjacency
from pose2mesh.graph.laplacian import chebyshev_polynomials, joint_adjacency, joint_laplacian, rescaled_laplacian
from pose2mesh.skeletons import COCO, HUMAN36


def _graphs() -> dict[str, sp.csr_array]:
    sphere = trimesh.creation.icosphere(2)
    vertices, faces = np.array(sphere.vertices), np.array(sphere.faces)
    path = sp.diags_array([np.ones(9), np.ones(9)], offsets=[-1, 1])
    return {
        "sphere of 162": mesh_adjacency(faces, len(vertices)),
        "weighted, with padding": build_hierarchy(vertices, faces, 3).adjacency[1],
        "small, with padding": build_hierarchy(vertices, faces, 4).adjacency[3],
        "joints": joint_adjacency(HUMAN36),
        "path": sp.csr_array(path),
        "complete": sp.csr_array(np.ones((5, 5)) - np.eye(5)),
        "two parts and a single node": sp.csr_array(sp.block_diag([path, path, np.zeros((1, 1))])),
    }


GRAPHS = _graphs()
every_graph = pytest.mark.parametrize("adjacency", GRAPHS.values(), ids=GRAPHS.keys())
PADDED = GRAPHS["weighted, with padding"]


def connected(adjacency: sp.csr_array) -> np.ndarray:
    return np.flatnonzero(np.asarray(adjacency.sum(axis=1)) > 0)


def spectrum(adjacency: sp.csr_array, scaling: str) -> np.ndarray:
    """Eigenvalues, ascending, of the part that has edges."""
    nodes = connected(adjacency)
    laplacian = rescaled_laplacian(adjacency, scaling).toarray().astype(np.float64)
    return np.linalg.eigvalsh(laplacian[np.ix_(nodes, nodes)])


@every_graph
def test_unit_spectrum_spans_minus_one_to_one(adjacency: sp.csr_array) -> None:
    values = spectrum(adjacency, "unit")
    assert values[0] == pytest.approx(-1, abs=1e-6)  # the constant function
    assert values[-1] == pytest.approx(1, abs=1e-6)


@every_graph
def test_published_spectrum_spans_minus_one_to_minus_a_half(adjacency: sp.csr_array) -> None:
    values = spectrum(adjacency, "published")
    assert values[0] == pytest.approx(-1, abs=1e-6)
    assert values[-1] == pytest.approx(-0.5, abs=1e-6)


@every_graph
def test_laplacian_is_symmetric_float32_and_empty_for_nodes_without_edges(adjacency: sp.csr_array) -> None:
    laplacian = rescaled_laplacian(adjacency)
    dense = laplacian.toarray()
    assert dense.dtype == np.float32
    assert np.abs(dense - dense.T).max() < 1e-7
    alone = np.setdiff1d(np.arange(len(dense)), connected(adjacency))
    assert not dense[alone].any()
    assert not dense[:, alone].any()


def test_laplacian_by_hand() -> None:
    # two joined nodes: L = [[1, −1], [−1, 1]], λmax = 2, so L − I swaps them
    pair = sp.csr_array(np.array([[0.0, 1], [1, 0]]))
    assert np.allclose(rescaled_laplacian(pair).toarray(), [[0, -1], [-1, 0]], atol=1e-7)
    assert np.allclose(rescaled_laplacian(pair, "published").toarray(), [[-0.75, -0.25], [-0.25, -0.75]])


def test_graph_without_edges_has_an_empty_laplacian() -> None:
    assert rescaled_laplacian(sp.csr_array((3, 3))).nnz == 0


def test_laplacian_is_the_same_every_time() -> None:
    first, second = (rescaled_laplacian(GRAPHS["sphere of 162"]) for _ in range(2))
    assert np.array_equal(first.data, second.data)


def test_unknown_scaling() -> None:
    with pytest.raises(InputError, match="spectrum 'half' is not known; expected one of unit, published"):
        rescaled_laplacian(PADDED, "half")


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_polynomials_have_the_cosines_of_the_spectrum(order: int) -> None:
    """T_k(cos θ) = cos k θ, on the eigenvectors of the Laplacian."""
    laplacian = rescaled_laplacian(PADDED)
    N = laplacian.shape[0]
    values, vectors = np.linalg.eigh(laplacian.toarray().astype(np.float64))
    angles = np.arccos(values.clip(-1, 1))
    stacked = chebyshev_polynomials(laplacian, order)
    assert stacked.shape == (N * order, N)
    for k, term in enumerate(stacked.toarray().reshape(N, order, N).swapaxes(0, 1)):
        assert np.allclose(term, vectors * np.cos(k * angles) @ vectors.T, atol=1e-5)


def test_laplacians_need_no_pytorch() -> None:
    code = (
        "import sys; from pose2mesh.graph.laplacian import joint_adjacency, rescaled_laplacian;"
        "from pose2mesh.skeletons import COCO; rescaled_laplacian(joint_adjacency(COCO)); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_published_joint_laplacian() -> None:
    laplacian = joint_laplacian(COCO, "published").toarray()
    np.testing.assert_allclose(laplacian, laplacian.T)
    values, vectors = np.linalg.eigh(laplacian)
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert 1 < values[-1] < 2  # not rescaled
    degree = (laplacian != 0).sum(0)  # with the joint itself
    np.testing.assert_allclose(np.abs(vectors[:, 0]), np.sqrt(degree / degree.sum()), atol=1e-5)


def test_joint_laplacian_spans_minus_one_to_one() -> None:
    values = np.linalg.eigvalsh(joint_laplacian(COCO).toarray())
    assert (values[0], values[-1]) == pytest.approx((-1, 1), abs=1e-6)
