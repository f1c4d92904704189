"""SPIN (Kolotouros, Pavlakos, Black and Daniilidis 2019, arXiv 1909.12828): predictions of a network initialise fits,
and the fits supervise the network.

The network is HMR's, without the discriminator. For images without 3D labels, the prediction is fitted to the annotated
2D joints. Of all fits of an image, the one with the smallest reprojection error is stored; where the error is small
enough, the fit takes the place of the ground truth in the losses (`common/fit_buffer.py`).

Differs from the paper: the body, backbone and camera, as in `hmr`; a few evaluations of L-BFGS instead of 100 steps of
Adam; fits begin after a part of the training, where the paper has fits of all images made beforehand; they start from
the middle shape instead of the predicted shape (`fit_buffer.FitStarter`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from pose2mesh.baselines.common.baseline_losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.fit_buffer import FitSettings, FitSupervisor
from pose2mesh.baselines.common.fit_supervised_regressor import FitSupervisedRegressor
from pose2mesh.baselines.observation import GroundTruth, Observation


@dataclass
class SPINFits(FitSettings):
    """How and when predictions are fitted to 2D joints.

    Attributes:
        begin: Share of the training after which images are fitted.
        every: From then on, an image is fitted at its first visit and at every `every`-th after it.
    """

    begin: float = 0.2
    every: int = 1


@dataclass
class SPINSettings:
    """Settings of SPIN.

    Attributes:
        iterations: Number of corrections of the mean body.
        weights: Weights of the losses.
        fits: Settings of the fits; None to train without fits, as HMR without a discriminator.
        pictures: Number of distinct images, equal to `pictures.distinct` of the run's config.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    fits: SPINFits | None = field(default_factory=SPINFits)
    pictures: int = 12800


class SPIN(FitSupervisedRegressor):
    """SPIN as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    def __init__(self, layer: BodyLayer, settings: SPINSettings | None = None) -> None:
        settings = settings or SPINSettings()
        super().__init__(layer, settings.iterations)
        self.settings = settings

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Allocate the buffer of the fits; the bodies are not used."""
        fits = self.settings.fits
        if fits is not None:
            self.teacher = FitSupervisor(self.layer, fits, self.settings.pictures)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: an image number is not below `settings.pictures`.
        """
        prediction = self(observation)
        if self.settings.fits is not None and progress >= self.settings.fits.begin:
            assert self.teacher is not None, "SPIN was not prepared"
            ground_truth = self.teacher.supervise(prediction, ground_truth, self.settings.fits.every)
        return parameter_losses(prediction, ground_truth, self.layer, self.settings.weights)
