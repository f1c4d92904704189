"""Arnab, Doersch and Zisserman 2019 (arXiv 1905.04266): one shape, all poses and cameras of a video fitted together.

To the energy of the single-frame fit come terms between the frames: joints move steadily, in 3D about the hips and in
the picture, and stay near those of the single-frame fits, where everything starts. All are summed over the frames of a
video and minimised at once. A picture is a video of one frame.

The paper's second half, a regressor retrained on such fits, is `retrained`; there the start is HMR's guess.

Differs from the paper: the body is Anny; the single-frame start is SMPLify's instead of HMR's; and what is kept small
is how the joints' motion changes, not the motion itself. Over four training clips with noisy 2D, second differences
gave 69 mm of MPJPE and an acceleration error of 14 to 26 mm/frame², first ones 77 mm and 41: they slow what moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pose2mesh.baselines.common import energy_terms
from pose2mesh.baselines.common.fitting import Extra, FitState, FitTarget, Fitter, PosedBodies, Weights
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate
from pose2mesh.baselines.methods.smplify import CHUNK, SMPLify


@dataclass(frozen=True)
class VideoWeights:
    """Weights of the terms between frames.

    Attributes:
        smooth_3d: Per squared metre of the joints' second difference, about the hips.
        smooth_2d: The same in the picture, per squared unit of the person's size.
        start: Per squared metre from the single-frame start.
        start_robust_m: Joints farther from it than that hardly pull.
    """

    smooth_3d: float = 1000.0
    smooth_2d: float = 5.0
    start: float = 10.0
    start_robust_m: float = 0.1


class Arnab:
    """The method as a `Baseline`.

    Args:
        single: The single-frame fit.
        weights: Of the energy of a frame; the single-frame fit's by default.
        video: Of the terms between frames.
        rounds: Of the descent.
    """

    name = "arnab"

    def __init__(
        self,
        single: SMPLify,
        weights: Weights | None = None,
        video: VideoWeights | None = None,
        rounds: int = 100,
    ) -> None:
        self.single, self.fitter, self.joint_set = single, single.fitter, single.joint_set
        self.weights, self.video, self.rounds = weights or single.weights, video or VideoWeights(), rounds

    def __call__(self, observed: BaselineInput) -> BodyEstimate:
        return self.fitter.estimate(*self.fit(observed, self.start(observed)))

    def fit(self, observed: BaselineInput, alone: FitState) -> tuple[FitState, FitTarget]:
        """The bodies of all frames, each person's of one shape, and what they were fitted to.

        Args:
            observed: The videos.
            alone: Every frame fitted alone.
        """
        target = FitTarget.of(observed.joints_px, observed.confidence, observed.person, self.joint_set)
        start = replace(alone, shape=mean_shapes(alone.shape, target.person))
        start = self.fitter.with_camera(start, target)
        extra = between_frames(self.fitter, start, target, self.video)
        return self.fitter.fit(target, start, self.weights, self.rounds, extra=extra)[0], target

    def start(self, observed: BaselineInput) -> FitState:
        """Every frame fitted alone: (B,) people of one frame each."""
        parts = [self.single.fit(part)[0] for part in observed.parts(CHUNK)]
        return FitState(*(torch.cat([getattr(part, name) for part in parts]) for name in FitState.__dataclass_fields__))


def mean_shapes(shapes: Tensor, person: Tensor) -> Tensor:
    """(P, 6) the mean of the shapes (B, 6) of each person's frames (B,)."""
    people = int(person.max()) + 1
    total = shapes.new_zeros(people, shapes.shape[1]).index_add(0, person, shapes)
    return total / torch.bincount(person, minlength=people)[:, None]


def between_frames(fitter: Fitter, start: FitState, target: FitTarget, video: VideoWeights) -> Extra:
    """The terms that a video adds to the energies of its frames.

    Args:
        fitter: Of the bodies.
        start: The frames alone, near which they stay.
        target: What they are fitted to.
        video: The terms' weights.
    """
    first = fitter.pose(start, target).joints.detach()
    middle = target.centre_px / target.unit_px[:, None]

    def extra(posed: PosedBodies) -> Tensor:
        moved = video.smooth_3d * energy_terms.unsteadiness(posed.joints, target.person)
        moved = moved + video.smooth_2d * energy_terms.unsteadiness(posed.projected + middle[:, None], target.person)
        return moved + video.start * energy_terms.distance(posed.joints, first, video.start_robust_m)

    return extra
