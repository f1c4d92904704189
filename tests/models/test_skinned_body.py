"""Skinned bodies: posing by hand, the readout of rotations, limbs of full thickness, and storage in a bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh, Skinning
from pose2mesh.models.skinned_body import (
    SkinnedBody,
    bone_axes,
    fit_readout,
    read_skinned_body,
    skinned_arrays,
)
from pose2mesh.skeletons import COCO

BONES, SHAPES = 22, 3


def random_rotations(*shape: int) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(*shape, 3, 3))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    q[..., 0] *= torch.linalg.det(q)[..., None]
    return q


@pytest.fixture
def rod() -> SkinnedBody:
    """Two bones along x, one after the other, with a ring of four vertices around the middle of each."""
    ring = np.array([(0, 0.1, 0), (0, -0.1, 0), (0, 0, 0.1), (0, 0, -0.1)])
    vertices = np.concatenate((ring + np.array([0.5, 0, 0]), ring + np.array([1.5, 0, 0]))).astype(np.float32)
    weights = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    parents, heads = np.array([-1, 0]), np.array([(0, 0, 0), (1, 0, 0)], np.float32)
    thicker = np.concatenate((ring, ring)).astype(np.float32)[None]
    longer_heads = np.array([[(0, 0, 0), (1, 0, 0)]], np.float32)
    axes = bone_axes(parents, heads, vertices, weights)
    readout = np.zeros((4, 8), np.float32)
    return SkinnedBody(
        parents, vertices, thicker, heads, longer_heads, weights, axes, readout, np.zeros((2, 6), np.float32)
    )


def test_posing_by_hand(rod: SkinnedBody) -> None:
    skinning = Skinning(rod)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about z: x becomes y
    straight = torch.eye(3)
    bent = torch.stack((straight, quarter))[None]
    vertices = skinning(bent, torch.zeros(1, 1))[0]
    assert torch.allclose(vertices[:4], torch.from_numpy(rod.vertices[:4]))
    # the second bone starts at x = 1 and points along y
    assert torch.allclose(vertices[4:].mean(0), torch.tensor([1, 0.5, 0]), atol=1e-6)
    assert torch.allclose(vertices[4], torch.tensor([0.9, 0.5, 0]), atol=1e-6)
    # a coefficient of one: twice as thick, and the second bone starts at x = 2, half a metre beyond its ring
    vertices = skinning(bent, torch.ones(1, 1))[0]
    assert torch.allclose(vertices[4], torch.tensor([1.8, -0.5, 0]), atol=1e-6)
    assert torch.allclose(skinning(bent, torch.ones(1, 1), torch.tensor([6, 1]))[0], vertices[[6, 1]])


def test_axes_are_orthonormal_and_along_the_bones(rod: SkinnedBody) -> None:
    assert np.allclose(rod.axes[:, :, 0], (1, 0, 0))
    assert np.allclose(rod.axes @ rod.axes.swapaxes(1, 2), np.eye(3), atol=1e-6)
    assert np.allclose(np.linalg.det(rod.axes), 1)


def test_chains_sum_the_offsets_from_the_root() -> None:
    body = dataclasses.replace(_empty(), parents=np.array([-1, 0, 1, 0]))
    assert body.chains().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]


def _empty() -> SkinnedBody:
    nothing = np.zeros((0, 3), np.float32)
    return SkinnedBody(np.array([-1]), *[nothing] * 8)


def test_rotations_are_read_off_true_points(rod: SkinnedBody) -> None:
    torch.manual_seed(0)
    skinning = Skinning(rod)
    rotations = random_rotations(300, 2)
    with torch.no_grad():
        points = skinning(rotations, torch.zeros(300, 1))
    readout = fit_readout(points[:200].numpy(), rotations[:200].numpy(), rod.axes, ridge=1e-8)
    found = Skinning(dataclasses.replace(rod, readout=readout)).rotations(points[200:])
    cosine = ((found.mT @ rotations[200:]).diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    assert cosine.min() > np.cos(np.deg2rad(1))
    assert torch.allclose(torch.linalg.det(found), torch.ones(100, 2), atol=1e-5)


def test_withered_points_give_limbs_of_full_thickness(rod: SkinnedBody) -> None:
    torch.manual_seed(0)
    rotations = random_rotations(200, 2)
    points = Skinning(rod)(rotations, torch.zeros(200, 1))
    skinning = Skinning(dataclasses.replace(rod, readout=fit_readout(points.numpy(), rotations.numpy(), rod.axes)))
    # the mean of two ways that the second bone may point: its ring collapses towards a line
    thin = points[:1].clone()
    thin[:, 4:] = 0.3 * thin[:, 4:] + 0.7 * thin[:, 4:].mean(1, keepdim=True)
    vertices = skinning(skinning.rotations(thin), torch.zeros(1, 1))
    radius = (vertices[:, 4:] - vertices[:, 4:].mean(1, keepdim=True)).norm(dim=-1)
    assert torch.allclose(radius, torch.full_like(radius, 0.1), atol=1e-5)


def test_rotating_the_points_rotates_the_body(rod: SkinnedBody) -> None:
    torch.manual_seed(1)
    skinning = Skinning(dataclasses.replace(rod, readout=torch.randn(4, 8).numpy()))
    points, turn = torch.randn(5, 8, 3), random_rotations(1)[0]
    before, after = skinning.rotations(points), skinning.rotations(points @ turn.T)
    assert torch.allclose(after, turn @ before, atol=1e-5)


# In a network


def test_mesh_is_skinned_and_relative_to_the_root(skinned_network: Pose2Mesh) -> None:
    pixels, confidence = 100 * torch.rand(4, 19, 2), torch.ones(4, 19)
    with torch.no_grad():
        prediction = skinned_network(pixels, confidence)
        mesh = skinned_network.mesh(prediction)
        points = skinned_network.skinned_points(prediction)
        errors = skinned_network.expected_errors(prediction)
    assert mesh.rotations is not None
    assert mesh.rotations.shape == (4, BONES, 3, 3)
    assert mesh.vertices.shape[1] == len(skinned_network.joint_regressor[0])
    root = COCO.root_index
    assert mesh.joints[:, root].abs().max() < 1e-6
    joints = skinned_network.joint_regressor @ mesh.vertices
    assert torch.allclose(mesh.joints, joints - joints[:, root, None], atol=1e-5)
    # the points are vertices of the same body; their root joint is regressed from the points alone
    moved = mesh.vertices[:, skinned_network.points] - points
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-5)
    assert errors is not None
    assert errors.shape == (4, 19, 2)
    assert (errors > 0).all()


def test_shapes_are_moved_to_an_age(skinned_network: Pose2Mesh, skinned_surface: MeshTopology) -> None:
    assert skinned_surface.skinned is not None
    skinning, weights = skinned_network.skinning, skinned_surface.skinned.phenotypes[:, 1]
    assert skinning is not None
    shapes = torch.randn(50, SHAPES)
    ages = shapes.numpy() @ weights[:-1] + weights[-1]
    least = float(np.median(ages))
    aged = skinning.aged(shapes, least)
    assert np.allclose(aged.numpy() @ weights[:-1] + weights[-1], np.maximum(ages, least), atol=1e-4)
    assert torch.equal(aged[torch.from_numpy(ages > least)], shapes[torch.from_numpy(ages > least)])
    prediction = skinned_network(100 * torch.rand(4, 19, 2), torch.ones(4, 19))
    assert skinned_network.shape(prediction) is prediction.shape
    older = Pose2Mesh(dataclasses.replace(skinned_network.config, least_age=9.0), COCO, skinned_surface)
    found = older.shape(prediction)
    assert found is not None
    assert np.allclose(found.detach().numpy() @ weights[:-1] + weights[-1], 9, atol=1e-3)


def test_gradient_reaches_meshnet_through_the_pose(skinned_network: Pose2Mesh) -> None:
    prediction = skinned_network(100 * torch.rand(4, 19, 2), torch.ones(4, 19))
    skinned_network.skinned_points(prediction).square().sum().backward()
    gradient = skinned_network.meshnet.out.linear.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    # shapes are part of the lifter's output; its joints and landmarks get nothing
    assert skinned_network.posenet.head.weight.grad is None  # type: ignore[union-attr]


def test_bundle_keeps_the_body(skinned_network: Pose2Mesh, skinned_surface: MeshTopology, tmp_path: Path) -> None:
    path, config = tmp_path / "skinned.safetensors", skinned_network.config
    info = BundleInfo("skinned", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "CC0")
    save_bundle(path, Bundle(skinned_network.eval(), skinned_surface, info), half=False)
    loaded = load_bundle(path)
    given = 100 * torch.rand(2, 19, 2), torch.ones(2, 19)
    with torch.no_grad():
        before, after = (network.mesh(network(*given)) for network in (skinned_network, loaded.model))
    assert (before.vertices - after.vertices).abs().max() < 2e-3  # shapes and weights are stored in float16
    assert loaded.surface.skinned is not None
    assert np.allclose(loaded.surface.skinned.weights.sum(1), 1, atol=1e-6)


def test_arrays_of_a_bundle_round_trip(skinned_surface: MeshTopology) -> None:
    body = skinned_surface.skinned
    assert body is not None
    again = read_skinned_body(skinned_arrays(body))
    for item in dataclasses.fields(SkinnedBody):
        assert np.allclose(getattr(again, item.name), getattr(body, item.name), atol=2e-3), item.name
    with pytest.raises(KeyError):
        read_skinned_body({name: array for name, array in skinned_arrays(body).items() if name != "axes"})


def test_network_without_a_body_is_refused(
    body: BodyMesh, posed_bodies: np.ndarray, skinned_config: NetworkConfig
) -> None:
    surface = build_topology(body, COCO, skinned_config, posed_bodies[:40])
    with pytest.raises(InputError, match=r"network\.skinned is true"):
        Pose2Mesh(skinned_config, COCO, surface)
