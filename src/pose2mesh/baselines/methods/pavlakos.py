"""Pavlakos, Zhu, Zhou and Daniilidis 2018 (arXiv 1805.04092): pose from the joints, shape from the silhouette.

The pose network takes the 2D joints and their confidences (positions and values of the maxima of joint heat maps), the
shape network the silhouette. Training has three parts: the first supervises the parameters; the second adds losses of
the posed surface, vertex by vertex; the third adds samples without 3D labels, with losses of their reprojected joints
and of the overlap of their silhouettes.

Differs from the paper: the body and the sizes of the networks; heat maps and silhouettes are given, with simulated
detection errors, instead of predicted by a network that is trained jointly; the terms of a part of the training stay in
the next, since small bodies minimise the surface loss as long as poses are wrong; of the surface, only the vertices of
the soft silhouette are posed; the gradient of the silhouette is that of discs (`soft_silhouette`) instead of a
renderer's pixel differences, its loss the overlap; the camera is solved in closed form; six numbers a rotation;
absolute differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.baseline_camera import solve_camera
from pose2mesh.baselines.common.baseline_losses import joint_loss, keypoint_loss, rotation_loss, shape_loss
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.parameter_regressor import mean_parameters, near_zero_layer
from pose2mesh.baselines.common.soft_silhouette import SoftSilhouette, overlap_loss
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import MAP_PX, GroundTruth, Need, Observation
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.geometry.rotations import rotation_from_six, six_of_rotation
from pose2mesh.models.losses import masked_l1
from pose2mesh.models.posenet import ResidualBlock
from pose2mesh.skeletons import JointSet

_SHAPE_WIDTHS = (16, 32, 64, 96, 128)  # channels of the shape network's levels, each half the size of the one before
_LEAST_WEIGHT = 1e-4  # of a missing joint, so that a camera can be solved where all joints are missing


@dataclass
class PavlakosSettings:
    """Settings of the method.

    Attributes:
        silhouette: Whether silhouettes are used. If not, the shape is predicted from the joints, and there is no
            overlap loss.
        width: Width of the pose network.
        blocks: Residual blocks of the pose network.
        dropout: Dropout of the pose network.
        surface_from: Share of the training, from 0 to 1, after which the surface losses are added.
        pictures_from: Share of the training after which the losses of samples without 3D labels are added.
        rotations: Weight of bone rotations, per matrix entry.
        shape: Weight of phenotypes, per range of adults.
        vertices: Weight of the surface, per metre.
        joints: Weight of 3D joints, per metre.
        keypoints: Weight of projected 2D joints, per half side of the crop.
        overlap: Weight of one minus the intersection over union of the silhouettes.
    """

    silhouette: bool = True
    width: int = 512
    blocks: int = 2
    dropout: float = 0.1
    surface_from: float = 0.3
    pictures_from: float = 0.6
    rotations: float = 1.0
    shape: float = 3.0
    vertices: float = 5.0
    joints: float = 5.0
    keypoints: float = 2.0
    overlap: float = 0.1


class Pavlakos(LearnedBaseline):
    """The method as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"silhouettes"})
    mean: Tensor

    def __init__(self, layer: BodyLayer, settings: PavlakosSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or PavlakosSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        self.pose = FromJoints(self.joint_set, 6 * len(BODY_BONES), self.settings)
        self.shape: nn.Module = (
            FromSilhouette() if self.settings.silhouette else FromJoints(self.joint_set, len(PHENOTYPES), self.settings)
        )
        self.silhouette = SoftSilhouette(layer.body)
        self.poser = BodySynthesiser(layer.body, self.joint_set, self.silhouette.vertices)
        self.register_buffer("mean", six_of_rotation(mean_parameters(layer).rotations[0]), persistent=False)

    def forward(self, observation: Observation) -> BodyParameters:
        """Bodies with the cameras that fit the detected 2D joints best."""
        prediction = self.bodies(observation)
        return _with_camera(prediction, self.layer.joints(prediction), observation.joints, observation.confidence)

    def bodies(self, observation: Observation) -> BodyParameters:
        """Bodies with a placeholder camera (scale 1, shift 0)."""
        rotations = rotation_from_six(self.mean + self.pose(observation).reshape(-1, *self.mean.shape))
        shape = self.shape(observation)
        return BodyParameters(shape, rotations, torch.zeros_like(shape[:, 0]), torch.zeros_like(shape[:, :2]))

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`."""
        prediction = self.bodies(observation)
        terms = self._parameter_losses(prediction, ground_truth)
        if progress >= self.settings.surface_from:
            joints, points, root = self.poser(self.layer.phenotypes(prediction.shape), prediction.orientations)
            terms |= self._surface_losses(joints, points, ground_truth)
            if progress >= self.settings.pictures_from:
                terms |= self._image_losses(
                    prediction, joints + root[:, None], points + root[:, None], observation, ground_truth
                )
        return terms

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(observation))

    def _parameter_losses(self, prediction: BodyParameters, ground_truth: GroundTruth) -> dict[str, Tensor]:
        rotations = rotation_loss(prediction.rotations, ground_truth.orientations, ground_truth.labelled)
        shape = shape_loss(prediction.shape, ground_truth.phenotypes, ground_truth.labelled, self.layer)
        return {"rotations": self.settings.rotations * rotations, "shape": self.settings.shape * shape}

    def _surface_losses(self, joints: Tensor, points: Tensor, ground_truth: GroundTruth) -> dict[str, Tensor]:
        """Terms of joints (B, J, 3) and vertices of the silhouette (B, 2N, 3) relative to the root joint, metres."""
        with torch.no_grad():
            _, true_points, _ = self.poser(ground_truth.phenotypes, ground_truth.orientations)
        vertices = masked_l1(points, true_points, ground_truth.labelled[:, None])
        at_joints = joint_loss(joints, ground_truth.joints, ground_truth.labelled, self.joint_set.root_index)
        return {"vertices": self.settings.vertices * vertices, "joints": self.settings.joints * at_joints}

    def _image_losses(
        self,
        prediction: BodyParameters,
        joints: Tensor,
        points: Tensor,
        observation: Observation,
        ground_truth: GroundTruth,
    ) -> dict[str, Tensor]:
        """Terms of joints (B, J, 3) and vertices of the silhouette (B, 2N, 3) relative to the hips, metres."""
        # The camera is solved from annotated joints, so that detection errors do not enter the loss of the body.
        prediction = _with_camera(prediction, joints, ground_truth.joints_2d, ground_truth.visible)
        keypoints = keypoint_loss(prediction.project(joints), ground_truth.joints_2d, ground_truth.visible)
        terms = {"keypoints": self.settings.keypoints * keypoints}
        if self.settings.silhouette:
            assert observation.silhouettes is not None
            # A probability is not a coverage: low probabilities would pull towards thin bodies.
            covered = (observation.silhouettes > 0.5).to(points.dtype)
            target = nn.functional.adaptive_avg_pool2d(covered, self.silhouette.size)
            overlap = overlap_loss(self.silhouette(points, prediction), target, ~ground_truth.labelled)
            terms["overlap"] = self.settings.overlap * overlap
        return terms


class FromJoints(nn.Module):
    """A residual network like the lifter's (Martinez et al. 2017), from 2D joints and their confidences.

    Args:
        joint_set: Joint set of the input.
        numbers: Number of outputs.
        settings: Width, blocks and dropout.
    """

    def __init__(self, joint_set: JointSet, numbers: int, settings: PavlakosSettings) -> None:
        super().__init__()
        width = settings.width
        blocks = (ResidualBlock(width, settings.dropout) for _ in range(settings.blocks))
        self.layers = nn.Sequential(nn.Linear(3 * len(joint_set), width), *blocks, near_zero_layer(width, numbers))

    def forward(self, observation: Observation) -> Tensor:
        """(B, numbers)."""
        output: Tensor = self.layers(
            torch.cat((observation.joints, observation.confidence[..., None]), dim=-1).flatten(1)
        )
        return output


class FromSilhouette(nn.Module):
    """Predicts the shape from the silhouette.

    Five convolutions, each followed by max pooling to half the size, and two linear layers.
    """

    def __init__(self) -> None:
        super().__init__()
        levels: list[nn.Module] = []
        for before, width in zip((1, *_SHAPE_WIDTHS), _SHAPE_WIDTHS, strict=False):
            levels += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            levels += [nn.BatchNorm2d(width), nn.ReLU()]
        places = (MAP_PX >> len(_SHAPE_WIDTHS)) ** 2
        hidden = nn.Linear(places * _SHAPE_WIDTHS[-1], 2 * _SHAPE_WIDTHS[-1])
        self.levels = nn.Sequential(*levels)
        self.head = nn.Sequential(
            nn.Flatten(), hidden, nn.ReLU(), near_zero_layer(hidden.out_features, len(PHENOTYPES))
        )

    def forward(self, observation: Observation) -> Tensor:
        """(B, 6) phenotypes as logits; in training, the convolutions run in bfloat16."""
        assert observation.silhouettes is not None
        with torch.autocast(observation.silhouettes.device.type, torch.bfloat16, enabled=self.training):
            output = self.levels(observation.silhouettes[:, None].contiguous(memory_format=torch.channels_last))
        shape: Tensor = self.head(output.float())
        return shape


def _with_camera(prediction: BodyParameters, joints: Tensor, observation: Tensor, weight: Tensor) -> BodyParameters:
    """The same bodies with the cameras that project their joints (B, J, 3), relative to the hips, nearest to 2D joints.

    Args:
        prediction: The bodies.
        joints: Their 3D joints.
        observed: (B, J, 2) in units of the crop.
        weight: (B, J).
    """
    scale, shift_m = solve_camera(joints, observation, weight.clamp_min(_LEAST_WEIGHT))
    return replace(prediction, log_scale=scale.log(), shift_m=shift_m)
