"""SMPLify (Bogo et al. 2016, arXiv 1607.08128): a body fitted to 2D joints alone, one frame at a time.

The energy is the robust reprojection of the joints, weighted by their confidence, plus what is known of people without
looking: a mixture of Gaussians over poses, joints that bend one way, shapes near the average. First the camera and
where the hips face are found from the trunk, then everything, under a prior that is loosened step by step.

Differs from the paper: the body is Anny; four directions are tried instead of two; a term against bodies that pass
through themselves is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from pose2mesh.baselines.fitting import Bodies, Fitter, Target, Weights
from pose2mesh.baselines.interface import Estimate, Observed
from pose2mesh.baselines.starts import Start, better

CHUNK = 256  # people at a time
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class Schedule:
    """What a fit does one after the other.

    Attributes:
        camera_rounds: For the camera and where the hips face, before all else.
        pose: The factors of the pose prior's weight, stage by stage.
        rounds: Of each stage.
    """

    camera_rounds: int = 15
    pose: tuple[float, ...] = (4.0, 1.0)
    rounds: tuple[int, ...] = (30, 50)


class SMPLify:
    """The method as a `Baseline`.

    Args:
        fitter: Of the body.
        start: Where to start from.
        name: As `--model` takes it.
        weights: Of the energy.
        schedule: Of the stages.
    """

    def __init__(
        self, fitter: Fitter, start: Start, name: str, weights: Weights | None = None, schedule: Schedule | None = None
    ) -> None:
        self.fitter, self.start, self.name, self.joint_set = fitter, start, name, fitter.joint_set
        self.weights, self.schedule = weights or Weights(), schedule or Schedule()

    def __call__(self, observed: Observed) -> Estimate:
        frames = len(observed.joints_px)
        parts = []
        for chosen in torch.arange(frames).split(CHUNK):
            alone = Observed(observed.joints_px[chosen], observed.confidence[chosen], torch.arange(len(chosen)))
            parts.append(self.fitter.estimate(*self.fit(alone)))
        return Estimate.joined(parts)

    def fit(self, observed: Observed) -> tuple[Bodies, Target]:
        """The bodies of frames that are each another person's, and what they were fitted to."""
        target = Target.of(observed.joints_px, observed.confidence, observed.person, self.joint_set)
        found = []
        for guess in self.start(self.fitter, target, observed):
            guess, _ = self.fitter.fit(
                self._trunk(target), guess, self.weights, self.schedule.camera_rounds, camera_only=True
            )
            found.append(self._stage(target, guess, 0))
        bodies = better(found)
        for stage in range(1, len(self.schedule.pose)):
            bodies, _ = self._stage(target, bodies, stage)
        return bodies, target

    def _stage(self, target: Target, guess: Bodies, stage: int):
        weights = replace(self.weights, pose=self.weights.pose * self.schedule.pose[stage])
        return self.fitter.fit(target, guess, weights, self.schedule.rounds[stage])

    def _trunk(self, target: Target) -> Target:
        """Only shoulders and hips count, where at least three of them are seen."""
        columns = [self.joint_set.index(name) for name in _TRUNK]
        alone = torch.zeros_like(target.weight)
        alone[:, columns] = target.weight[:, columns]
        enough = (target.weight[:, columns] > 0).sum(1, keepdim=True) >= 3
        return replace(target, weight=torch.where(enough, alone, target.weight))
