"""Pre-training network: positions from heat maps, training on a batch, detection; no bodies."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork, mean_places, part_loss
from pose2mesh.baselines.observation import LANDMARKS, MAP_PX, PARTS, GroundTruth, Observation
from pose2mesh.errors import InputError
from tests.stick_people import sample_stick_people


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    return sample_stick_people(layer, 8, torch.Generator().manual_seed(0))


def test_mean_places_of_peaks() -> None:
    maps = torch.zeros(1, 3, 32, 32)
    maps[0, 0, 0, 31] = 50  # the corner right above
    maps[0, 1, 16, 8:10] = 50  # between two cells
    expected = torch.tensor([[1 - 1 / 32, -1 + 1 / 32], [-1 + 18 / 32, 1 / 32], [0.0, 0.0]])
    assert torch.allclose(mean_places(maps)[0], expected, atol=1e-4)


def test_part_loss_is_least_for_the_ground_truth() -> None:
    parts = torch.zeros(1, PARTS, MAP_PX, MAP_PX)
    parts[:, 3, :20] = 1
    sure = torch.zeros(1, PARTS + 1, 32, 32)
    sure[:, 3, :10] = sure[:, PARTS, 10:] = 20
    assert part_loss(sure, parts) < 1e-3
    assert part_loss(torch.zeros_like(sure), parts) == pytest.approx(torch.tensor(13.0).log().item(), rel=1e-4)


@pytest.mark.thorough
def test_learns_a_batch_and_detects_in_it(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    torch.manual_seed(0)
    observation, ground_truth = people
    network = PretrainingNetwork(layer)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    losses = []
    for step in range(40):
        terms = network.losses(observation, ground_truth, step / 40)
        total = sum(terms.values(), torch.zeros(()))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append({name: term.item() for name, term in terms.items()})
    assert all(losses[-1][name] < 0.7 * losses[0][name] for name in ("parts", "joints", "landmarks"))

    detected = network.eval().detect(Observation(observation.joints, observation.confidence, observation.images))
    assert detected.parts is not None
    assert detected.silhouettes is not None
    assert detected.parts.shape == (8, PARTS, MAP_PX, MAP_PX)
    assert torch.allclose(detected.parts.sum(1), detected.silhouettes, atol=1e-5)
    assert detected.landmarks is not None
    assert detected.landmarks.shape == (8, LANDMARKS, 2)
    assert detected.landmark_confidence is not None
    assert detected.landmark_confidence.min() >= 0
    assert detected.landmark_confidence.max() <= 1


def test_learns_without_landmarks(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    observation, ground_truth = people
    terms = PretrainingNetwork(layer).losses(
        Observation(observation.joints, observation.confidence, observation.images, observation.parts),
        ground_truth,
        0.0,
    )
    assert set(terms) == {"parts", "joints", "joint_presence"}


def test_gives_no_bodies(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    with pytest.raises(InputError, match="predicts no bodies"):
        PretrainingNetwork(layer).estimate(people[0])
