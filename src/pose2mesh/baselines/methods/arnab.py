"""Arnab, Doersch and Zisserman 2019 (arXiv 1905.04266): one shape and all poses and cameras of a video, fitted jointly.

Terms between the frames are added to the energy of the single-frame fit: the second differences of the joints are kept
small, in 3D relative to the hips and in the image, and the joints stay close to those of the single-frame fits, which
are the start (`common/temporal_terms.py`). The energies of all frames are minimised together. An image is a video of
one frame.

The second part of the paper, a regressor retrained on such fits, is `retrained` (`hmr_video_fits.py`), where the start
is the prediction of HMR.

Differs from the paper: the body is Anny; the single-frame start is SMPLify's instead of HMR's; second differences of
the joints are penalised instead of first ones. Over four training clips with noisy 2D, second differences gave 69 mm of
MPJPE and an acceleration error of 14 to 26 mm/frame², first differences 77 mm and 41: they slow the motion down.
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
    """The method as a `FittingBaseline`.

    Args:
        single: The single-frame fit.
        weights: Weights of the energy of a frame; those of the single-frame fit by default.
        video: Weights of the terms between frames.
        rounds: Evaluations of the energy.
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

    def fit(self, observed: BaselineInput, single_frames: FitState) -> tuple[FitState, FitTarget]:
        """The fitted state of all frames, with one shape for each person, and the target of the fit.

        Args:
            observed: The videos.
            single_frames: The single-frame fits.
        """
        target = FitTarget.of(observed.joints_px, observed.confidence, observed.person, self.joint_set)
        start = replace(single_frames, shape=mean_shapes(single_frames.shape, target.person))
        start = self.fitter.with_camera(start, target)
        video_term = video_energy(self.fitter, start, target, self.video)
        return self.fitter.fit(target, start, self.weights, self.rounds, term=video_term)[0], target

    def start(self, observed: BaselineInput) -> FitState:
        """The single-frame fits: every frame is fitted as a separate person."""
        parts = [self.single.fit(part)[0] for part in observed.single_frames(CHUNK)]
        return FitState(*(torch.cat([getattr(part, name) for part in parts]) for name in FitState.__dataclass_fields__))


def mean_shapes(shapes: Tensor, person: Tensor) -> Tensor:
    """Mean shapes (P, 6) of persons, from the shapes (B, 6) of their frames; `person` (B,) is the person of a frame."""
    persons = int(person.max()) + 1
    total = shapes.new_zeros(persons, shapes.shape[1]).index_add(0, person, shapes)
    return total / torch.bincount(person, minlength=persons)[:, None]
