"""HMR (Kanazawa, Black, Jacobs and Malik 2018, arXiv 1712.06584): a picture to a body's parameters, kept to what
bodies are like by critics.

The features of a picture go to the regressor that corrects the mean body three times. The last guess is held to the
2D joints of all people, and to 3D joints and parameters where these are known; every guess is held to fool the
critics, which see poses of motion clips and shapes of people that belong to no picture.

Differs from the paper: the body; the backbone, pre-trained as a reader of pictures (`reader`) instead of on ImageNet; a
camera with perspective; absolute differences for all supervised terms, where the paper squares those in 3D; one
optimiser for network and critics, with one learning rate.
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
from pose2mesh.datasets.synthetic.pose_sampling import to_local


@dataclass
class HMRSettings:
    """What an HMR is.

    Attributes:
        iterations: Corrections of the mean body.
        weights: Of the supervised terms.
        critics: Whether there are any.
        adversarial: Weight of fooling them. Too large, and the network runs away from critics that know little yet.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    critics: bool = True
    adversarial: float = 0.01


class HMR(LearnedBaseline):
    """The method.

    Args:
        layer: The body.
        settings: What it is.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"images"})

    def __init__(self, layer: BodyLayer, settings: HMRSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or HMRSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        self.backbone = Backbone()
        self.regressor = ParameterRegressor(FEATURES, layer, self.settings.iterations)
        self.critics = Discriminator() if self.settings.critics else None
        self.people: DiscriminatorInput | None = None

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """The people that critics know."""
        shapes = (phenotypes - self.layer.low) / (self.layer.high - self.layer.low)
        self.people = DiscriminatorInput(to_local(orientations)[:, 1:], shapes)

    def forward(self, observation: Observation) -> list[BodyParameters]:
        """The guess after each correction, the last of all the best."""
        assert observation.images is not None
        predictions: list[BodyParameters] = self.regressor(self.backbone(observation.images).vector)
        return predictions

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`."""
        predictions = self(observation)
        terms = parameter_losses(predictions[-1], ground_truth, self.layer, self.settings.weights)
        if self.critics is not None:
            made_up = _of_guesses(predictions)
            people = self._some_people(len(made_up.shapes))
            # Of equal weight, which is nothing to how the critics learn under Adam: unweighted, their own term would
            # be ten times all others, and take up the norm that gradients are clipped to.
            terms["adversarial"] = self.settings.adversarial * adversarial_loss(self.critics, made_up)
            terms["critics"] = self.settings.adversarial * discriminator_loss(self.critics, people, made_up)
        return terms

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(observation)[-1])

    def _some_people(self, count: int) -> DiscriminatorInput:
        """Poses and shapes are drawn apart: either is as people's are, and no pair of them has to be."""
        assert self.people is not None, "HMR with critics was not prepared"
        rotations, shapes = self.people.rotations, self.people.shapes
        pose, shape = (torch.randint(len(known), (count,), device=known.device) for known in (rotations, shapes))
        return DiscriminatorInput(rotations[pose], shapes[shape])


def _of_guesses(predictions: list[BodyParameters]) -> DiscriminatorInput:
    rotations = torch.cat([prediction.rotations[:, 1:] for prediction in predictions])
    return DiscriminatorInput(rotations, torch.cat([prediction.shape for prediction in predictions]).sigmoid())
