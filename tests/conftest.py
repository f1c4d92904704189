"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

# The tests' tensors are tiny: a second thread only waits for the first, and on a busy machine takes six times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import settings
from torch import Tensor

from pose2mesh.body_models.bones import PARENTS
from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.skinned_body import SkinnedBody, bone_axes
from pose2mesh.skeletons import COCO, JointSet

# On a busy machine an example may take any time.
settings.register_profile("pose2mesh", deadline=None)
settings.load_profile("pose2mesh")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data (motion clips, COCO photos), which is not part of the repository."""
    folder = Path(os.environ.get("POSE2MESH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder}; name its folder in POSE2MESH_DATA")
    return folder


class Ellipsoid:
    """A body of 162 vertices and the size of a person, whose joints are averages of vertices near random directions."""

    def __init__(self) -> None:
        sphere = trimesh.creation.icosphere(subdivisions=2)
        self.faces = torch.from_numpy(np.array(sphere.faces, np.int64))
        self.template = torch.from_numpy(np.array(sphere.vertices * (0.3, 0.2, 0.9), np.float32))

    def regressor(self, joint_set: JointSet) -> Tensor:
        directions = np.random.default_rng(5).normal(size=(len(joint_set), 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        sphere = self.template.numpy() / (0.3, 0.2, 0.9)
        near = directions @ sphere.T > 0.8
        return torch.from_numpy((near / near.sum(1, keepdims=True)).astype(np.float32))


@pytest.fixture(scope="session")
def body() -> BodyMesh:
    """A small made-up body."""
    return Ellipsoid()


@pytest.fixture(scope="session")
def posed_bodies(body: BodyMesh) -> np.ndarray:
    """(60, V, 3) the small body stretched, bent and turned at random, metres."""
    generator = np.random.default_rng(0)
    template = body.template.numpy().astype(np.float64)
    bodies = []
    for _ in range(60):
        shape = template * generator.uniform(0.8, 1.2, 3)
        bend = generator.uniform(-0.3, 0.3, 2)
        shape = shape + np.stack([bend[0] * shape[:, 2] ** 2, bend[1] * shape[:, 2] ** 2, 0 * shape[:, 2]], axis=1)
        rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        bodies.append(shape @ rotation * np.linalg.det(rotation))
    return np.stack(bodies)


@pytest.fixture(scope="session")
def small_config() -> NetworkConfig:
    """A network on the small body that predicts a quarter of its vertices."""
    return NetworkConfig(
        posenet_unit_m=1.0,
        confidence_input=True,
        isotropic=True,
        posenet_width=64,
        posenet_blocks=1,
        posenet_dropout=0.0,
        coarsenings=4,
        finest=2,
        joint_widths=(8, 16),
        block_widths=((16, 16), (16, 32), (32, 16)),
        head_width=16,
    )


@pytest.fixture(scope="session")
def small_surface(body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig) -> MeshTopology:
    return build_topology(body, COCO, small_config, posed_bodies[:40])


@pytest.fixture(scope="session")
def skinned_config(small_config: NetworkConfig) -> NetworkConfig:
    """As `small_config`, with a skinned body, shapes and expected errors."""
    return replace(small_config, joint_base=True, landmarks=6, shape_components=3, expected_errors=True, skinned=True)


def add_skinned_body(surface: MeshTopology, components: int = 3) -> MeshTopology:
    """The surface with a body of 22 bones at random places, which belong to no anatomy."""
    rng = np.random.default_rng(3)
    parents, heads = np.array(PARENTS), 0.4 * rng.normal(size=(22, 3)).astype(np.float32)
    distance = np.linalg.norm(surface.template[:, None] - heads, axis=-1)
    nearest = np.argsort(distance, axis=1)[:, :3]
    weights = np.zeros(distance.shape, np.float32)
    np.put_along_axis(weights, nearest, np.float32(1 / 3), 1)
    weights[:22] += 0.1 * np.eye(22, dtype=np.float32)  # every bone has a vertex
    weights /= weights.sum(1, keepdims=True)
    shapes = 0.05 * rng.normal(size=(components, len(surface.template), 3)).astype(np.float32)
    head_shapes = 0.05 * rng.normal(size=(components, 22, 3)).astype(np.float32)
    axes = bone_axes(parents, heads, surface.template, weights)
    readout = rng.normal(size=(44, len(surface.points))).astype(np.float32)
    phenotypes = rng.normal(size=(components + 1, 6)).astype(np.float32)
    arrays = (parents, surface.template, shapes, heads, head_shapes, weights, axes, readout, phenotypes)
    return replace(surface, skinned=SkinnedBody(*arrays))


@pytest.fixture(scope="session")
def skinned_surface(body: BodyMesh, posed_bodies: np.ndarray, skinned_config: NetworkConfig) -> MeshTopology:
    return add_skinned_body(build_topology(body, COCO, skinned_config, posed_bodies[:40]))


@pytest.fixture
def skinned_network(skinned_config: NetworkConfig, skinned_surface: MeshTopology) -> Pose2Mesh:
    """A fresh network of a skinned body, in training mode, whose outputs depend on its input."""
    torch.manual_seed(0)
    network = Pose2Mesh(skinned_config, COCO, skinned_surface)
    for name, parameter in network.posenet.named_parameters():
        if "shape_head" in name or "error_head" in name:
            torch.nn.init.normal_(parameter, 0, 0.02)
    return network


@pytest.fixture
def skinned_bundle_file(skinned_network: Pose2Mesh, skinned_surface: MeshTopology, tmp_path: Path) -> Path:
    """A bundle of an untrained network of a skinned body."""
    config = {"network": skinned_network.config.as_dict()}
    info = BundleInfo("skinned", "coco", "ellipsoid", config, "nothing", "Apache-2.0")
    info.stature_features = [1 / len(COCO.bones)] * len(COCO.bones) + [float(np.log(10))]
    path = tmp_path / "skinned.safetensors"
    save_bundle(path, Bundle(skinned_network.eval(), skinned_surface, info))
    return path


@pytest.fixture
def network(small_config: NetworkConfig, small_surface: MeshTopology) -> Pose2Mesh:
    """A fresh network on the small body, in training mode."""
    torch.manual_seed(0)
    return Pose2Mesh(small_config, COCO, small_surface)


@pytest.fixture(scope="session")
def bundle_file(
    small_config: NetworkConfig, small_surface: MeshTopology, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle of an untrained network on the small body; it tells heights, as ten times the mean length of a bone."""
    torch.manual_seed(0)
    info = BundleInfo("small", "coco", "ellipsoid", {"network": small_config.as_dict()}, "nothing", "Apache-2.0")
    info.errors = {"validation clips, gt 2D": {"mpjpe_mm": 123.4}}
    info.stature_features = [1 / len(COCO.bones)] * len(COCO.bones) + [float(np.log(10))]
    path = tmp_path_factory.mktemp("bundle") / "small.safetensors"
    save_bundle(path, Bundle(Pose2Mesh(small_config, COCO, small_surface).eval(), small_surface, info))
    return path


@pytest.fixture(scope="session")
def recovery(bundle_file: Path) -> Predictor:
    return Predictor.load(bundle_file)
