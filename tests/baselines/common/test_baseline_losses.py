"""Losses of the learned baselines: 0 for the ground truth, values of given errors, 0 with gradients without labels."""

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


def predictions(layer: BodyLayer, count: int) -> BodyParameters:
    return mean_parameters(layer)[torch.zeros(count, dtype=torch.long)]


def ground_truth_of(prediction: BodyParameters, layer: BodyLayer, labelled: Tensor) -> GroundTruth:
    joints = layer.joints(prediction)
    root = joints[:, layer.joint_set.root_index, None]
    return GroundTruth(
        index=torch.arange(len(joints)),
        labelled=labelled,
        joints_2d=prediction.project(joints),
        visible=torch.ones(joints.shape[:2]),
        joints=joints - root,
        vertices=layer.vertices(prediction) - root,
        phenotypes=layer.phenotypes(prediction.shape),
        orientations=prediction.orientations,
    )


def test_losses_are_zero_on_the_ground_truth(layer: BodyLayer) -> None:
    prediction = predictions(layer, 2)
    terms = parameter_losses(prediction, ground_truth_of(prediction, layer, torch.ones(2, dtype=torch.bool)), layer)
    assert set(terms) == {"rotations", "shape", "joints", "keypoints"}
    assert all(term < 1e-5 for term in terms.values())


def test_losses_of_given_errors(layer: BodyLayer) -> None:
    prediction = predictions(layer, 2)
    ground_truth = ground_truth_of(prediction, layer, torch.tensor([True, False]))
    turned = prediction.rotations.clone()
    turned[0, 5] = turned[0, 5] @ axis_rotation(2, torch.tensor(torch.pi))
    turned[1] = 0  # nobody's truth, hence no error
    changed = (turned[0, 5] - prediction.rotations[0, 5]).abs().sum() / (22 * 9)
    assert rotation_loss(turned, ground_truth.orientations, ground_truth.labelled) == pytest.approx(
        float(changed), rel=1e-4
    )

    shape = prediction.shape.clone()
    shape[:, 0] = torch.logit(torch.tensor(0.75))  # a quarter of the range off in one of six
    assert shape_loss(shape, ground_truth.phenotypes, ground_truth.labelled, layer) == pytest.approx(0.25 / 6, rel=1e-4)

    moved = layer.joints(prediction).clone()
    moved += torch.tensor([1.0, 2.0, 3.0])  # about which point does not matter
    moved[0, 3, 0] += 0.19
    root = layer.joint_set.root_index
    assert joint_loss(moved, ground_truth.joints, ground_truth.labelled, root) == pytest.approx(0.01 / 3, rel=1e-3)


def test_joints_without_annotation_do_not_count() -> None:
    observed, visible = torch.zeros(2, 3, 2), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    projected = torch.tensor([0.2, 0.4]).expand(2, 3, 2)
    assert keypoint_loss(projected, observed, visible) == pytest.approx(0.3)
    assert keypoint_loss(projected, observed, torch.zeros(2, 3)) == 0


def test_without_3d_labels_only_2d_terms_and_finite_gradients(layer: BodyLayer) -> None:
    prediction = predictions(layer, 2)
    ground_truth = ground_truth_of(prediction, layer, torch.zeros(2, dtype=torch.bool))
    leaves = BodyParameters(*(value.clone().requires_grad_() for value in vars(prediction).values()))
    terms = parameter_losses(leaves, ground_truth, layer)
    assert all(terms[name] == 0 for name in ("rotations", "shape", "joints"))
    sum(terms.values(), torch.zeros(())).backward()
    for leaf in vars(leaves).values():
        assert torch.isfinite(leaf.grad).all()
