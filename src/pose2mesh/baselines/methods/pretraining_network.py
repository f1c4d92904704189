"""The pre-training network (`reader`): predicts part map, silhouette, 2D joints and landmarks of an image, no bodies.

It has two uses. Its backbone initialises all image methods, as ImageNet does in the literature: it is trained on 2D
labels of people, without 3D labels. At inference on real images it replaces the detectors that
NBF, Pavlakos et al. and Lassner et al. build on.

Joints are predicted from the feature vector, which the image methods use. A landmark is the expected position
under a heat map (integral regression, Sun et al. 2018), which is more accurate. A presence score of each point says
whether it is in the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.backbone import FEATURES, FINE, SIZES, Backbone, FineMap
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import LANDMARKS, MAP_PX, PARTS, GroundTruth, Need, Observation
from pose2mesh.errors import InputError
from pose2mesh.models.losses import masked_l1

CHUNK = 256  # images of a batch in `detect`


@dataclass
class PretrainingSettings:
    """Weights of the losses.

    Attributes:
        parts: Cross entropy of the part map.
        joints: Absolute difference of 2D joints, in units of the crop.
        landmarks: Absolute difference of landmarks, in units of the crop.
        presence: Cross entropy of the presence of each joint and landmark in the image.
    """

    parts: float = 1.0
    joints: float = 5.0
    landmarks: float = 5.0
    presence: float = 0.2


@dataclass(frozen=True)
class PretrainingOutput:
    """Predictions for `B` images.

    Attributes:
        parts: (B, PARTS + 1, 32, 32) logits of the parts, and of the background.
        joints: (B, J, 2) in units of the crop.
        landmarks: (B, LANDMARKS, 2) in units of the crop.
        joint_presence: (B, J) logits of being in the image.
        landmark_presence: (B, LANDMARKS) logits of being in the image.
    """

    parts: Tensor
    joints: Tensor
    landmarks: Tensor
    joint_presence: Tensor
    landmark_presence: Tensor


class PretrainingNetwork(LearnedBaseline):
    """The network; a `LearnedBaseline` that can be trained but predicts no bodies.

    Args:
        layer: The body layer, for its joint set.
        settings: Weights of the losses.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"images", "parts", "landmarks"})
    exact_inputs: ClassVar[bool] = True
    predicts_bodies: ClassVar[bool] = False

    def __init__(self, layer: BodyLayer, settings: PretrainingSettings | None = None) -> None:
        super().__init__()
        self.settings, self.joint_set = settings or PretrainingSettings(), layer.joint_set
        joints = len(self.joint_set)
        self.backbone, self.fine = Backbone(), FineMap()
        self.parts = nn.Conv2d(FINE, PARTS + 1, 1)
        self.joints = nn.Linear(FEATURES, 2 * joints)
        self.landmarks = nn.Conv2d(FINE, LANDMARKS, 1)
        self.presence = nn.Linear(FEATURES, joints + LANDMARKS)

    def forward(self, images: Tensor) -> PretrainingOutput:
        """Predictions for images (B, 3, CROP_PX, CROP_PX)."""
        features = self.backbone(images)
        fine = self.fine(features)
        joints = self.joints(features.vector).unflatten(1, (-1, 2))
        landmarks = mean_places(self.landmarks(nn.functional.avg_pool2d(fine, 2)))
        presence = self.presence(features.vector).split((len(self.joint_set), LANDMARKS), dim=1)
        return PretrainingOutput(self.parts(fine), joints, landmarks, *presence)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`. The maps and landmarks of the observation are ground truth."""
        assert observation.images is not None
        assert observation.parts is not None
        output, weights = self(observation.images), self.settings
        terms = {
            "parts": weights.parts * part_loss(output.parts, observation.parts),
            "joints": weights.joints * masked_l1(output.joints, ground_truth.joints_2d, ground_truth.visible),
            "joint_presence": weights.presence * _presence_loss(output.joint_presence, ground_truth.visible),
        }
        if observation.landmarks is not None and observation.landmark_confidence is not None:
            visible = observation.landmark_confidence * (observation.landmarks.abs() <= 1).all(-1)
            terms["landmarks"] = weights.landmarks * masked_l1(output.landmarks, observation.landmarks, visible)
            terms["landmark_presence"] = weights.presence * _presence_loss(output.landmark_presence, visible)
        return terms

    @torch.no_grad()
    def detect(self, observation: Observation) -> Observation:
        """The observation with parts, silhouettes and landmarks detected in its images; in evaluation mode."""
        assert observation.images is not None
        parts, landmarks, presence = [], [], []
        for images in observation.images.split(CHUNK):
            output = self(images)
            larger = nn.functional.interpolate(output.parts, (MAP_PX, MAP_PX), mode="bilinear")
            parts.append(larger.softmax(1))
            landmarks.append(output.landmarks)
            presence.append(output.landmark_presence.sigmoid())
        maps = torch.cat(parts)
        return replace(
            observation,
            parts=maps[:, :PARTS],
            silhouettes=1 - maps[:, PARTS],
            landmarks=torch.cat(landmarks),
            landmark_confidence=torch.cat(presence),
        )

    def estimate(self, observation: Observation) -> BodyEstimate:
        """Not supported.

        Raises:
            InputError: always.
        """
        raise InputError("method reader detects parts and landmarks in images, and predicts no bodies")


def mean_places(maps: Tensor) -> Tensor:
    """Expected positions (B, N, 2), in units of the crop, under heat maps given as logits (B, N, S, S)."""
    share = maps.float().flatten(2).softmax(-1).reshape(maps.shape)
    size = maps.shape[-1]
    place = (torch.arange(size, device=maps.device) + 0.5) * (2 / size) - 1
    return torch.stack((share.sum(-2) @ place, share.sum(-1) @ place), dim=-1)


def part_loss(logits: Tensor, parts: Tensor) -> Tensor:
    """Cross entropy of part maps' logits (B, PARTS + 1, 32, 32) with shares of parts (B, PARTS, MAP_PX, MAP_PX)."""
    shares = nn.functional.avg_pool2d(parts, MAP_PX // SIZES[0])
    background = 1 - shares.sum(1, keepdim=True)
    return nn.functional.cross_entropy(logits.float(), torch.cat((shares, background), dim=1))


def _presence_loss(logits: Tensor, visible: Tensor) -> Tensor:
    """Cross entropy of presence logits (B, N); a point is present where `visible` (B, N) is above 0."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), (visible > 0).to(logits.dtype))
