"""GraphCMR: convolutions against dense products, losses on known cases, training on a batch, estimates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.backbone import FEATURES
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.graphcmr import CoarseMesh, GraphCMR, GraphCMRSettings, GraphResidual
from pose2mesh.baselines.observation import GroundTruth, Observation
from tests.stick_people import sample_stick_people


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    return sample_stick_people(layer, 8, torch.Generator().manual_seed(0), labelled=0.5)


@pytest.fixture(scope="module")
def untrained(layer: BodyLayer) -> GraphCMR:
    torch.manual_seed(0)
    return GraphCMR(layer, GraphCMRSettings(channels=16, blocks=2, hidden=64))


@pytest.mark.thorough
def test_a_block_is_its_dense_computation(untrained: GraphCMR) -> None:
    graph, block = untrained.points.graph, GraphResidual(16)
    x = torch.randn(3, graph.size, 16, generator=torch.Generator().manual_seed(2))

    def normalised(z: Tensor) -> Tensor:  # of a fresh BatchNorm, in training
        mean, variance = z.mean((0, 1)), z.var((0, 1), unbiased=False)
        return ((z - mean) / (variance + 1e-5).sqrt()).relu()

    weight = block.mix.linear.weight  # of the point itself beside that of its neighbours
    y = normalised(x) @ block.narrow.weight.T + block.narrow.bias
    z = normalised(y)
    y = z @ weight[:, :8].T + graph.dense() @ z @ weight[:, 8:].T + block.mix.linear.bias
    expected = x + normalised(y) @ block.widen.weight.T + block.widen.bias
    assert torch.allclose(block(x, graph), expected, atol=1e-4)


def test_features_are_attached_by_concatenation_and_product(untrained: GraphCMR) -> None:
    join, template = untrained.points.join, untrained.points.template
    features = torch.randn(2, FEATURES, generator=torch.Generator().manual_seed(4))
    points = template.expand(2, -1, -1)
    everywhere = features[:, None].expand(-1, len(template), -1)
    weight = torch.cat((join.of_template.weight, join.of_features.weight), dim=1)
    expected = torch.cat((points, everywhere), -1) @ weight.T + join.of_template.bias + join.of_features.bias
    expected = expected + join.factors(3 * points) * (everywhere @ join.times.weight.T + join.times.bias)
    assert torch.allclose(join(template, features), expected, atol=1e-4)


def test_losses_of_the_true_mesh_and_of_a_moved_mesh(
    untrained: GraphCMR, people: tuple[Observation, GroundTruth]
) -> None:
    _, ground_truth = people
    _, points, _ = untrained.poser(ground_truth.phenotypes, ground_truth.orientations)
    assert ground_truth.vertices is not None
    assert torch.allclose(points, ground_truth.vertices[:, untrained.vertex], atol=1e-4)
    camera = CoarseMesh(points, ground_truth.joints, torch.ones(8), torch.zeros(8, 2))
    observation = replace(ground_truth, joints_2d=camera.project(ground_truth.joints), labelled=torch.arange(8) < 4)
    terms = untrained._shared_losses(points, ground_truth.joints, camera, observation, points)
    assert all(value < 1e-5 for value in terms.values())

    moved = points + torch.tensor([0.03, 0.0, 0.0])
    moved[4:] += 9.0  # of people whose 3D is not known
    shifted = replace(camera, shift_m=torch.tensor([[0.0, 0.1]]).expand(8, 2))
    terms = untrained._shared_losses(moved, ground_truth.joints, shifted, observation, points)
    assert terms["vertices"] == pytest.approx(5.0 * 0.01, rel=1e-3)
    assert terms["joints"] < 1e-5
    down = (shifted.project(ground_truth.joints) - observation.joints_2d).abs().mean()
    assert terms["keypoints"] == pytest.approx(5.0 * float(down), rel=1e-3)
    assert 0.045 < down < 0.055  # a tenth of a metre in one of two axes


def test_without_3d_labels_only_2d_terms_and_finite_gradients(
    untrained: GraphCMR, people: tuple[Observation, GroundTruth]
) -> None:
    observation, ground_truth = people
    untrained.zero_grad()
    terms = untrained.losses(observation, replace(ground_truth, labelled=torch.zeros(8, dtype=torch.bool)), 0.0)
    assert {name for name, value in terms.items() if value > 0} == {"keypoints", "body_keypoints"}
    sum(terms.values(), torch.zeros(())).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in untrained.parameters())


def test_no_gradient_from_the_parameter_regressor_to_the_mesh(
    untrained: GraphCMR, people: tuple[Observation, GroundTruth]
) -> None:
    untrained.zero_grad()
    terms = untrained.losses(*people, 0.0)
    of_body = [value for name, value in terms.items() if name.startswith("body_") or name in ("rotations", "shape")]
    sum(of_body, torch.zeros(())).backward()
    mesh = [*untrained.backbone.parameters(), *untrained.points.parameters()]
    assert all(parameter.grad is None for parameter in mesh)
    assert all(parameter.grad.abs().sum() > 0 for parameter in untrained.regressor.parameters())


@pytest.mark.thorough
def test_learns_a_batch(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    torch.manual_seed(0)
    method = GraphCMR(layer, GraphCMRSettings(channels=32, blocks=2, hidden=64))
    optimiser = torch.optim.AdamW(method.parameters(), 3e-3)
    history = []
    for step in range(20):
        terms = method.losses(*people, step / 20)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        history.append({name: value.item() for name, value in terms.items()})
    for name in ("vertices", "joints", "keypoints", "body_vertices", "body_keypoints"):
        assert history[-1][name] < 0.8 * history[0][name], name


def test_estimated_bodies(untrained: GraphCMR, people: tuple[Observation, GroundTruth]) -> None:
    body = untrained.layer.body
    regressor = body.regressor(untrained.joint_set)
    untrained.eval()
    mesh = untrained.estimate(people[0])
    untrained.settings.answer = "parameters"
    of_parameters = untrained.estimate(people[0])
    untrained.settings.answer = "mesh"
    untrained.train()
    for found in (mesh, of_parameters):
        assert found.vertices.shape == (8, len(body.template), 3)
        assert torch.allclose(regressor @ found.vertices, found.joints, atol=1e-4)
        assert found.joints_px.shape == (8, 19, 2)
        assert found.parameters is not None
        posed = body(found.parameters.phenotypes, found.parameters.orientations)
        assert torch.allclose(posed, of_parameters.vertices, atol=1e-5)
    assert not torch.allclose(mesh.joints, of_parameters.joints, atol=1e-2)


def test_state_holds_weights_alone(untrained: GraphCMR) -> None:
    assert {name.split(".")[0] for name in untrained.state_dict()} == {"backbone", "points", "regressor"}
