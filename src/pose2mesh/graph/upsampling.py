"""Linear upsampling from the points of a coarse level to all vertices, as weighted sums of nearby points."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pose2mesh.graph.coarsening import Hierarchy


def fit_upsampling(
    hierarchy: Hierarchy,
    level: int,
    template: NDArray[np.floating],
    posed: NDArray[np.floating],
    neighbours: int = 12,
    noise_m: float = 0.002,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Fit weights that reproduce the vertices of posed bodies from the points of a coarse level, by least squares.

    For each vertex they minimise the expected squared error: that of the fit plus `noise_m`² Σ w², the contribution of
    the errors of its points.

    Args:
        hierarchy: Of the body's mesh.
        level: The level whose nodes, without padding, are the points.
        template: (V, 3) rest pose, metres. It determines the points of a vertex: the nearest within two rings around
            its own point in the coarse graph, so that a finger never depends on the next.
        posed: (S, V, 3) sample bodies, metres.
        neighbours: Number of points per vertex, n.
        noise_m: Expected independent error of predicted points, metres per axis, above 0.

    Returns:
        Indices (V, n) into the points, and weights (V, n) that sum to one, so that a rigid motion of all points moves
        the vertices rigidly with them.
    """
    nodes = hierarchy.nodes[level]
    real = np.flatnonzero(nodes >= 0)
    points = nodes[real]
    graph = hierarchy.adjacency[level][real][:, real]
    ring = sp.csr_array(graph + sp.eye_array(len(real)))
    near = sp.csr_array(ring @ ring)
    place = np.empty(len(nodes), np.int64)
    place[real] = np.arange(len(real))
    finest = hierarchy.nodes[0]
    own = np.empty(len(template), np.int64)
    kept = finest >= 0
    own[finest[kept]] = place[np.flatnonzero(kept) >> level]

    index = np.empty((len(template), neighbours), np.int32)
    allowed = np.ones((len(template), neighbours))
    for vertex, point in enumerate(own):
        candidates = near.indices[near.indptr[point] : near.indptr[point + 1]]
        distance = np.linalg.norm(template[points[candidates]] - template[vertex], axis=1)
        chosen = candidates[np.argsort(distance, kind="stable")[:neighbours]]
        index[vertex, : len(chosen)] = chosen
        index[vertex, len(chosen) :] = point  # a small part (an eye) has fewer points: pad, at weight 0
        allowed[vertex, len(chosen) :] = 0

    # Relative to the nearest point, the constraint that weights sum to one disappears: solve for the weights w of the
    # other points; the nearest has 1 − Σ w, whose square is part of the ridge term, too.
    weight = np.zeros((len(template), neighbours), np.float32)
    ridge = posed.shape[0] * 3 * noise_m**2
    for start in range(0, len(template), 512):
        rows = slice(start, start + 512)
        around = posed[:, points[index[rows]]].transpose(1, 2, 0, 3).astype(np.float64)  # (v, n, S, 3)
        base = around[:, :1]
        offsets = ((around[:, 1:] - base) * allowed[rows, 1:, None, None]).reshape(len(around), neighbours - 1, -1)
        goal = posed[:, rows].transpose(1, 0, 2)[:, None] - base
        free = allowed[rows, 1:, None]
        gram = offsets @ offsets.transpose(0, 2, 1) + ridge * (np.eye(neighbours - 1) + free * free.transpose(0, 2, 1))
        solution = np.linalg.solve(gram, offsets @ goal.reshape(len(around), -1, 1) + ridge * free)[..., 0]
        weight[rows, 1:] = solution
        weight[rows, 0] = 1 - solution.sum(1)
    return index, weight
