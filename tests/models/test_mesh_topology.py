"""Building a mesh topology from a body."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Upsample
from pose2mesh.skeletons import COCO


def test_coarse_surface(body: BodyMesh, small_surface: MeshTopology) -> None:
    surface = small_surface
    count = len(surface.points)
    assert 162 / 4 <= count < 1.3 * 162 / 4
    assert len(set(surface.points.tolist())) == len(surface.nodes) == count
    assert [graph.shape[0] for graph in surface.adjacency] == [surface.adjacency[0].shape[0] * 2**i for i in range(3)]
    degree = np.asarray(surface.adjacency[-1].sum(axis=1)).ravel()
    assert (degree[surface.nodes] > 0).all()
    assert surface.point_faces.min() == 0
    assert surface.point_faces.max() == count - 1
    assert np.array_equal(surface.joint_regressor, body.regressor(COCO).numpy())


def test_coarse_faces_close_the_body(body: BodyMesh, small_surface: MeshTopology) -> None:
    """The triangles between the points enclose most of the ellipsoid, seen from outside."""
    corners = body.template.numpy()[small_surface.points][small_surface.point_faces]
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.6 * 4 / 3 * np.pi * 0.3 * 0.2 * 0.9 < volume < 4 / 3 * np.pi * 0.3 * 0.2 * 0.9


def test_points_give_the_template_back(body: BodyMesh, small_surface: MeshTopology) -> None:
    assert small_surface.upsample_index is not None
    assert small_surface.upsample_weight is not None
    upsample = Upsample(small_surface.upsample_index, small_surface.upsample_weight)
    vertices = upsample(body.template[torch.from_numpy(small_surface.points)][None])[0]
    assert (vertices - body.template).norm(dim=1).mean() < 0.01


def test_finest_level_is_the_mesh_in_its_own_order(body: BodyMesh) -> None:
    config = NetworkConfig(coarsenings=3, finest=0)
    surface = build_topology(body, COCO, config, None)
    assert surface.points.tolist() == list(range(162))
    assert surface.upsample_index is None
    assert np.array_equal(surface.point_faces, body.faces.numpy())
    # node and vertex belong together: the graph between the nodes is the mesh's
    graph = surface.adjacency[-1].toarray()[np.ix_(surface.nodes, surface.nodes)]
    a, b = body.faces[0, :2].tolist()
    assert graph[a, b] == 1
    assert graph.sum() == 3 * len(body.faces)


def test_levels_that_do_not_exist(body: BodyMesh) -> None:
    with pytest.raises(InputError, match=r"network.finest is 5, expected 0 to coarsenings \(4\)"):
        build_topology(body, COCO, NetworkConfig(coarsenings=4, finest=5), None)
    with pytest.raises(ValueError, match="needs sample bodies"):
        build_topology(body, COCO, NetworkConfig(coarsenings=4, finest=2), None)
