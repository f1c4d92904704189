"""Losses that the learned baselines share: functions of tensors, unweighted, 0 where no label is given.

3D lengths are in metres, 2D lengths in units of the crop; rotations are compared by matrix entry, shapes by phenotype,
in units of the range of adults. All are absolute differences, in which a few wrong or ambiguous labels weigh less than
in squares. 3D terms count samples with 3D labels only (`GroundTruth.labelled`), 2D terms annotated joints only.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.observation import GroundTruth
from pose2mesh.datasets.synthetic.pose_tree import to_local
from pose2mesh.models.losses import masked_l1


@dataclass
class ParameterWeights:
    """Weights of the terms of `parameter_losses`, with the same defaults in all methods that use it.

    Attributes:
        rotations: Bone rotations, per matrix entry.
        shape: Phenotypes, per range of adults.
        joints: 3D joints, per metre.
        keypoints: Projected 2D joints, per half side of the crop.
    """

    rotations: float = 1.0
    shape: float = 0.1
    joints: float = 5.0
    keypoints: float = 5.0


def parameter_losses(
    prediction: BodyParameters, ground_truth: GroundTruth, layer: BodyLayer, weights: ParameterWeights | None = None
) -> dict[str, Tensor]:
    """All four terms by name, weighted."""
    weights = weights or ParameterWeights()
    joints = layer.joints(prediction)
    return {
        "rotations": weights.rotations
        * rotation_loss(prediction.rotations, ground_truth.orientations, ground_truth.labelled),
        "shape": weights.shape * shape_loss(prediction.shape, ground_truth.phenotypes, ground_truth.labelled, layer),
        "joints": weights.joints
        * joint_loss(joints, ground_truth.joints, ground_truth.labelled, layer.joint_set.root_index),
        "keypoints": weights.keypoints
        * keypoint_loss(prediction.project(joints), ground_truth.joints_2d, ground_truth.visible),
    }


def rotation_loss(rotations: Tensor, orientations: Tensor, labelled: Tensor) -> Tensor:
    """Difference of rotations (B, 22, 3, 3) relative to the parents from true orientations (B, 22, 3, 3)."""
    return masked_l1(rotations.flatten(2), to_local(orientations).flatten(2), labelled[:, None])


def shape_loss(shape: Tensor, phenotypes: Tensor, labelled: Tensor, layer: BodyLayer) -> Tensor:
    """Difference of shapes (B, 6) in logits from true phenotypes (B, 6)."""
    target = (phenotypes - layer.low) / (layer.high - layer.low)
    return masked_l1(shape.sigmoid()[:, None], target[:, None], labelled[:, None])


def joint_loss(joints: Tensor, ground_truth: Tensor, labelled: Tensor, root_index: int) -> Tensor:
    """Difference of joints (B, J, 3), about any origin, from true joints (B, J, 3) relative to the root joint."""
    return masked_l1(joints - joints[:, root_index, None], ground_truth, labelled[:, None])


def keypoint_loss(projected: Tensor, joints_2d: Tensor, visible: Tensor) -> Tensor:
    """Difference of projected joints (B, J, 2) from annotated joints, weighted by their visibility (B, J)."""
    return masked_l1(projected, joints_2d, visible)
