"""HMR's network without critics, that fits may teach: what SPIN and the retraining of Arnab et al. have in common."""

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
    """A picture to a body's parameters.

    Args:
        layer: The body.
        iterations: Corrections of the mean body.

    Attributes:
        teacher: Makes and remembers fits, if there are any, once the method is prepared for training.
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
