"""The second half of Arnab, Doersch and Zisserman 2019 (arXiv 1905.04266): HMR, retrained on fits of videos.

A trained HMR guesses a body in each frame of many videos. The guesses start the fit of each whole video that `arnab`
makes: one shape, poses that change steadily and stay near the guesses, joints where a detector found them. Then the
fits take the place of 3D labels in HMR's supervised losses, where joints are seen near enough to the detected ones.
Nothing of it is left after training: what is trained looks at one picture.

Differs from the paper: the body, backbone and camera, as in `hmr`; drawn videos instead of three million frames of
Kinetics; no critics; steadiness in 3D alone, for each frame is seen in a crop of its own.
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
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK

VIDEOS_AT_ONCE = 16  # in a fit: they do not know of each other


@dataclass
class VideoFits(FitSettings):
    """How videos are fitted to their 2D joints.

    Attributes:
        whole: All frames of a video together; otherwise each alone, with a shape of its own.
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
    """What a retraining is.

    Attributes:
        iterations: Corrections of the mean body, as the HMR has that it starts from.
        weights: Of the losses.
        fits: How videos are fitted; None for none, which leaves labels and annotated 2D joints.
        pictures: How many distinct frames there are, the number in `pictures.distinct` of the run's config.
        frames: Of a video, the number in `pictures.frames`.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    fits: VideoFits | None = field(default_factory=VideoFits)
    pictures: int = 16384
    frames: int = 16


class HMRVideoFits(FitSupervisedRegressor):
    """The method.

    Args:
        layer: The body.
        settings: What it is.
    """

    def __init__(self, layer: BodyLayer, settings: HMRVideoFitsSettings | None = None) -> None:
        settings = settings or HMRVideoFitsSettings()
        super().__init__(layer, settings.iterations)
        self.settings = settings

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Make room for the fits; the people are not needed."""
        settings, fits = self.settings, self.settings.fits
        if fits is None:
            return
        if fits.whole:
            video = VideoWeights(smooth_3d=fits.steady, smooth_2d=0.0, start=fits.near_guess)
            self.teacher = FitSupervisor(self.layer, fits, settings.pictures, settings.frames, video)
        else:
            self.teacher = FitSupervisor(self.layer, fits, settings.pictures)

    @torch.no_grad()
    def begin(self, chunks: Callable[[int], tuple[Observation, GroundTruth]], log: Callable[[str], None]) -> None:
        """Look at all frames, and fit the videos whose 3D is not known."""
        if self.teacher is None:
            return
        self.eval()
        looked = [self._look(*chunks(number)) for number in range(self.settings.pictures // CHUNK)]
        self.train()
        frames = {name: torch.cat([each[name] for each in looked]) for name in looked[0]}
        order = frames["index"].argsort()  # a video's in a row
        frames = {name: value[order] for name, value in frames.items()}
        index = frames.pop("index")
        joints, weight = frames.pop("joints"), frames.pop("weight")
        prediction, at_once = BodyParameters(**frames), VIDEOS_AT_ONCE * self.settings.frames
        for start in range(0, len(index), at_once):  # none where all are labelled
            part = slice(start, start + at_once)
            self.teacher.fit(prediction[part], index[part], joints[part], weight[part])
            done = min(part.stop, len(index))
            if done % (10 * at_once) < at_once or done == len(index):
                near = (self.teacher.best.distance[index[:done]] <= self.teacher.settings.worst).float().mean()
                log(f"fitted {done:,} of {len(index):,} frames, {100 * near:.0f} % near enough to teach")

    def _look(self, observation: Observation, ground_truth: GroundTruth) -> dict[str, Tensor]:
        """The guesses of a chunk's frames whose 3D is not known, and what they are fitted to."""
        unknown = ~ground_truth.labelled
        prediction = {name: value[unknown] for name, value in vars(self(observation)).items()}
        return prediction | {
            "index": ground_truth.index[unknown],
            "joints": observation.joints[unknown],
            "weight": observation.confidence[unknown],
        }

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        if self.teacher is not None:
            ground_truth = self.teacher.with_fits(ground_truth)
        return parameter_losses(self(observation), ground_truth, self.layer, self.settings.weights)
