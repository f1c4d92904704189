"""The hierarchy: valid matchings, a binary tree, and the same numbers on every platform."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.sparse as sp
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import maximum_bipartite_matching

from pose2mesh.graph.coarsening import Hierarchy, build_hierarchy, coarse_faces, match, mesh_adjacency

Mesh = tuple[np.ndarray, np.ndarray]


def icosphere(subdivisions: int) -> Mesh:
    mesh = trimesh.creation.icosphere(subdivisions)
    return np.array(mesh.vertices), np.array(mesh.faces)


def grid(rows: int, columns: int) -> Mesh:
    """A flat grid of (rows, columns) vertices, two triangles a cell: nothing but integers, the same everywhere."""
    vertices = np.array([(x, y, 0) for y in range(rows) for x in range(columns)], float)
    corner = np.array([y * columns + x for y in range(rows - 1) for x in range(columns - 1)])
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return vertices, np.concatenate([lower, upper])


def apart(*meshes: Mesh) -> Mesh:
    """Several meshes as one, not connected, and one vertex of no face."""
    vertices, faces, count = [], [], 0
    for offset, (points, triangles) in enumerate(meshes):
        vertices.append(points + 10 * offset)
        faces.append(triangles + count)
        count += len(points)
    return np.concatenate([*vertices, [[-5.0, -5, -5]]]), np.concatenate(faces)


MESHES = {
    "icosphere": icosphere(2),
    "grid": grid(7, 9),
    "apart": apart(icosphere(1), grid(3, 4), grid(2, 2)),
}
every_mesh = pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES.keys())
LEVELS = 4


def from_edges(count: int, edges: list[tuple[int, int]]) -> sp.csr_array:
    dense = np.zeros((count, count))
    for a, b in edges:
        dense[a, b] = dense[b, a] = 1
    return sp.csr_array(dense)


def pairs_of(adjacency: sp.csr_array) -> int:
    """How many pairs `match` makes; every cluster is checked to be one node, or two joined by an edge."""
    dense = adjacency.toarray()
    cluster = match(adjacency)
    members = [np.flatnonzero(cluster == index) for index in range(int(cluster.max()) + 1)]
    assert sum(map(len, members)) == len(dense)
    assert {len(group) for group in members} <= {1, 2}
    assert all(dense[group[0], group[1]] > 0 for group in members if len(group) == 2)
    single = [group[0] for group in members if len(group) == 1]
    assert not dense[np.ix_(single, single)].any(), "two neighbours were both left alone"
    return sum(len(group) == 2 for group in members)


def most_pairs(edges: list[tuple[int, int]]) -> int:
    """The size of the largest matching, by trying all."""
    if not edges:
        return 0
    (a, b), *rest = edges
    return max(most_pairs(rest), 1 + most_pairs([edge for edge in rest if not {a, b} & set(edge)]))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 9))
    possible = [(a, b) for a in range(count) for b in range(a)]
    return count, draw(st.lists(st.sampled_from(possible), unique=True, max_size=12)) if possible else []


# Matching


@given(graphs())
def test_matching_is_valid_and_leaves_no_two_neighbours_alone(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    assert most_pairs(edges) / 2 <= pairs_of(from_edges(count, edges)) <= most_pairs(edges)


@given(st.integers(0, 10_000), st.floats(0.02, 0.2))
def test_matching_is_valid_on_larger_graphs(seed: int, share: float) -> None:
    edges = np.triu(np.random.default_rng(seed).random((50, 50)) < share, 1)
    pairs_of(sp.csr_array((edges + edges.T).astype(np.float64)))


@given(st.integers(0, 10_000))
def test_matching_is_the_largest_where_there_are_no_odd_cycles(seed: int) -> None:
    generator = np.random.default_rng(seed)
    between = sp.csr_array(generator.random((40, 40)) < 0.05, dtype=np.float64)
    most = int((maximum_bipartite_matching(between) >= 0).sum())
    order = generator.permutation(80)
    graph = sp.block_array([[None, between], [between.T, None]]).tocsr()[order][:, order]
    assert pairs_of(sp.csr_array(graph)) == most


@pytest.mark.parametrize("length", [3, 5, 7, 9])
def test_odd_cycles_leave_one_node_alone(length: int) -> None:
    assert pairs_of(from_edges(length, [(i, (i + 1) % length) for i in range(length)])) == length // 2


def test_alternating_path_joins_what_the_greedy_pairing_left() -> None:
    # a ring of five and node 4 on node 3: 4 takes 3, 0 takes 2, and 1 and 5 are left at the ends of 1–2=0–5
    assert pairs_of(from_edges(6, [(0, 2), (1, 2), (1, 3), (3, 4), (0, 5), (3, 5)])) == 3


def test_graph_without_edges_stays_as_it_is() -> None:
    assert match(sp.csr_array((4, 4))).tolist() == [0, 1, 2, 3]


def test_heavy_edges_are_taken_first() -> None:
    square = from_edges(4, [(0, 1), (1, 2), (2, 3), (3, 0)]).tolil()
    square[0, 3] = square[3, 0] = square[1, 2] = square[2, 1] = 5
    assert match(sp.csr_array(square)).tolist() == [0, 1, 1, 0]


# Mesh graph


def test_mesh_adjacency_counts_every_edge_once() -> None:
    vertices, faces = icosphere(1)
    adjacency = mesh_adjacency(faces, len(vertices))
    assert adjacency.nnz == 2 * (len(vertices) + len(faces) - 2)  # Euler's formula
    assert set(adjacency.data.tolist()) == {1.0}
    assert (adjacency != adjacency.T).nnz == 0
    assert adjacency.diagonal().sum() == 0


def test_degenerate_faces_make_no_self_loops() -> None:
    adjacency = mesh_adjacency(np.array([[0, 1, 2], [2, 2, 3]]), 4)
    assert adjacency.diagonal().sum() == 0
    assert adjacency.toarray()[2].tolist() == [1, 1, 0, 1]


# Hierarchy


@every_mesh
def test_every_level_is_half_of_the_finer_one(mesh: Mesh) -> None:
    hierarchy = build_hierarchy(*mesh, LEVELS)
    assert len(hierarchy.sizes) == LEVELS + 1
    for fine, coarse in zip(hierarchy.sizes, hierarchy.sizes[1:], strict=False):
        assert fine == 2 * coarse
    for nodes, adjacency in zip(hierarchy.nodes, hierarchy.adjacency, strict=True):
        assert adjacency.shape == (len(nodes), len(nodes))


@every_mesh
def test_every_vertex_has_one_node(mesh: Mesh) -> None:
    nodes = build_hierarchy(*mesh, LEVELS).nodes
    assert sorted(nodes[0][nodes[0] >= 0].tolist()) == list(range(len(mesh[0])))
    for level in nodes:
        real = level[level >= 0]
        assert len(set(real.tolist())) == len(real)


@every_mesh
def test_finest_graph_is_the_mesh(mesh: Mesh) -> None:
    hierarchy = build_hierarchy(*mesh, LEVELS)
    real = np.flatnonzero(hierarchy.nodes[0] >= 0)
    within = hierarchy.adjacency[0].toarray()[np.ix_(real, real)]
    vertices = hierarchy.nodes[0][real]
    assert np.array_equal(within, mesh_adjacency(mesh[1], len(mesh[0])).toarray()[np.ix_(vertices, vertices)])


@every_mesh
def test_parent_of_2i_and_2i_plus_1_is_i(mesh: Mesh) -> None:
    hierarchy = build_hierarchy(*mesh, LEVELS)
    for level in range(LEVELS):
        fine, coarse = hierarchy.adjacency[level].toarray(), hierarchy.adjacency[level + 1].toarray()
        merged = fine.reshape(len(coarse), 2, len(coarse), 2).sum((1, 3))
        np.fill_diagonal(merged, 0)
        assert np.array_equal(merged, coarse)
        # a node is padding when both its children are, and two real children are neighbours
        children = hierarchy.nodes[level].reshape(-1, 2) >= 0
        assert np.array_equal(children.any(1), hierarchy.nodes[level + 1] >= 0)
        assert all(fine[2 * i, 2 * i + 1] > 0 for i in np.flatnonzero(children.all(1)))


@every_mesh
def test_padding_has_no_edges(mesh: Mesh) -> None:
    hierarchy = build_hierarchy(*mesh, LEVELS)
    for nodes, adjacency in zip(hierarchy.nodes, hierarchy.adjacency, strict=True):
        assert np.asarray(adjacency.sum(axis=1))[nodes < 0].sum() == 0


@every_mesh
def test_representative_is_the_member_nearest_to_the_clusters_mean(mesh: Mesh) -> None:
    hierarchy = build_hierarchy(*mesh, LEVELS)
    for level, nodes in enumerate(hierarchy.nodes):
        for node in np.flatnonzero(nodes >= 0):
            members = hierarchy.nodes[0][node << level : (node + 1) << level]
            members = members[members >= 0]
            distance = np.linalg.norm(mesh[0][members] - mesh[0][members].mean(0), axis=1)
            assert nodes[node] in members
            assert distance[members == nodes[node]] <= distance.min() + 1e-9


def test_padding_is_a_small_share() -> None:
    for mesh in (icosphere(3), grid(25, 25)):
        size = build_hierarchy(*mesh, 5).sizes[0]
        assert len(mesh[0]) <= size < 1.08 * len(mesh[0])


def test_hierarchy_continues_when_no_edge_is_left() -> None:
    hierarchy = build_hierarchy(*grid(2, 2), 4)
    assert hierarchy.sizes == [16, 8, 4, 2, 1]
    assert [int((nodes >= 0).sum()) for nodes in hierarchy.nodes] == [4, 2, 1, 1, 1]


def fingerprint(hierarchy: Hierarchy) -> str:
    return hashlib.sha256(b"".join(nodes.astype("<i8").tobytes() for nodes in hierarchy.nodes)).hexdigest()[:16]


def test_the_same_mesh_gives_the_same_hierarchy_everywhere() -> None:
    # A bundle's weights belong to one order of the nodes: if this changes, no trained network can be rebuilt.
    assert fingerprint(build_hierarchy(*grid(13, 17), LEVELS)) == "12950f20736cc13b"


def test_hierarchy_does_not_depend_on_the_order_of_the_faces() -> None:
    vertices, faces = icosphere(2)
    shuffled = np.random.default_rng(0).permutation(faces)
    assert fingerprint(build_hierarchy(vertices, faces, 3)) == fingerprint(build_hierarchy(vertices, shuffled, 3))


# Coarse faces


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_coarse_faces_point_outwards(level: int) -> None:
    vertices, faces = icosphere(3)
    hierarchy = build_hierarchy(vertices, faces, 3)
    triangles = coarse_faces(hierarchy, faces, level)
    assert len(triangles) > 0.9 * len(faces) / 2**level
    assert (hierarchy.nodes[level][triangles] >= 0).all()
    assert len({frozenset(triangle) for triangle in triangles.tolist()}) == len(triangles)
    adjacency = hierarchy.adjacency[level].toarray()
    assert all((adjacency[triangles[:, i], triangles[:, (i + 1) % 3]] > 0).all() for i in range(3))
    a, b, c = vertices[hierarchy.nodes[level][triangles]].transpose(1, 0, 2)
    # representatives are not their clusters' means, so that a sliver can stand upright, but none is turned over
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(1) > -1e-9).all()
    assert 0.9 * 4 / 3 * np.pi < (a * np.cross(b, c)).sum() / 6 < 4 / 3 * np.pi  # the volume they close


def test_coarse_faces_at_the_finest_level_are_the_mesh() -> None:
    vertices, faces = icosphere(1)
    hierarchy = build_hierarchy(vertices, faces, 2)
    back = hierarchy.nodes[0][coarse_faces(hierarchy, faces, 0)]

    def rolled(triangles: np.ndarray) -> set[tuple[int, ...]]:
        return {tuple(np.roll(triangle, -triangle.argmin()).tolist()) for triangle in triangles}

    assert rolled(back) == rolled(faces)
