"""SMPLify (Bogo et al. 2016, arXiv 1607.08128): a body fitted to 2D joints alone, one frame at a time.

The energy is the robust reprojection of the joints, weighted by their confidence, plus what is known of people without
looking: a mixture of Gaussians over poses, joints that bend one way, shapes near the average. First the camera and
where the hips face are found from the trunk, then everything.

Differs from the paper: the body is Anny; four directions are tried instead of two; a term against bodies that pass
through themselves is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter, Weights
from pose2mesh.baselines.common.initial_bodies import Start, better
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate

CHUNK = 256  # people at a time
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class Schedule:
    """What a fit does one after the other.

    Attributes:
        camera_rounds: For the camera and where the hips face, before all else.
        stages: Of the fit of everything: a factor for the residual beyond which joints hardly pull, and the rounds.
            Between guesses is chosen after the first.
    """

    camera_rounds: int
    stages: tuple[tuple[float, int], ...]


# From a start that knows nothing, far joints are to pull at first. (The paper loosens the pose prior instead: on the
# training clips that made no difference beside this.)
FROM_MEAN_POSE = Schedule(15, ((4.0, 40), (1.0, 40)))
FROM_NETWORK = Schedule(0, ((1.0, 50),))


class SMPLify:
    """The method as a `Baseline`.

    Args:
        name: As `--model` takes it.
        fitter: Of the body.
        start: Where to start from.
        schedule: How to go on from there.
        weights: Of the energy.
    """

    def __init__(
        self, name: str, fitter: Fitter, start: Start, schedule: Schedule, weights: Weights | None = None
    ) -> None:
        self.name, self.fitter, self.joint_set = name, fitter, fitter.joint_set
        self.start, self.schedule, self.weights = start, schedule, weights or Weights()

    def __call__(self, observed: BaselineInput) -> BodyEstimate:
        return BodyEstimate.joined([self.fitter.estimate(*self.fit(part)) for part in observed.single_frames(CHUNK)])

    def fit(self, observed: BaselineInput) -> tuple[FitState, FitTarget]:
        """The bodies of frames that are each another person's, and what they were fitted to."""
        target = FitTarget.of(observed.joints_px, observed.confidence, observed.person, self.joint_set)
        first, *others = self.schedule.stages
        found = []
        for guess in self.start(self.fitter, target, observed):
            guess, _ = self.fitter.fit(
                self._trunk(target), guess, self.weights, self.schedule.camera_rounds, camera_only=True
            )
            found.append(self._stage(target, guess, *first))
        bodies = better(found)
        for stage in others:
            bodies, _ = self._stage(target, bodies, *stage)
        return bodies, target

    def _stage(self, target: FitTarget, guess: FitState, robust: float, rounds: int) -> tuple[FitState, Tensor]:
        weights = replace(self.weights, robust=robust * self.weights.robust)
        return self.fitter.fit(target, guess, weights, rounds)

    def _trunk(self, target: FitTarget) -> FitTarget:
        """Only shoulders and hips count, where at least three of them are seen."""
        columns = [self.joint_set.index(name) for name in _TRUNK]
        alone = torch.zeros_like(target.weight)
        alone[:, columns] = target.weight[:, columns]
        enough = (target.weight[:, columns] > 0).sum(1, keepdim=True) >= 3
        return replace(target, weight=torch.where(enough, alone, target.weight))
