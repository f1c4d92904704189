"""HMR's network without the discriminator, supervised by fits: shared by SPIN and the retraining of Arnab et al."""

from __future__ import annotations

from typing import ClassVar

import torch

from pose2mesh.baselines.common.backbone import FEATURES, Backbone
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.fit_buffer import FitSupervisor
from pose2mesh.baselines.common.parameter_regressor import ParameterRegressor
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import Need, Observation


class FitSupervisedRegressor(LearnedBaseline):
    """Predicts body parameters from images.

    Args:
        layer: The body layer.
        iterations: Number of corrections of the mean body.

    Attributes:
        teacher: Fits bodies and stores the fits in training; None at inference and in runs without fits. The name is
            part of the keys of checkpoints.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"images"})

    def __init__(self, layer: BodyLayer, iterations: int) -> None:
        super().__init__()
        self.layer, self.joint_set = layer, layer.joint_set
        self.backbone = Backbone()
        self.regressor = ParameterRegressor(FEATURES, layer, iterations)
        self.teacher: FitSupervisor | None = None

    def drop_training_state(self) -> None:
        """See `LearnedBaseline`."""
        self.teacher = None

    def forward(self, observation: Observation) -> BodyParameters:
        assert observation.images is not None
        predictions: list[BodyParameters] = self.regressor(self.backbone(observation.images).vector)
        return predictions[-1]

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(observation))
