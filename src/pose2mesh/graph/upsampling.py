"""The linear step from a coarse level's points to every vertex: each vertex a weighted sum of the points around it."""

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
    """Weights that reproduce posed bodies' vertices from the points of a coarse level, by least squares per vertex.

    Per vertex the expected squared error is least: that of the fit, and `noise_m`² Σ w² which its points' errors add.

    Args:
        hierarchy: Of the body's mesh.
        level: Whose real (not padding) nodes are the points.
        template: (V, 3) rest pose, metres; chooses which points a vertex may use: the nearest within two rings of its
            own in the coarse graph, so that a finger never borrows from the next.
        posed: (S, V, 3) sample bodies, metres.
        neighbours: Points a vertex may use.
        noise_m: Expected independent error of predicted points, metres per axis, above 0.

    Returns:
        Indices (V, neighbours) into the points, and weights (V, neighbours) that sum to one: moving or turning all
        points moves or turns the vertices with them.
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
        index[vertex, len(chosen) :] = point  # a small part of the mesh (an eye) has fewer points: repeat, weight 0
        allowed[vertex, len(chosen) :] = 0

    # Relative to the nearest point the weights need not be told to sum to one: solve for those of the others, w, with
    # 1 − Σ w left for the nearest. Its square is in the ridge too.
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
