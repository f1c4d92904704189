"""HMR (Kanazawa, Black, Jacobs and Malik 2018, arXiv 1712.06584): predicts body parameters from an image, with an
adversarial prior.

A regressor corrects the mean body three times, from the features of the image. The last prediction is supervised by the
2D joints of all samples, and by 3D joints and parameters where these are given. Every prediction is scored by a
discriminator, trained on poses of motion clips and on shapes without images.

Differs from the paper: the body; the backbone, pre-trained to find parts, joints and landmarks (`reader`) instead of on
ImageNet; a perspective camera; absolute differences for all supervised terms, where the paper squares those in 3D; one
optimiser and one learning rate for the network and the discriminator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pose2mesh.baselines.common.backbone import FEATURES, Backbone
from pose2mesh.baselines.common.baseline_losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.discriminator import (
    Discriminator,
    DiscriminatorInput,
    adversarial_loss,
    discriminator_loss,
)
from pose2mesh.baselines.common.parameter_regressor import ParameterRegressor
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Need, Observation
from pose2mesh.datasets.synthetic.pose_tree import to_local


@dataclass
class HMRSettings:
    """Settings of HMR.

    Attributes:
        iterations: Number of corrections of the mean body.
        weights: Weights of the supervised terms.
        critics: Whether there is a discriminator.
        adversarial: Weight of the adversarial terms. If it is too large, the network diverges while the discriminator
            is still untrained.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    critics: bool = True
    adversarial: float = 0.01


class HMR(LearnedBaseline):
    """HMR as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"images"})

    def __init__(self, layer: BodyLayer, settings: HMRSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or HMRSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        self.backbone = Backbone()
        self.regressor = ParameterRegressor(FEATURES, layer, self.settings.iterations)
        # The name is that of the weights in bundles.
        self.critics = Discriminator() if self.settings.critics else None
        self.prior_bodies: DiscriminatorInput | None = None

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Set the real bodies of the discriminator."""
        shapes = (phenotypes - self.layer.low) / (self.layer.high - self.layer.low)
        self.prior_bodies = DiscriminatorInput(to_local(orientations)[:, 1:], shapes)

    def forward(self, observation: Observation) -> list[BodyParameters]:
        """Parameters after each correction; the last are the final prediction."""
        assert observation.images is not None
        predictions: list[BodyParameters] = self.regressor(self.backbone(observation.images).vector)
        return predictions

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`."""
        predictions = self(observation)
        terms = parameter_losses(predictions[-1], ground_truth, self.layer, self.settings.weights)
        if self.critics is not None:
            predicted = _discriminator_input(predictions)
            prior_bodies = self._sample_prior(len(predicted.shapes))
            # Both terms have the same weight. Under Adam the scale of its loss does not matter to the discriminator;
            # unweighted, its term would be ten times all others and dominate the norm for gradient clipping.
            terms["adversarial"] = self.settings.adversarial * adversarial_loss(self.critics, predicted)
            terms["critics"] = self.settings.adversarial * discriminator_loss(self.critics, prior_bodies, predicted)
        return terms

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(observation)[-1])

    def _sample_prior(self, count: int) -> DiscriminatorInput:
        """Random poses and shapes, sampled independently: the prior does not model pairs of both."""
        assert self.prior_bodies is not None, "HMR with a discriminator: `prepare` was not called"
        rotations, shapes = self.prior_bodies.rotations, self.prior_bodies.shapes
        pose, shape = (torch.randint(len(values), (count,), device=values.device) for values in (rotations, shapes))
        return DiscriminatorInput(rotations[pose], shapes[shape])


def _discriminator_input(predictions: list[BodyParameters]) -> DiscriminatorInput:
    rotations = torch.cat([prediction.rotations[:, 1:] for prediction in predictions])
    return DiscriminatorInput(rotations, torch.cat([prediction.shape for prediction in predictions]).sigmoid())
