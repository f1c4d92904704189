"""Graph Laplacians, rescaled for Chebyshev polynomials, and these polynomials, in NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet

# Factor on L / λmax, before I is subtracted.
_SCALINGS = {"unit": 2.0, "published": 0.5}


def joint_adjacency(joint_set: JointSet) -> sp.csr_array:
    """Adjacency (J, J) of the bones and of the left and right joint of every pair; see `JointSet.graph_edges`."""
    edges = np.array(joint_set.graph_edges)
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    size = len(joint_set)
    return sp.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(size, size))


def joint_laplacian(joint_set: JointSet, scaling: str = "unit") -> sp.csr_array:
    """Laplacian (J, J) of the joint graph, rescaled as by `rescaled_laplacian`.

    With `published` it is the one that the released weights were trained with: each joint has an edge to itself, and it
    is not rescaled: I − D^(−½) (A + I) D^(−½), whose eigenvalues are in [0, 2).
    """
    adjacency = joint_adjacency(joint_set)
    if scaling != "published":
        return rescaled_laplacian(adjacency, scaling)
    identity = sp.eye_array(len(joint_set))
    looped = adjacency + identity
    inverse_root = sp.diags_array(1 / np.sqrt(np.asarray(looped.sum(axis=1)).ravel()))
    laplacian = sp.csr_array(identity - inverse_root @ looped @ inverse_root)
    laplacian.sort_indices()
    return laplacian.astype(np.float32)


def rescaled_laplacian(adjacency: sp.csr_array, scaling: str = "unit") -> sp.csr_array:
    """The normalised Laplacian I − D^(−½) A D^(−½), rescaled for the Chebyshev recursion.

    Nodes without edges (padding) have empty rows and columns, so that they exchange no features with others.

    Args:
        adjacency: (N, N) symmetric weights.
        scaling: `unit` maps the spectrum to [−1, 1], where the recursion is stable: 2 L / λmax − I. `published` is the
            scaling that the weights released with Pose2Mesh were trained with, L / (2 λmax) − I, with the spectrum
            [−1, −½].

    Returns:
        (N, N) float32, symmetric.

    Raises:
        InputError: the scaling is unknown.
    """
    if scaling not in _SCALINGS:
        raise InputError(f"spectrum {scaling!r} is not known; expected one of {', '.join(_SCALINGS)}")
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    connected = (degree > 0).astype(np.float64)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-300)), 0)
    normalised = sp.diags_array(connected) - sp.diags_array(inverse_root) @ adjacency @ sp.diags_array(inverse_root)
    if not connected.any():  # the coarsest level of a hierarchy can be single nodes
        return sp.csr_array(adjacency.shape, dtype=np.float32)
    factor = _SCALINGS[scaling] / _largest_eigenvalue(normalised)
    rescaled = sp.csr_array(normalised * factor - sp.diags_array(connected))
    rescaled.eliminate_zeros()
    rescaled.sort_indices()
    return rescaled.astype(np.float32)


def _largest_eigenvalue(matrix: sp.csr_array) -> float:
    """The largest eigenvalue of a positive semi-definite matrix."""
    if matrix.shape[0] < 64:
        return float(np.linalg.eigvalsh(matrix.toarray())[-1])
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).random(matrix.shape[0])  # fixed, for the same value on every run
    return float(eigsh(matrix, k=1, which="LM", v0=start, return_eigenvectors=False)[0])


def chebyshev_polynomials(laplacian: sp.csr_array, order: int) -> sp.csr_array:
    """Rows (N · K, N) of T_0, …, T_{K−1} of a Laplacian (N, N), with the K rows of a node together.

    T_0 = I, T_1 = L, T_k = 2 L T_{k−1} − T_{k−2}.
    """
    size = laplacian.shape[0]
    terms = [sp.eye_array(size, format="csr"), laplacian]
    while len(terms) < order:
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    by_node = np.arange(size * order).reshape(order, size).T.ravel()
    return sp.vstack(terms[:order], format="csr")[by_node]
