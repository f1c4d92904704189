"""Builds a hierarchy of graphs from a mesh: heavy-edge matching, padding to a binary tree, coarse vertices and faces.

Every level of the hierarchy has half the nodes of the next finer one, and node `i` of a level is the parent of nodes
`2i` and `2i + 1` of the finer one, so that un-pooling repeats every node twice. After Defferrard et al. 2016, section
2.3.

Everything is NumPy on integers, with ties broken by index: the same mesh gives the same hierarchy on every platform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hierarchy:
    """Graphs over one mesh, finest first.

    Attributes:
        nodes: Per level, (N,) the mesh vertex that represents each node; −1 marks a padding node. At the finest level
            every vertex has its own node; on coarser levels a cluster is represented by the member nearest to its mean.
        adjacency: Per level, (N, N) symmetric weights: the number of mesh edges that join two clusters. Padding nodes
            have no edges.
    """

    nodes: list[NDArray[np.int64]]
    adjacency: list[sp.csr_array]

    @property
    def sizes(self) -> list[int]:
        """Number of nodes of each level, padding included."""
        return [len(nodes) for nodes in self.nodes]


def mesh_adjacency(faces: NDArray[np.integer], vertex_count: int) -> sp.csr_array:
    """(V, V) symmetric 0/1 adjacency of a triangle mesh's edges, without self-loops."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[edges[:, 0] != edges[:, 1]]  # degenerate faces have such edges
    edges = np.concatenate([edges, edges[:, ::-1]])
    ones = np.ones(len(edges), np.float64)
    adjacency = sp.csr_array((ones, (edges[:, 0], edges[:, 1])), shape=(vertex_count, vertex_count))
    adjacency.data[:] = 1
    return adjacency


def build_hierarchy(vertices: NDArray[np.floating], faces: NDArray[np.integer], levels: int) -> Hierarchy:
    """Coarsen a mesh `levels` times.

    Args:
        vertices: (V, 3) template positions; they only determine which vertex represents a cluster.
        faces: (F, 3) triangles.
        levels: Number of times the graph is halved.

    Returns:
        `levels + 1` graphs, finest first; the finest has at least V nodes.
    """
    adjacency = [mesh_adjacency(faces, len(vertices))]
    parents = []
    for _ in range(levels):
        parent = match(adjacency[-1])
        parents.append(parent)
        adjacency.append(_merge(adjacency[-1], parent))

    order = np.arange(adjacency[-1].shape[0])
    orders = [order]
    for parent in reversed(parents):
        order = _children_in_order(parent, order)
        orders.insert(0, order)
    return Hierarchy(
        nodes=_representatives(vertices, orders, parents),
        adjacency=[_permute(graph, order) for graph, order in zip(adjacency, orders, strict=True)],
    )


def match(adjacency: sp.csr_array) -> NDArray[np.int64]:
    """Match the nodes of a graph in pairs along heavy edges; returns the cluster (N,) of each node.

    Nodes are matched greedily, those with few neighbours first, each with the free neighbour of the largest normalised
    cut w_ij (1/d_i + 1/d_j). This leaves about a tenth of the nodes single, and every single node costs padding nodes
    at each finer level; alternating paths then match most of them, two at a time.
    """
    count = adjacency.shape[0]
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1e-12)
    starts, columns, weights = adjacency.indptr, adjacency.indices, adjacency.data
    neighbours = []
    for node in range(count):
        around = columns[starts[node] : starts[node + 1]]
        cut = weights[starts[node] : starts[node + 1]] * (1 / degree[node] + 1 / degree[around])
        neighbours.append(around[np.lexsort((around, -np.round(cut, 12)))].tolist())
    partner = [-1] * count
    for node in np.lexsort((np.arange(count), np.diff(starts))).tolist():
        if partner[node] < 0:
            free = next((other for other in neighbours[node] if partner[other] < 0 and other != node), -1)
            if free >= 0:
                partner[node], partner[free] = free, node
    for node in range(count):
        if partner[node] < 0:
            _augment(node, partner, neighbours)

    cluster = np.full(count, -1)
    following = 0
    for node in range(count):
        if cluster[node] < 0:
            cluster[node] = following
            if partner[node] >= 0:
                cluster[partner[node]] = following
            following += 1
    return cluster


