"""SMPLify (Bogo et al. 2016, arXiv 1607.08128): a body fitted to 2D joints, one frame at a time.

The energy is the robust reprojection error of the joints, weighted by their confidence, plus priors: a Gaussian mixture
over poses, joint limits, and the distance from the middle shape. First the camera and the orientation of the hips are
fitted to the trunk, then all unknowns to all joints.

Differs from the paper: the body is Anny; four initial directions instead of two; no term against self-intersection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter, Weights
from pose2mesh.baselines.common.initial_bodies import Start, better
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate

CHUNK = 256  # frames fitted at a time
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class Schedule:
    """Stages of a fit.

    Attributes:
        camera_rounds: Evaluations for the camera and the orientation of the hips, before all stages.
        stages: Stages with all unknowns: the factor of `Weights.robust`, and the evaluations. Among several starts, the
            best is selected after the first stage.
    """

    camera_rounds: int
    stages: tuple[tuple[float, int], ...]


# Far from the solution, joints with large residuals must keep their influence at first. (The paper weakens the pose
# prior instead; on the training clips that made no difference in addition to this.)
FROM_MEAN_POSE = Schedule(15, ((4.0, 40), (1.0, 40)))
FROM_NETWORK = Schedule(0, ((1.0, 50),))


class SMPLify:
    """The method as a `FittingBaseline`.

    Args:
        name: Its name for `--model`.
        fitter: Fitter of the body model.
        start: Computes the initial states.
        schedule: Stages of the fit.
        weights: Weights of the energy terms.
    """

    def __init__(
        self, name: str, fitter: Fitter, start: Start, schedule: Schedule, weights: Weights | None = None
    ) -> None:
        self.name, self.fitter, self.joint_set = name, fitter, fitter.joint_set
        self.start, self.schedule, self.weights = start, schedule, weights or Weights()

    def __call__(self, observed: BaselineInput) -> BodyEstimate:
        return BodyEstimate.joined([self.fitter.estimate(*self.fit(part)) for part in observed.single_frames(CHUNK)])

    def fit(self, observed: BaselineInput) -> tuple[FitState, FitTarget]:
        """The fitted state of frames, each of a different person, and the target of the fit."""
        target = FitTarget.of(observed.joints_px, observed.confidence, observed.person, self.joint_set)
        first, *others = self.schedule.stages
        fits = []
        for start in self.start(self.fitter, target, observed):
            start, _ = self.fitter.fit(
                self._trunk(target), start, self.weights, self.schedule.camera_rounds, camera_only=True
            )
            fits.append(self._stage(target, start, *first))
        bodies = better(fits)
        for stage in others:
            bodies, _ = self._stage(target, bodies, *stage)
        return bodies, target

    def _stage(self, target: FitTarget, start: FitState, robust: float, rounds: int) -> tuple[FitState, Tensor]:
        weights = replace(self.weights, robust=robust * self.weights.robust)
        return self.fitter.fit(target, start, weights, rounds)

    def _trunk(self, target: FitTarget) -> FitTarget:
        """The target with shoulders and hips only, for frames in which at least three of them are detected."""
        columns = [self.joint_set.index(name) for name in _TRUNK]
        trunk_only = torch.zeros_like(target.weight)
        trunk_only[:, columns] = target.weight[:, columns]
        enough = (target.weight[:, columns] > 0).sum(1, keepdim=True) >= 3
        return replace(target, weight=torch.where(enough, trunk_only, target.weight))
