"""The second half of Arnab, Doersch and Zisserman 2019 (arXiv 1905.04266): HMR, retrained on fits of videos.

A trained HMR guesses a body in each frame of a video. The guesses start the fit of the whole video that `arnab` makes:
one shape, poses that change steadily and stay near the guesses, joints where a detector found them. The fits of many
videos, made once and remembered (`fits`), then take the place of 3D labels in HMR's supervised losses, where joints are
seen near enough to the detected ones. Nothing of it is left after training: what is trained looks at one picture.

Differs from the paper: the body, backbone and camera, as in `hmr`; drawn videos instead of three million frames of
Kinetics; fits are made as the videos come, when the network has already learnt a little from those before; no critics;
steadiness in 3D alone, for each frame is seen in a crop of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from pose2mesh.baselines.arnab import VideoWeights
from pose2mesh.baselines.body_layer import BodyLayer
from pose2mesh.baselines.fits import FitSettings, Teacher
from pose2mesh.baselines.losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.seen import Seen, Truth
from pose2mesh.baselines.taught import TaughtRegressor


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
class RetrainedSettings:
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


class Retrained(TaughtRegressor):
    """The method.

    Args:
        layer: The body.
        settings: What it is.
    """

    def __init__(self, layer: BodyLayer, settings: RetrainedSettings | None = None) -> None:
        settings = settings or RetrainedSettings()
        super().__init__(layer, settings.iterations)
        self.settings = settings
        self.train()

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Make room for the fits; the people are not needed."""
        settings, fits = self.settings, self.settings.fits
        if fits is None:
            return
        if fits.whole:
            video = VideoWeights(smooth_3d=fits.steady, smooth_2d=0.0, start=fits.near_guess)
            self.teacher = Teacher(self.layer, fits, settings.pictures, frames=settings.frames, video=video)
        else:
            self.teacher = Teacher(self.layer, fits, settings.pictures)

    def train(self, mode: bool = True) -> Retrained:
        """Norms keep the statistics of the HMR: a batch shows a few people only, each many times. By its own statistics
        guesses would be 14 mm worse, and fits start from them.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def losses(self, seen: Seen, truth: Truth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        guess = self(seen)
        if self.teacher is not None:
            truth = self.teacher.taught(guess, truth, seen.joints, seen.confidence)
        return parameter_losses(guess, truth, self.layer, self.settings.weights)
