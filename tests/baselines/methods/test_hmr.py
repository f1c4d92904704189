"""HMR: training on a batch, with and without the discriminator; estimates."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.hmr import HMR, HMRSettings
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from tests.stick_people import sample_stick_people


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    return sample_stick_people(layer, 8, torch.Generator().manual_seed(0), labelled=0.5)


def make_method(layer: BodyLayer, critics: bool) -> HMR:
    torch.manual_seed(0)
    method = HMR(layer, HMRSettings(critics=critics))
    generator = torch.Generator().manual_seed(1)
    method.prepare(sample_procedural(64, generator), ShapeConfig().sample(64, generator))
    return method


@pytest.mark.thorough
@pytest.mark.parametrize("critics", [True, False])
def test_learns_a_batch(layer: BodyLayer, people: tuple[Observation, GroundTruth], critics: bool) -> None:
    method = make_method(layer, critics)
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    errors = []
    for step in range(15):
        terms = method.losses(*people, step / 15)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        errors.append(terms["keypoints"].item())
    assert errors[-1] < 0.8 * errors[0]
    assert {"adversarial", "critics"} <= set(terms) if critics else set(terms) == set(method_terms())


def method_terms() -> tuple[str, ...]:
    return "rotations", "shape", "joints", "keypoints"


def test_all_predictions_are_scored_by_the_discriminator(
    layer: BodyLayer, people: tuple[Observation, GroundTruth]
) -> None:
    method = make_method(layer, critics=True)
    observation, ground_truth = people
    unlabelled = GroundTruth(
        **{**vars(ground_truth), "labelled": torch.zeros(8, dtype=torch.bool), "visible": torch.zeros(8, 19)}
    )
    terms = method.losses(observation, unlabelled, 0.0)
    assert all(terms[name] == 0 for name in method_terms())
    terms["adversarial"].backward()
    assert method.backbone.stem[0].weight.grad.abs().sum() > 0
    assert method.critics is not None
    assert all(weight.grad is None for weight in method.critics.parameters())


def test_estimated_bodies(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = make_method(layer, critics=True).eval()
    found = method.estimate(people[0])
    assert found.vertices.shape == (8, len(layer.body.template), 3)
    regressed = layer.body.regressor(layer.joint_set) @ found.vertices
    assert torch.allclose(regressed, found.joints, atol=1e-4)
    assert found.joints_px.shape == (8, 19, 2)
    assert found.joints_px.abs().max() < 1.5
    assert found.parameters is not None
    assert found.parameters.orientations.shape == (8, 22, 3, 3)


def test_state_holds_weights_alone(layer: BodyLayer) -> None:
    method = make_method(layer, critics=True)
    assert {name.split(".")[0] for name in method.state_dict()} == {"backbone", "regressor", "critics"}
    assert sum(value.numel() for value in method.state_dict().values()) * 2 < 4.5e6  # bytes in half precision
