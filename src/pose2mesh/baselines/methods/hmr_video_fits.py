"""The second part of Arnab, Doersch and Zisserman 2019 (arXiv 1905.04266): HMR, retrained on fits of videos.

A trained HMR predicts a body in each frame of many videos. The predictions are the start of a joint fit of each video,
as in `arnab`: one shape, smooth motion close to the predictions, and the detected 2D joints. In the supervised losses
of HMR, the fits then take the place of 3D labels where their reprojection error is small enough. The trained network
takes single images.

Differs from the paper: the body, backbone and camera, as in `hmr`; rendered videos instead of three million frames of
Kinetics; no discriminator; smoothness in 3D only, because each frame has a crop of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pose2mesh.baselines.common.baseline_losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.fit_buffer import FitSettings, FitSupervisor
from pose2mesh.baselines.common.fit_supervised_regressor import FitSupervisedRegressor
from pose2mesh.baselines.common.temporal_terms import VideoWeights
from pose2mesh.baselines.interface import Chunks
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK

VIDEOS_AT_ONCE = 16  # fitted in one batch, independently of each other


@dataclass
class VideoFits(FitSettings):
    """How videos are fitted to their 2D joints.

    Attributes:
        whole: Fit all frames of a video together; otherwise each frame alone, with its own shape.
        steady: See `VideoWeights.smooth_3d`.
        near_guess: See `VideoWeights.start`.
    """

    rounds: int = 100
    worst: float = 0.12
    whole: bool = True
    steady: float = 1000.0
    near_guess: float = 10.0


@dataclass
class HMRVideoFitsSettings:
    """Settings of the retraining.

    Attributes:
        iterations: Number of corrections of the mean body, equal to that of the initial HMR.
        weights: Weights of the losses.
        fits: Settings of the fits; None to train on 3D labels and annotated 2D joints alone.
        pictures: Number of distinct frames, equal to `pictures.distinct` of the run's config.
        frames: Frames of a video, equal to `pictures.frames` of the run's config.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    fits: VideoFits | None = field(default_factory=VideoFits)
    pictures: int = 16384
    frames: int = 16


class HMRVideoFits(FitSupervisedRegressor):
    """The retrained HMR as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    def __init__(self, layer: BodyLayer, settings: HMRVideoFitsSettings | None = None) -> None:
        settings = settings or HMRVideoFitsSettings()
        super().__init__(layer, settings.iterations)
        self.settings = settings

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Allocate the buffer of the fits; the bodies are not used."""
        settings, fits = self.settings, self.settings.fits
        if fits is None:
            return
        if fits.whole:
            video = VideoWeights(smooth_3d=fits.steady, smooth_2d=0.0, start=fits.near_guess)
            self.teacher = FitSupervisor(self.layer, fits, settings.pictures, settings.frames, video)
        else:
            self.teacher = FitSupervisor(self.layer, fits, settings.pictures)

    @torch.no_grad()
    def begin(self, chunks: Chunks, log: Callable[[str], None]) -> None:
        """Predict bodies in all frames, and fit the videos without 3D labels."""
        if self.teacher is None:
            return
        self.eval()
        predicted = [self._predict(*chunks(number)) for number in range(self.settings.pictures // CHUNK)]
        self.train()
        frames = {name: torch.cat([each[name] for each in predicted]) for name in predicted[0]}
        order = frames["index"].argsort()  # the frames of a video are consecutive
        frames = {name: value[order] for name, value in frames.items()}
        index = frames.pop("index")
        joints, weight = frames.pop("joints"), frames.pop("weight")
        prediction, at_once = BodyParameters(**frames), VIDEOS_AT_ONCE * self.settings.frames
        for start in range(0, len(index), at_once):  # no iteration where all samples have 3D labels
            part = slice(start, start + at_once)
            self.teacher.fit(prediction[part], index[part], joints[part], weight[part])
            done = min(part.stop, len(index))
            if done % (10 * at_once) < at_once or done == len(index):
                accepted = (self.teacher.best.distance[index[:done]] <= self.teacher.settings.worst).float().mean()
                log(f"fitted {done:,} of {len(index):,} frames, {100 * accepted:.0f} % good enough as labels")

    def _predict(self, observation: Observation, ground_truth: GroundTruth) -> dict[str, Tensor]:
        """Predictions for the frames of a chunk without 3D labels, and the 2D joints to fit."""
        unlabelled = ~ground_truth.labelled
        prediction = {name: value[unlabelled] for name, value in vars(self(observation)).items()}
        return prediction | {
            "index": ground_truth.index[unlabelled],
            "joints": observation.joints[unlabelled],
            "weight": observation.confidence[unlabelled],
        }

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: an image number is not below `settings.pictures`.
        """
        if self.teacher is not None:
            ground_truth = self.teacher.with_fits(ground_truth)
        return parameter_losses(self(observation), ground_truth, self.layer, self.settings.weights)
