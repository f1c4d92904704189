"""Landmarks: surface points that the lifter predicts besides the joints, and the points interpolated from them."""

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
from pose2mesh.models.mesh_topology import MeshTopology, build_topology, choose_landmarks
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.posenet import PoseNet
from pose2mesh.skeletons import COCO

LANDMARKS = 6


@pytest.fixture
def config(small_config: NetworkConfig) -> NetworkConfig:
    return replace(small_config, joint_base=True, landmarks=LANDMARKS)


@pytest.fixture
def surface(body: BodyMesh, posed_bodies: np.ndarray, config: NetworkConfig) -> MeshTopology:
    return build_topology(body, COCO, config, posed_bodies[:40])


def test_landmarks_are_the_points_that_the_others_follow_from() -> None:
    """Of twelve points three are free, the rest are sums of them, less by far than they are."""
    generator = np.random.default_rng(0)
    residuals = np.zeros((12, 90))
    free = [2, 5, 11]
    residuals[free] = generator.normal(size=(3, 90))
    for row in set(range(12)) - set(free):
        residuals[row] = 0.2 * generator.random(3) @ residuals[free]
    assert choose_landmarks(residuals, 3).tolist() == free


def test_more_landmarks_than_points() -> None:
    with pytest.raises(InputError, match=r"network\.landmarks is 5, expected at most the 4 points"):
        choose_landmarks(np.ones((4, 9)), 5)


def test_points_are_nearer_with_true_landmarks_than_with_joints_alone(
    surface: MeshTopology, posed_bodies: np.ndarray, body: Body
) -> None:
    assert surface.joint_base is not None
    assert surface.landmarks is not None
    assert surface.landmark_base is not None
    unseen = posed_bodies[40:]
    joints = np.einsum("jv,svc->sjc", body.regressor(COCO).numpy(), unseen)
    root = joints[:, COCO.root_index, None]
    ground_truth = unseen[:, surface.points] - root
    by_joints = np.einsum("rj,sjc->src", surface.joint_base, joints - root)
    by_both = by_joints + np.einsum(
        "rl,slc->src", surface.landmark_base, (ground_truth - by_joints)[:, surface.landmarks]
    )
    alone, both = (np.linalg.norm(found - ground_truth, axis=-1).mean() for found in (by_joints, by_both))
    assert both < 0.7 * alone


def test_fresh_landmarks_lie_where_the_joints_lead(config: NetworkConfig, surface: MeshTopology) -> None:
    """And the points too: a lifter that gets landmarks is at first the one that it was."""
    torch.manual_seed(0)
    network = Pose2Mesh(config, COCO, surface).eval()
    without = Pose2Mesh(replace(config, landmarks=0), COCO, surface).eval()
    without.load_state_dict({name: value for name, value in network.state_dict().items() if "landmark" not in name})
    given = torch.rand(3, 19, 2) * 100, torch.ones(3, 19)
    lifted, points, landmarks, *_ = network(*given)
    assert landmarks is not None
    assert surface.joint_base is not None
    base = torch.from_numpy(surface.joint_base) @ (lifted - lifted[:, COCO.root_index, None])
    assert torch.allclose(landmarks, base[:, surface.landmarks], atol=1e-6)
    assert torch.equal(points, without(*given).points)
    assert without(*given).landmarks is None


def test_offsets_of_landmarks_move_the_points(config: NetworkConfig, surface: MeshTopology) -> None:
    torch.manual_seed(0)
    network = Pose2Mesh(config, COCO, surface).eval()
    given = torch.rand(3, 19, 2) * 100, torch.ones(3, 19)
    before = network(*given)
    offsets = torch.rand(LANDMARKS, 3)
    assert network.posenet.landmark_head is not None
    with torch.no_grad():
        network.posenet.landmark_head.bias.copy_(offsets.flatten() / network.posenet.unit_m)
    after = network(*given)
    assert torch.allclose(after.landmarks, before.landmarks + offsets, atol=1e-5)
    assert torch.allclose(after.points, before.points + torch.from_numpy(surface.landmark_base) @ offsets, atol=1e-5)
    assert torch.equal(after.lifted, before.lifted)
    alone = network.lift(*given)
    assert torch.allclose(alone.landmarks, after.landmarks, atol=1e-6)
    assert torch.allclose(alone.lifted, after.lifted, atol=1e-6)


def test_lifter_learns_from_landmarks_and_not_from_points(config: NetworkConfig, surface: MeshTopology) -> None:
    network = Pose2Mesh(config, COCO, surface)
    given = torch.rand(4, 19, 2) * 100, torch.ones(4, 19)
    network(*given).points.sum().backward()
    assert all(parameter.grad is None for parameter in network.posenet.parameters())
    network.lift(*given).landmarks.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.posenet.parameters())


def test_bundle_keeps_landmarks(config: NetworkConfig, surface: MeshTopology, tmp_path: Path) -> None:
    info = BundleInfo("small", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "Apache-2.0")
    network = Pose2Mesh(config, COCO, surface).eval()
    assert network.posenet.landmark_head is not None
    torch.nn.init.normal_(network.posenet.landmark_head.weight)
    file = tmp_path / "small.safetensors"
    save_bundle(file, Bundle(network, surface, info), half=False)
    loaded = load_bundle(file)
    assert np.array_equal(loaded.surface.landmarks, surface.landmarks)
    assert np.array_equal(loaded.surface.landmark_base, surface.landmark_base)
    given = torch.rand(2, 19, 2) * 100, torch.ones(2, 19)
    with torch.no_grad():
        assert torch.allclose(loaded.model(*given).points, network(*given).points, atol=1e-6)


@pytest.mark.parametrize("count", [LANDMARKS - 1, LANDMARKS + 1])
def test_surface_with_other_landmarks_is_refused(count: int, config: NetworkConfig, surface: MeshTopology) -> None:
    with pytest.raises(InputError, match=rf"network\.landmarks is {count}, but the surface has no weights"):
        Pose2Mesh(replace(config, landmarks=count), COCO, surface)


def test_posenet_without_landmarks_has_no_layer_for_them() -> None:
    """Weights of the published network and of bundles written before fit as they are."""
    network = PoseNet(17, width=8, blocks=1)
    assert not any("landmark" in name for name in network.state_dict())
    assert network(torch.zeros(2, 17, 2)).landmark_offsets is None
