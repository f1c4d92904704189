"""The losses of learned baselines: 0 for the truth, known for known errors, 0 with gradients where nothing is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.baseline_losses import (
    joint_loss,
    keypoint_loss,
    parameter_losses,
    rotation_loss,
    shape_loss,
)
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.parameter_regressor import mean_parameters
from pose2mesh.baselines.observation import GroundTruth
from pose2mesh.geometry.rotations import axis_rotation


def guesses(layer: BodyLayer, count: int) -> BodyParameters:
    return mean_parameters(layer)[torch.zeros(count, dtype=torch.long)]


def truth_of(guess: BodyParameters, layer: BodyLayer, labelled: Tensor) -> GroundTruth:
    joints = layer.joints(guess)
    root = joints[:, layer.joint_set.root_index, None]
    return GroundTruth(
        index=torch.arange(len(joints)),
        labelled=labelled,
        joints_2d=guess.project(joints),
        visible=torch.ones(joints.shape[:2]),
        joints=joints - root,
        vertices=layer.vertices(guess) - root,
        phenotypes=layer.phenotypes(guess.shape),
        orientations=guess.orientations,
    )


def test_nothing_is_lost_on_the_truth(layer: BodyLayer) -> None:
    guess = guesses(layer, 2)
    terms = parameter_losses(guess, truth_of(guess, layer, torch.ones(2, dtype=torch.bool)), layer)
    assert set(terms) == {"rotations", "shape", "joints", "keypoints"}
    assert all(term < 1e-5 for term in terms.values())


def test_known_errors_give_known_losses(layer: BodyLayer) -> None:
    guess = guesses(layer, 2)
    truth = truth_of(guess, layer, torch.tensor([True, False]))
    turned = guess.rotations.clone()
    turned[0, 5] = turned[0, 5] @ axis_rotation(2, torch.tensor(torch.pi))
    turned[1] = 0  # nobody's truth, hence no error
    changed = (turned[0, 5] - guess.rotations[0, 5]).abs().sum() / (22 * 9)
    assert rotation_loss(turned, truth.orientations, truth.labelled) == pytest.approx(float(changed), rel=1e-4)

    shape = guess.shape.clone()
    shape[:, 0] = torch.logit(torch.tensor(0.75))  # a quarter of the range off in one of six
    assert shape_loss(shape, truth.phenotypes, truth.labelled, layer) == pytest.approx(0.25 / 6, rel=1e-4)

    moved = layer.joints(guess).clone()
    moved += torch.tensor([1.0, 2.0, 3.0])  # about which point does not matter
    moved[0, 3, 0] += 0.19
    root = layer.joint_set.root_index
    assert joint_loss(moved, truth.joints, truth.labelled, root) == pytest.approx(0.01 / 3, rel=1e-3)


def test_unseen_joints_do_not_count() -> None:
    seen, visible = torch.zeros(2, 3, 2), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    projected = torch.tensor([0.2, 0.4]).expand(2, 3, 2)
    assert keypoint_loss(projected, seen, visible) == pytest.approx(0.3)
    assert keypoint_loss(projected, seen, torch.zeros(2, 3)) == 0


def test_nobody_labelled_leaves_2d_alone_and_finite_gradients(layer: BodyLayer) -> None:
    guess = guesses(layer, 2)
    truth = truth_of(guess, layer, torch.zeros(2, dtype=torch.bool))
    leaves = BodyParameters(*(value.clone().requires_grad_() for value in vars(guess).values()))
    terms = parameter_losses(leaves, truth, layer)
    assert all(terms[name] == 0 for name in ("rotations", "shape", "joints"))
    sum(terms.values(), torch.zeros(())).backward()
    for leaf in vars(leaves).values():
        assert torch.isfinite(leaf.grad).all()
