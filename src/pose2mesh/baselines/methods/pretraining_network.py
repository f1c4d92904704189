"""The reader: a picture to its parts, its silhouette, 2D joints and landmarks. It gives no bodies.

It has two uses. Its backbone is where all methods for pictures start from, as those of the literature start from
ImageNet: it has seen people in 2D, and nothing of 3D. And on photos it stands for the detectors that NBF, Pavlakos et
al. and Lassner et al. build on.

Joints are told from the vector alone, which is what methods for pictures go on from. A landmark is told as the mean
place of a map that says where it may be (integral regression, Sun et al. 2018): nearer to the truth. Of each point one
number says whether it is in the picture at all.
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

CHUNK = 256  # pictures read at a time


@dataclass
class PretrainingSettings:
    """What it is trained for.

    Attributes:
        parts: Weight of the cross entropy of the part map.
        joints: Weight of the absolute difference of 2D joints, in units of the crop.
        landmarks: Likewise of landmarks.
        presence: Weight of the cross entropy of whether each joint and landmark is in the picture.
    """

    parts: float = 1.0
    joints: float = 5.0
    landmarks: float = 5.0
    presence: float = 0.2


@dataclass(frozen=True)
class PretrainingOutput:
    """What is read off `B` pictures.

    Attributes:
        parts: (B, PARTS + 1, 32, 32) logits of the parts, and of the background.
        joints: (B, J, 2) in units of the crop.
        landmarks: (B, LANDMARKS, 2) likewise.
        joint_presence: (B, J) logits of being in the picture.
        landmark_presence: (B, LANDMARKS) likewise.
    """

    parts: Tensor
    joints: Tensor
    landmarks: Tensor
    joint_presence: Tensor
    landmark_presence: Tensor


class PretrainingNetwork(LearnedBaseline):
    """A `LearnedBaseline` as far as training goes.

    Args:
        layer: Of whose joints it reads.
        settings: What it is trained for.
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

    def forward(self, pictures: Tensor) -> PretrainingOutput:
        """Pictures (B, 3, CROP_PX, CROP_PX)."""
        features = self.backbone(pictures)
        fine = self.fine(features)
        joints = self.joints(features.vector).unflatten(1, (-1, 2))
        landmarks = mean_places(self.landmarks(nn.functional.avg_pool2d(fine, 2)))
        presence = self.presence(features.vector).split((len(self.joint_set), LANDMARKS), dim=1)
        return PretrainingOutput(self.parts(fine), joints, landmarks, *presence)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`. The maps and landmarks of `seen` are the truth."""
        assert observation.images is not None
        assert observation.parts is not None
        reading, weights = self(observation.images), self.settings
        terms = {
            "parts": weights.parts * part_loss(reading.parts, observation.parts),
            "joints": weights.joints * masked_l1(reading.joints, ground_truth.joints_2d, ground_truth.visible),
            "joint_presence": weights.presence * _presence_loss(reading.joint_presence, ground_truth.visible),
        }
        if observation.landmarks is not None and observation.landmark_confidence is not None:
            known = observation.landmark_confidence * (observation.landmarks.abs() <= 1).all(-1)
            terms["landmarks"] = weights.landmarks * masked_l1(reading.landmarks, observation.landmarks, known)
            terms["landmark_presence"] = weights.presence * _presence_loss(reading.landmark_presence, known)
        return terms

    @torch.no_grad()
    def read(self, observation: Observation) -> Observation:
        """The same people with parts, silhouettes and landmarks as found in their pictures; in evaluation mode."""
        assert observation.images is not None
        parts, landmarks, presence = [], [], []
        for pictures in observation.images.split(CHUNK):
            reading = self(pictures)
            larger = nn.functional.interpolate(reading.parts, (MAP_PX, MAP_PX), mode="bilinear")
            parts.append(larger.softmax(1))
            landmarks.append(reading.landmarks)
            presence.append(reading.landmark_presence.sigmoid())
        maps = torch.cat(parts)
        return replace(
            observation,
            parts=maps[:, :PARTS],
            silhouettes=1 - maps[:, PARTS],
            landmarks=torch.cat(landmarks),
            landmark_confidence=torch.cat(presence),
        )

    def estimate(self, observation: Observation) -> BodyEstimate:
        """None.

        Raises:
            InputError: always.
        """
        raise InputError("method reader: it reads parts and points off pictures, and gives no bodies")


def mean_places(maps: Tensor) -> Tensor:
    """Where points are expected, in units of the crop (B, N, 2), from logits of their places (B, N, S, S)."""
    share = maps.float().flatten(2).softmax(-1).reshape(maps.shape)
    size = maps.shape[-1]
    place = (torch.arange(size, device=maps.device) + 0.5) * (2 / size) - 1
    return torch.stack((share.sum(-2) @ place, share.sum(-1) @ place), dim=-1)


def part_loss(logits: Tensor, parts: Tensor) -> Tensor:
    """Cross entropy of part maps' logits (B, PARTS + 1, 32, 32) with shares of parts (B, PARTS, MAP_PX, MAP_PX)."""
    shares = nn.functional.avg_pool2d(parts, MAP_PX // SIZES[0])
    background = 1 - shares.sum(1, keepdim=True)
    return nn.functional.cross_entropy(logits.float(), torch.cat((shares, background), dim=1))


def _presence_loss(logits: Tensor, known: Tensor) -> Tensor:
    """Cross entropy of logits (B, N) of being in the picture with (B, N), above 0 where it is known to be."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), (known > 0).to(logits.dtype))
