"""The whole network: invariances of its inputs, where gradients stop, and that it can learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.graph.laplacian import joint_adjacency
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh, Upsample
from pose2mesh.skeletons import COCO, HUMAN36, JOINT_SETS, JointSet

J = len(COCO)
with_network = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels(seed: int, batch: int = 3) -> tuple[Tensor, Tensor]:
    """Joints of people some 200 pixels tall, and confidences, every tenth or so 0."""
    generator = torch.Generator().manual_seed(seed)
    joints = 60 * torch.randn(batch, J, 2, generator=generator) + torch.tensor([640.0, 360.0])
    confidence = torch.rand(batch, J, generator=generator)
    return joints, torch.where(confidence < 0.1, 0.0, confidence)


def variant(network: Pose2Mesh, surface: MeshTopology, **changes: Any) -> Pose2Mesh:
    return Pose2Mesh(dataclasses.replace(network.config, **changes), COCO, surface)


# Inputs


@with_network
@given(seed=st.integers(0, 1000), scale=st.floats(0.05, 20), shift=st.floats(-2000, 2000))
def test_inputs_do_not_depend_on_where_and_how_large_a_person_is(
    network: Pose2Mesh, seed: int, scale: float, shift: float
) -> None:
    joints, confidence = pixels(seed)
    expected = network.normalise(joints, confidence)
    moved = network.normalise(scale * joints + torch.tensor([shift, -shift / 3]), confidence)
    assert torch.allclose(moved, expected, atol=2e-3)


@pytest.mark.parametrize("confidence_input", [True, False])
@pytest.mark.parametrize("isotropic", [True, False])
def test_inputs_have_mean_zero_and_deviation_one(
    network: Pose2Mesh, small_surface: MeshTopology, confidence_input: bool, isotropic: bool
) -> None:
    network = variant(network, small_surface, confidence_input=confidence_input, isotropic=isotropic)
    joints, confidence = pixels(0)
    x = network.normalise(joints, confidence)
    assert x.shape == (3, J, 3 if confidence_input else 2)
    assert x.dtype == torch.float32
    weight = (confidence if confidence_input else (confidence > 0).float())[..., None]
    mean = (weight * x[..., :2]).sum(1) / weight.sum(1)
    variance = (weight * x[..., :2].square()).sum(1) / weight.sum(1)
    assert mean.abs().max() < 1e-4
    if isotropic:
        assert torch.allclose(variance.mean(1), torch.ones(3), atol=1e-4)
        # one factor for both axes: the aspect ratio of the pose is kept
        stretch = (x[:, 0, :2] - x[:, 1, :2]) / (joints[:, 0] - joints[:, 1])
        present = (confidence[:, :2] > 0).all(1)
        assert torch.allclose(stretch[present, 0], stretch[present, 1], rtol=1e-4)
    else:
        assert torch.allclose(variance, torch.ones(3, 2), atol=1e-4)
    if confidence_input:
        assert torch.equal(x[..., 2], confidence)


@pytest.mark.parametrize("confidence_input", [True, False])
@pytest.mark.parametrize("junk", [0.0, 1e4, -1e30, float("inf"), float("nan")])
def test_coordinates_of_a_missing_joint_do_not_matter(
    network: Pose2Mesh, small_surface: MeshTopology, junk: float, confidence_input: bool
) -> None:
    network = variant(network, small_surface, confidence_input=confidence_input).eval()
    joints, confidence = pixels(1)
    missing = confidence == 0
    assert missing.any()
    filled = torch.where(missing[..., None], junk, joints)
    x = network.normalise(filled, confidence)
    assert torch.equal(x, network.normalise(joints, confidence))
    assert not x[missing].any()
    assert x[~missing].any(-1).all()
    assert torch.equal(network(filled, confidence).points, network(joints, confidence).points)


def test_people_without_extent_stay_finite(network: Pose2Mesh) -> None:
    joints = torch.full((3, J, 2), 1234.567)
    joints[1, :, 0] = torch.linspace(0, 100, J)  # all in a line
    confidence = torch.rand(3, J)
    confidence[2] = 0  # no joint is present
    x = network.normalise(joints, confidence)
    assert x[0, :, :2].abs().max() < 0.3  # rounding, which must not pass for a pose (deviation 1)
    assert x[1, :, 1].abs().max() < 1e-3
    assert not x[2].any()
    assert network.eval()(joints, confidence).points.isfinite().all()


# Forward pass


def test_shapes_and_dtypes(network: Pose2Mesh, small_surface: MeshTopology) -> None:
    prediction = network(*pixels(0))
    points = len(small_surface.points)
    assert prediction.lifted.shape == (3, J, 3)
    assert prediction.points.shape == (3, points, 3)
    assert network.joints(prediction.points).shape == (3, J, 3)
    assert network.vertices(prediction.points).shape == (3, 162, 3)
    assert prediction.landmarks is None
    made = (prediction.lifted, prediction.points, network.vertices(prediction.points))
    assert {value.dtype for value in made} == {torch.float32}


def test_float64(network: Pose2Mesh) -> None:
    expected = network.eval()(*pixels(0))
    network.double()
    prediction = network(*(value.double() for value in pixels(0)))
    vertices = network.vertices(prediction.points)
    assert vertices.dtype == torch.float64
    assert torch.allclose(prediction.points.float(), expected.points, atol=1e-4)


def test_bf16_autocast_is_near_float32(network: Pose2Mesh) -> None:
    network.eval()
    expected = network(*pixels(0)).points
    with torch.autocast("cpu", torch.bfloat16):
        points = network(*pixels(0)).points
    assert (points.float() - expected).norm() < 0.05 * expected.norm()


def test_joints_of_points_are_the_joints_of_their_vertices(network: Pose2Mesh, small_surface: MeshTopology) -> None:
    points = torch.randn(2, len(small_surface.points), 3)
    from_vertices = torch.from_numpy(small_surface.joint_regressor) @ network.vertices(points)
    assert torch.allclose(network.joints(points), from_vertices, atol=1e-5)


def test_lifter_learns_from_its_own_loss_alone(network: Pose2Mesh) -> None:
    network(*pixels(0)).points.square().sum().backward()
    assert all(value.grad is None for value in network.posenet.parameters())
    assert all(value.grad is not None for value in network.meshnet.parameters())
    network.zero_grad()
    network(*pixels(0)).lifted.square().sum().backward()
    assert all(value.grad is not None for value in network.posenet.parameters())
    assert all(value.grad is None for value in network.meshnet.parameters())


def test_mesh_depends_on_the_lifted_joints(network: Pose2Mesh) -> None:
    network.eval()
    before = network(*pixels(0)).points
    with torch.no_grad():
        network.posenet.head.bias.add_(0.3)
    assert (network(*pixels(0)).points - before).abs().max() > 1e-3


def test_state_dict_holds_weights_and_statistics_alone(network: Pose2Mesh) -> None:
    """The graphs, the regressor and the linear step come with the surface, not with a checkpoint."""
    trained = {name for name, _ in network.named_parameters()}
    rest = {name.rsplit(".", 1)[1] for name in network.state_dict() if name not in trained}
    assert rest == {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.thorough
def test_overfits_one_batch(
    network: Pose2Mesh, body: BodyMesh, posed_bodies: np.ndarray, small_surface: MeshTopology
) -> None:
    bodies = torch.from_numpy(posed_bodies[:8]).float()
    joints = body.regressor(COCO) @ bodies
    root = joints[:, COCO.root_index, None]
    joints, points = joints - root, bodies[:, torch.from_numpy(small_surface.points)] - root
    joints_px, confidence = 200 * joints[..., :2] + 500, torch.ones(8, J)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * (1 - step / 300)
        prediction = network(joints_px, confidence)
        loss = (prediction.lifted - joints).abs().mean() + (prediction.points - points).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (prediction.lifted - joints).norm(dim=-1).mean() < 0.02
    assert (prediction.points - points).norm(dim=-1).mean() < 0.03
    assert (network.vertices(prediction.points) - (bodies - root)).norm(dim=-1).mean() < 0.04


# Configs


def test_published_network_fits_any_mesh(body: BodyMesh) -> None:
    """The default config on a mesh of 162 vertices predicts every one, and its weights are the published ones."""
    config = NetworkConfig()
    surface = build_topology(body, HUMAN36, config, None)
    with torch.device("meta"):  # shapes alone: 67 million weights need no initial values
        shapes = {name: tuple(value.shape) for name, value in Pose2Mesh(config, HUMAN36, surface).named_parameters()}
    assert shapes["posenet.lift.weight"] == (4096, 34)
    assert shapes["posenet.head.weight"] == (51, 4096)
    assert shapes["meshnet.joint_layers.0.convolution.linear.weight"] == (32, 15)
    assert shapes["meshnet.blocks.5.layers.0.convolution.linear.weight"] == (128, 768)
    assert shapes["meshnet.out.linear.weight"] == (3, 192)
    assert config.spectrum == "unit"

    network = Pose2Mesh(dataclasses.replace(config, posenet_width=16), HUMAN36, surface).eval()
    with torch.no_grad():
        points = network(50 * torch.randn(2, 17, 2), torch.ones(2, 17)).points
    assert points.shape == (2, 162, 3)
    assert network.vertices(points) is points
    assert torch.allclose(network.joints(points), body.regressor(HUMAN36) @ points, atol=1e-5)


def test_hierarchy_may_end_in_a_single_node(body: BodyMesh) -> None:
    config = NetworkConfig(posenet_width=8, coarsenings=9, joint_widths=(4,), block_widths=((4, 4),) * 10, head_width=4)
    surface = build_topology(body, COCO, config, None)
    assert surface.adjacency[0].shape[0] < 4
    points = Pose2Mesh(config, COCO, surface).eval()(*pixels(0)).points
    assert points.shape == (3, 162, 3)
    assert points.isfinite().all()


def test_config_that_does_not_fit_the_surface(network: Pose2Mesh, small_surface: MeshTopology) -> None:
    with pytest.raises(InputError, match="block_widths has 1 blocks, expected 3"):
        variant(network, small_surface, block_widths=((8, 8),))
    with pytest.raises(InputError, match="spectrum 'wide' is not known"):
        variant(network, small_surface, spectrum="wide")


# Parts


def test_upsample_is_its_matrix() -> None:
    generator = np.random.default_rng(0)
    index, weight = generator.integers(0, 6, (20, 4)).astype(np.int32), generator.random((20, 4))
    upsample = Upsample(index, weight)
    points = torch.randn(2, 6, 3, requires_grad=True)
    vertices = upsample(points)
    dense = np.zeros((20, 6))
    for column in range(4):
        dense[np.arange(20), index[:, column]] += weight[:, column]
    matrix = torch.from_numpy(dense).float()
    assert torch.allclose(vertices, matrix @ points, atol=1e-6)
    vertices.sum().backward()
    assert points.grad is not None
    assert torch.allclose(points.grad, matrix.sum(0)[None, :, None].expand(2, 6, 3), atol=1e-5)


@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=JOINT_SETS.keys())
def test_joint_graph_has_the_bones_and_left_right_edges(joint_set: JointSet) -> None:
    adjacency = joint_adjacency(joint_set).toarray()
    assert np.array_equal(adjacency, adjacency.T)
    assert set(np.unique(adjacency)) == {0, 1}
    assert adjacency.diagonal().sum() == 0
    alike = [(joint_set.index(a), joint_set.index(b)) for a, b in joint_set.alike]
    expected = {frozenset(pair) for pair in (*joint_set.edges, *joint_set.flip_pairs, *alike)}
    assert {frozenset(pair) for pair in np.argwhere(adjacency).tolist()} == expected
