"""SPIN (Kolotouros, Pavlakos, Black and Daniilidis 2019, arXiv 1909.12828): a network's guesses start fits, and fits
teach the network.

The network is HMR's, without critics. The guess of each picture whose 3D is not known is fitted to the annotated 2D
joints. Of all fits that a picture has had, the one whose joints are seen nearest to the annotated ones is remembered;
where it is near enough it takes the place of the truth in the losses (`fits`).

Differs from the paper: the body, backbone and camera, as in `hmr`; a few rounds of L-BFGS, where the paper has 100
steps of Adam; fits begin once the network has learnt from what is known, instead of from fits made beforehand; they
start from the middle shape, not the guess's (`fits.Starter`).
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
    """How and when guesses are fitted to 2D joints.

    Attributes:
        begin: The share of training after which there are fits.
        every: A picture is fitted at every so many of its visits, the first one that there are fits among them.
    """

    begin: float = 0.2
    every: int = 1


@dataclass
class SPINSettings:
    """What a SPIN is.

    Attributes:
        iterations: Corrections of the mean body.
        weights: Of the losses.
        fits: How fits are made; None for none, which leaves HMR without critics.
        pictures: How many distinct pictures there are, the number in `pictures.distinct` of the run's config.
    """

    iterations: int = 3
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    fits: SPINFits | None = field(default_factory=SPINFits)
    pictures: int = 12800


class SPIN(FitSupervisedRegressor):
    """The method.

    Args:
        layer: The body.
        settings: What it is.
    """

    def __init__(self, layer: BodyLayer, settings: SPINSettings | None = None) -> None:
        settings = settings or SPINSettings()
        super().__init__(layer, settings.iterations)
        self.settings = settings

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Make room for the fits; the people are not needed."""
        fits = self.settings.fits
        if fits is not None:
            self.teacher = FitSupervisor(self.layer, fits, self.settings.pictures)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        prediction = self(observation)
        if self.settings.fits is not None and progress >= self.settings.fits.begin:
            assert self.teacher is not None, "SPIN was not prepared"
            ground_truth = self.teacher.supervise(prediction, ground_truth, self.settings.fits.every)
        return parameter_losses(prediction, ground_truth, self.layer, self.settings.weights)
