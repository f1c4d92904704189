"""SPIN: training on labels first, then on fits, which are part of checkpoints and not of the bundle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.fit_buffer import FittedImages
from pose2mesh.baselines.methods.spin import SPIN, SPINFits, SPINSettings
from pose2mesh.baselines.observation import GroundTruth, Observation
from tests.stick_people import sample_stick_people


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    observation, ground_truth = sample_stick_people(layer, 8, torch.Generator().manual_seed(0))
    return observation, replace(ground_truth, labelled=torch.arange(8) < 2)


def make_method(layer: BodyLayer, begin: float = 0.0) -> SPIN:
    torch.manual_seed(0)
    method = SPIN(layer, SPINSettings(fits=SPINFits(begin=begin, camera_rounds=2, rounds=4), pictures=16))
    method.prepare(torch.zeros(0), torch.zeros(0))
    return method


@pytest.mark.thorough
def test_learns_a_batch_first_from_labels(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = make_method(layer, begin=0.5)
    assert method.teacher is not None
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    history = []
    for step in range(14):
        terms = method.losses(*people, step / 14)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        history.append(terms["keypoints"].item())
        assert torch.isinf(method.teacher.best.distance).all() == (step < 7)
    assert history[-1] < 0.8 * history[0]
    assert torch.isfinite(method.teacher.best.distance[2:8]).all()


def test_fits_are_in_checkpoints_but_not_in_bundles(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = make_method(layer)
    assert method.teacher is not None
    fits = FittedImages(torch.zeros(1, 6), torch.eye(3).expand(1, 22, 3, 3), torch.tensor([0.01]))
    method.teacher.best.update(torch.tensor([2]), fits)
    resumed = make_method(layer)
    resumed.load_state_dict(method.state_dict())
    assert resumed.teacher is not None
    assert resumed.teacher.best.distance[2] == pytest.approx(0.01)
    method.drop_training_state()
    fresh = SPIN(layer, SPINSettings(pictures=16))
    fresh.load_state_dict(method.state_dict())
    fresh.eval()
    found = fresh.estimate(people[0])
    assert found.vertices.shape == (8, len(layer.body.template), 3)
    assert {name.split(".")[0] for name in fresh.state_dict()} == {"backbone", "regressor"}
