"""SPIN (Kolotouros, Pavlakos, Black and Daniilidis 2019, arXiv 1909.12828): a network's guesses start fits, and fits
teach the network.

The network is HMR's, without critics. The guess of each picture whose 3D is not known is fitted to the annotated 2D
joints. Of all fits that a picture has had, the one whose joints are seen nearest to the annotated ones is remembered;
where it is near enough it takes the place of the truth in the losses.

Differs from the paper: the body, backbone and camera, as in `hmr`; a few rounds of L-BFGS, where the paper has 100
steps of Adam; fits begin once the network has learnt from what is known, instead of from fits made beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pose2mesh.baselines import terms
from pose2mesh.baselines.backbone import FEATURES, Backbone
from pose2mesh.baselines.body_layer import BodyLayer, Guess
from pose2mesh.baselines.fitting import Bodies, Fitter, Target, Weights
from pose2mesh.baselines.interface import Estimate
from pose2mesh.baselines.losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.pose_prior import PosePrior, rotation_vectors
from pose2mesh.baselines.regressor import ParameterRegressor
from pose2mesh.baselines.seen import LearnedBaseline, Need, Seen, Truth
from pose2mesh.body.anny import PHENOTYPES
from pose2mesh.body.rig import BODY_BONES
from pose2mesh.errors import InputError
from pose2mesh.geometry import rotation_from_six, six_of_rotation


@dataclass
class FitSettings:
    """How guesses are fitted to 2D joints. Lengths are in units of the person's size in the picture.

    Attributes:
        begin: The share of training after which there are fits.
        camera_rounds: Of the descent of the camera and where the hips face.
        rounds: Of the descent of everything, after that.
        robust: Residuals beyond it hardly pull. More than SMPLify's last stage has: guesses are off by more.
        every: A picture is fitted at every so many of its visits, the first one that there are fits among them.
        worst: Of a fit that is used, the robust distance of a joint at most, as root mean square.
    """

    begin: float = 0.2
    camera_rounds: int = 5
    rounds: int = 20
    robust: float = 0.48
    every: int = 1
    worst: float = 0.15


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
    fits: FitSettings | None = field(default_factory=FitSettings)
    pictures: int = 12800


@dataclass(frozen=True)
class Fits:
    """Bodies fitted to pictures, `B` of them.

    Attributes:
        shape: (B, 6) as in `Guess`.
        rotations: (B, 22, 3, 3) as in `Guess`.
        distance: (B,) of projected joints from the annotated ones; infinite where there is no fit.
    """

    shape: Tensor
    rotations: Tensor
    distance: Tensor


class BestFits(nn.Module):
    """The nearest fit that each picture has had.

    Args:
        pictures: How many there are.
    """

    shape: Tensor
    six: Tensor
    distance: Tensor
    visits: Tensor

    def __init__(self, pictures: int) -> None:
        super().__init__()
        self.register_buffer("shape", torch.zeros(pictures, len(PHENOTYPES)))
        self.register_buffer("six", torch.zeros(pictures, len(BODY_BONES), 6))
        self.register_buffer("distance", torch.full((pictures,), torch.inf))
        self.register_buffer("visits", torch.zeros(pictures, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.distance)

    def due(self, index: Tensor, every: int) -> Tensor:
        """(B,) whether pictures (B,), each of which is visited by this, are to be fitted at this visit."""
        visits = self.visits[index]
        self.visits[index] = visits + 1
        return visits % every == 0

    def offer(self, index: Tensor, fits: Fits) -> None:
        """Remember those that are nearer than what their pictures (B,) had."""
        nearer = fits.distance < self.distance[index]  # False for NaN
        index = index[nearer]
        self.shape[index] = fits.shape[nearer]
        self.six[index] = six_of_rotation(fits.rotations[nearer])
        self.distance[index] = fits.distance[nearer]

    def recall(self, index: Tensor) -> Fits:
        """Of pictures (B,)."""
        return Fits(self.shape[index], rotation_from_six(self.six[index]), self.distance[index])


class SPIN(LearnedBaseline):
    """The method.

    Args:
        layer: The body.
        settings: What it is.

    Attributes:
        best: The fits so far, once it is prepared for training.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"pictures"})

    def __init__(self, layer: BodyLayer, settings: SPINSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or SPINSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        self.backbone = Backbone()
        self.regressor = ParameterRegressor(FEATURES, layer, self.settings.iterations)
        self.best: BestFits | None = None
        self.starter: Starter | None = None

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Make room for the fits; the people are not needed."""
        if self.settings.fits is not None:
            self.best = BestFits(self.settings.pictures)
            self.starter = Starter(self.layer, self.settings.fits)

    def forget(self) -> None:
        """See `LearnedBaseline`."""
        self.best = self.starter = None

    def forward(self, seen: Seen) -> Guess:
        assert seen.pictures is not None
        guesses: list[Guess] = self.regressor(self.backbone(seen.pictures).vector)
        return guesses[-1]

    def losses(self, seen: Seen, truth: Truth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        guess = self(seen)
        if self.settings.fits is not None and progress >= self.settings.fits.begin:
            truth = self.taught(guess, truth)
        return parameter_losses(guess, truth, self.layer, self.settings.weights)

    @torch.no_grad()
    def taught(self, guess: Guess, truth: Truth) -> Truth:
        """The truth, with the best fits in its place where 3D is not known; guesses are fitted on the way."""
        settings = self.settings.fits
        assert settings is not None
        assert self.best is not None, "SPIN was not prepared"
        assert self.starter is not None
        if truth.index.max() >= len(self.best):
            raise InputError(
                f"picture {int(truth.index.max())} of training has no place among the {len(self.best)} of "
                "settings.pictures; it must be pictures.distinct"
            )
        unknown = (~truth.labelled).nonzero()[:, 0]
        due = unknown[self.best.due(truth.index[unknown], settings.every)]
        if len(due) > 0:
            fits = self.starter.fit(guess[due], truth.joints_2d[due], truth.visible[due])
            self.best.offer(truth.index[due], fits)
        fits = self.best.recall(truth.index[unknown])
        good = fits.distance <= settings.worst
        if not good.any():
            return truth
        return self._with_fits(truth, unknown[good], fits.shape[good], fits.rotations[good])

    def _with_fits(self, truth: Truth, people: Tensor, shape: Tensor, rotations: Tensor) -> Truth:
        none = shape.new_zeros(len(people))
        fitted = Guess(shape, rotations, none, none[:, None].expand(-1, 2))
        joints = self.layer.joints(fitted)
        return replace(
            truth,
            labelled=truth.labelled.index_fill(0, people, True),
            joints=truth.joints.index_copy(0, people, joints - joints[:, self.joint_set.root_index, None]),
            phenotypes=truth.phenotypes.index_copy(0, people, self.layer.phenotypes(shape)),
            orientations=truth.orientations.index_copy(0, people, fitted.orientations),
        )

    @torch.no_grad()
    def estimate(self, seen: Seen) -> Estimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(seen))


class Starter(nn.Module):
    """Fits that start from guesses.

    Args:
        layer: The body.
        settings: How they are made.
    """

    def __init__(self, layer: BodyLayer, settings: FitSettings) -> None:
        super().__init__()
        self.settings, self.weights = settings, Weights(robust=settings.robust)
        self.fitter = Fitter(layer.body, layer.joint_set, PosePrior.load())

    @torch.no_grad()
    def fit(self, guess: Guess, joints: Tensor, visible: Tensor) -> Fits:
        """Guesses of `B` people fitted to 2D joints (B, J, 2) in units of the crop, so far visible (B, J)."""
        person = torch.arange(len(joints), device=joints.device)
        target = Target.of(joints, visible, person, self.fitter.joint_set)
        # About the middle of the crop, through which the guess's camera looks.
        unit = target.unit_px
        target = replace(target, joints=joints / unit[:, None, None], centre_px=torch.zeros_like(target.centre_px))
        bodies = Bodies(
            shape=guess.shape,
            pose=rotation_vectors(guess.orientations),
            orientation=guess.rotations[:, 0],
            log_scale=guess.log_scale - unit.log(),
            shift_m=guess.shift_m,
        )
        settings = self.settings
        bodies, _ = self.fitter.fit(target, bodies, self.weights, settings.camera_rounds, camera_only=True)
        bodies, _ = self.fitter.fit(target, bodies, self.weights, settings.rounds)
        projected = self.fitter.pose(bodies, target).projected
        squared = terms.reprojection(projected, target.joints, target.weight, self.weights.robust)
        seen = target.weight.sum(1)
        distance = torch.where(seen > 0, (squared / seen.clamp_min(1e-6)).sqrt(), torch.inf)
        return Fits(bodies.shape, bodies.guess(person).rotations, distance)