def _augment(start: int, partner: list[int], neighbours: list[list[int]], reach: int = 400) -> None:
    """Match `start` by re-pairing nodes along the shortest alternating path to another free node, if one is near.

    The search is breadth first over at most `reach` pairs. Odd cycles are not contracted (no blossoms), so that a path
    can be missed; the node then stays single, which is allowed.
    """
    came_from = {start: -1}  # nodes at even distance → the node two steps before
    through: dict[int, int] = {}  # node at even distance → the odd node between
    queue = [start]
    for node in queue:
        for middle in neighbours[node]:
            end = partner[middle]
            if middle == node or middle in came_from:
                continue
            if end < 0:
                while node >= 0:  # flip the path: each even node takes the odd node after it
                    previous_middle = through.get(node, -1)
                    partner[node], partner[middle] = middle, node
                    node, middle = came_from[node], previous_middle
                return
            if end not in came_from and len(queue) < reach:
                came_from[end], through[end] = node, middle
                queue.append(end)


def _merge(adjacency: sp.csr_array, parent: NDArray[np.int64]) -> sp.csr_array:
    """The graph of the clusters: weights between two clusters are summed, those within one are dropped."""
    count = int(parent.max()) + 1
    edges = adjacency.tocoo()
    rows, columns = parent[edges.row], parent[edges.col]
    between = rows != columns
    merged = sp.csr_array((edges.data[between], (rows[between], columns[between])), shape=(count, count))
    merged.sum_duplicates()
    return merged


def _children_in_order(parent: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of the finer level's nodes in which the children of `order[i]` are at 2i and 2i + 1; −1 is padding."""
    children = np.full((int(parent.max()) + 1, 2), -1)
    for node, cluster in enumerate(parent.tolist()):
        children[cluster, 0 if children[cluster, 0] < 0 else 1] = node
    return np.where(order[:, None] >= 0, children[np.maximum(order, 0)], -1).ravel()


def _permute(adjacency: sp.csr_array, order: NDArray[np.int64]) -> sp.csr_array:
    """Reorder a graph's nodes; a padding node has no edges."""
    place = np.full(adjacency.shape[0], -1)
    place[order[order >= 0]] = np.flatnonzero(order >= 0)
    edges = adjacency.tocoo()
    return sp.csr_array((edges.data, (place[edges.row], place[edges.col])), shape=(len(order), len(order)))


def _representatives(
    vertices: NDArray[np.floating], orders: list[NDArray[np.int64]], parents: list[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Per level and node, the vertex of the node's cluster that is nearest to the cluster's mean."""
    cluster = np.arange(len(vertices))
    nodes = [orders[0]]
    for level, parent in enumerate(parents, start=1):
        cluster = parent[cluster]
        count = int(parent.max()) + 1
        size = np.bincount(cluster, minlength=count)[:, None]
        mean = np.stack([np.bincount(cluster, vertices[:, axis], count) for axis in range(3)], axis=1) / size
        distance = np.round(np.linalg.norm(vertices - mean[cluster], axis=1), 9)
        best = np.lexsort((np.arange(len(vertices)), distance, cluster))
        _, first = np.unique(cluster[best], return_index=True)
        order = orders[level]
        nodes.append(np.where(order >= 0, best[first][np.maximum(order, 0)], -1))
    return nodes


def coarse_faces(hierarchy: Hierarchy, faces: NDArray[np.integer], level: int) -> NDArray[np.int64]:
    """Triangles (F', 3) between the nodes of a level: the mesh's faces whose corners are in three different clusters.

    They keep the winding of the mesh, so that normals point outwards. Several faces between the same three clusters
    give one triangle; where their windings disagree (clusters that wrap around a thin part), the first face decides.
    """
    node_of_vertex = np.full(int(hierarchy.nodes[0].max()) + 1, -1)
    real = hierarchy.nodes[0] >= 0
    node_of_vertex[hierarchy.nodes[0][real]] = np.flatnonzero(real) >> level
    mapped = node_of_vertex[faces]
    distinct = (mapped[:, 0] != mapped[:, 1]) & (mapped[:, 1] != mapped[:, 2]) & (mapped[:, 2] != mapped[:, 0])
    mapped = mapped[distinct]
    first = mapped.argmin(axis=1)
    rolled = np.stack([mapped[np.arange(len(mapped)), (first + step) % 3] for step in range(3)], axis=1)
    _, keep = np.unique(np.sort(rolled, axis=1), axis=0, return_index=True)
    return rolled[np.sort(keep)]
