"""Points interpolated between the lifted joints, which the light MeshNet predicts offsets from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology, build_topology, fit_joint_base
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO


@pytest.fixture
def config(small_config: NetworkConfig) -> NetworkConfig:
    return replace(small_config, joint_base=True)


@pytest.fixture
def surface(body: BodyMesh, posed_bodies: np.ndarray, config: NetworkConfig) -> MeshTopology:
    return build_topology(body, COCO, config, posed_bodies[:40])


def test_weights_recover_points_that_are_means_of_joints() -> None:
    """Vertices 0 to 2 are the joints, vertex 3 lies in the middle of joints 1 and 2."""
    generator = np.random.default_rng(0)
    posed = generator.normal(size=(200, 4, 3))
    posed[:, 3] = (posed[:, 1] + posed[:, 2]) / 2
    weights = fit_joint_base(posed, np.array([1, 3]), np.eye(4)[:3], root=0)
    assert weights.shape == (2, 3)
    assert np.allclose(weights[:, 1:], [[1, 0], [0.5, 0.5]], atol=0.01)


def test_base_is_nearer_than_the_mean_shape(surface: MeshTopology, posed_bodies: np.ndarray, body: BodyMesh) -> None:
    """On bodies that it was not fitted to, against every point at its place in the mean body."""
    assert surface.joint_base is not None
    regressor = body.regressor(COCO).numpy()
    unseen = posed_bodies[40:]
    joints = np.einsum("jv,svc->sjc", regressor, unseen)
    root = joints[:, COCO.root_index, None]
    found = np.einsum("rj,sjc->src", surface.joint_base, joints - root)
    ground_truth = unseen[:, surface.points] - root
    still = ground_truth.mean(axis=0)
    assert (
        np.linalg.norm(found - ground_truth, axis=-1).mean()
        < 0.5 * np.linalg.norm(still - ground_truth, axis=-1).mean()
    )


def test_network_adds_offsets_to_the_base(config: NetworkConfig, surface: MeshTopology) -> None:
    torch.manual_seed(0)
    network = Pose2Mesh(config, COCO, surface).eval()
    torch.nn.init.zeros_(network.meshnet.out.linear.weight)
    torch.nn.init.constant_(network.meshnet.out.linear.bias, 0.25)
    lifted, points, *_ = network(torch.rand(3, 19, 2) * 100, torch.ones(3, 19))
    assert network.joint_base is not None
    base = network.joint_base @ (lifted - lifted[:, COCO.root_index, None])
    assert torch.allclose(points, base + 0.25, atol=1e-6)


def test_lifter_learns_nothing_from_the_base(config: NetworkConfig, surface: MeshTopology) -> None:
    network = Pose2Mesh(config, COCO, surface)
    network(torch.rand(4, 19, 2) * 100, torch.ones(4, 19)).points.sum().backward()
    assert all(parameter.grad is None for parameter in network.posenet.parameters())


def test_bundle_keeps_the_base(config: NetworkConfig, surface: MeshTopology, tmp_path: Path) -> None:
    info = BundleInfo("small", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "Apache-2.0")
    network = Pose2Mesh(config, COCO, surface).eval()
    file = tmp_path / "small.safetensors"
    save_bundle(file, Bundle(network, surface, info), half=False)
    loaded = load_bundle(file)
    assert loaded.surface.joint_base is not None
    assert surface.joint_base is not None
    assert np.array_equal(loaded.surface.joint_base, surface.joint_base)
    pixels, confidence = torch.rand(2, 19, 2) * 100, torch.ones(2, 19)
    with torch.no_grad():
        assert torch.allclose(loaded.model(pixels, confidence).points, network(pixels, confidence).points, atol=1e-6)


def test_surface_without_weights_is_refused(config: NetworkConfig, small_surface: MeshTopology) -> None:
    with pytest.raises(InputError, match="joint_base"):
        Pose2Mesh(config, COCO, small_surface)
