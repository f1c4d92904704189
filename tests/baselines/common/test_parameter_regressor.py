"""Parameter regressor: starts at the mean body in the centre of the crop, predicts rotations, learns a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.parameter_regressor import ParameterRegressor, mean_parameters
from pose2mesh.baselines.observation import MARGIN
from pose2mesh.geometry.rotations import rotation_from_vector


def test_mean_body_is_upright_in_the_middle_of_the_crop(layer: BodyLayer) -> None:
    guess = mean_parameters(layer)
    seen = guess.project(layer.joints(guess))
    assert torch.allclose(seen.mean(1), torch.zeros(1, 2), atol=1e-3)
    assert seen.abs().amax() == pytest.approx(1 / MARGIN, rel=0.02)
    names = layer.joint_set.names
    assert seen[0, names.index("nose"), 1] < seen[0, names.index("left_ankle"), 1]
    assert seen[0, names.index("left_shoulder"), 0] > seen[0, names.index("right_shoulder"), 0]  # faces the camera


def test_initial_predictions_are_rotations_near_the_mean(layer: BodyLayer) -> None:
    torch.manual_seed(0)
    guesses = ParameterRegressor(8, layer)(torch.randn(5, 8))
    assert len(guesses) == 3
    for guess in guesses:
        assert torch.allclose(guess.rotations.mT @ guess.rotations, torch.eye(3).expand(5, 22, 3, 3), atol=1e-5)
        assert torch.allclose(guess.rotations, mean_parameters(layer).rotations.expand(5, -1, -1, -1), atol=0.2)
        assert guess.shape.shape == (5, 6)
        assert guess.log_scale.shape == (5,)
        assert guess.shift_m.shape == (5, 2)


def test_corrections_that_are_zero_keep_the_mean(layer: BodyLayer) -> None:
    regressor = ParameterRegressor(8, layer, iterations=2)
    for parameter in regressor.parameters():
        torch.nn.init.zeros_(parameter)
    guess, mean = regressor(torch.randn(1, 8))[-1], mean_parameters(layer)
    for name in ("shape", "rotations", "log_scale", "shift_m"):
        assert torch.allclose(getattr(guess, name), getattr(mean, name), atol=1e-6)


def test_learns_the_poses_of_a_batch(layer: BodyLayer) -> None:
    torch.manual_seed(0)
    regressor = ParameterRegressor(8, layer, hidden=64)
    features = torch.randn(4, 8)
    poses = mean_parameters(layer)[torch.zeros(4, dtype=torch.long)]
    turns = rotation_from_vector(0.5 * torch.randn(4, 22, 3))
    joints = layer.joints(replace(poses, rotations=poses.rotations @ turns))
    optimiser = torch.optim.AdamW(regressor.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        error = (layer.joints(regressor(features)[-1]) - joints).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0]


def test_the_mean_is_not_in_the_state(layer: BodyLayer) -> None:
    assert not [name for name in ParameterRegressor(8, layer).state_dict() if "mean" in name]
