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

from dataclasses import replace

import torch
from torch import Tensor

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Weights
from pose2mesh.baselines.common.temporal_terms import VideoWeights, video_energy
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate
from pose2mesh.baselines.methods.smplify import CHUNK, SMPLify


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
        video_term = video_energy(self.fitter, start, target, self.video)
        return self.fitter.fit(target, start, self.weights, self.rounds, term=video_term)[0], target

    def start(self, observed: BaselineInput) -> FitState:
        """Every frame fitted alone: (B,) people of one frame each."""
        parts = [self.single.fit(part)[0] for part in observed.single_frames(CHUNK)]
        return FitState(*(torch.cat([getattr(part, name) for part in parts]) for name in FitState.__dataclass_fields__))


def mean_shapes(shapes: Tensor, person: Tensor) -> Tensor:
    """(P, 6) the mean of the shapes (B, 6) of each person's frames (B,)."""
    people = int(person.max()) + 1
    total = shapes.new_zeros(people, shapes.shape[1]).index_add(0, person, shapes)
    return total / torch.bincount(person, minlength=people)[:, None]
