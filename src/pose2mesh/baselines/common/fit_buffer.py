"""Fits that teach: a network's guesses are fitted to 2D joints, and what is found stands for the 3D that is not known.

Of each picture the nearest of its fits is remembered: the one whose joints are seen nearest to those it was fitted to.
Where it is near enough it takes the place of the truth in the losses. SPIN fits picture by picture, the retraining of
Arnab et al. (`retrained`) video by video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common import energy_terms
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter, Weights
from pose2mesh.baselines.common.pose_prior import PosePrior, rotation_vectors
from pose2mesh.baselines.common.temporal_terms import VideoWeights, video_energy
from pose2mesh.baselines.observation import GroundTruth
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import rotation_from_six, six_of_rotation


@dataclass
class FitSettings:
    """How guesses are fitted to 2D joints. Lengths are in units of the person's size in the picture.

    Attributes:
        camera_rounds: Of the descent of the camera and where the hips face.
        rounds: Of the descent of everything, after that.
        robust: Residuals beyond it hardly pull. More than SMPLify's last stage has: guesses are off by more.
        worst: Of a fit that is used, the robust distance of a joint at most, as root mean square.
    """

    camera_rounds: int = 5
    rounds: int = 20
    robust: float = 0.48
    worst: float = 0.15


@dataclass(frozen=True)
class FittedImages:
    """Bodies fitted to pictures, `B` of them.

    Attributes:
        shape: (B, 6) as in `BodyGuess`.
        rotations: (B, 22, 3, 3) as in `BodyGuess`.
        distance: (B,) of projected joints from those seen; infinite where there is no fit.
    """

    shape: Tensor
    rotations: Tensor
    distance: Tensor


class FitBuffer(nn.Module):
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

    def offer(self, index: Tensor, fits: FittedImages) -> None:
        """Remember those that are nearer than what their pictures (B,) had."""
        nearer = fits.distance < self.distance[index]  # False for NaN
        index = index[nearer]
        self.shape[index] = fits.shape[nearer]
        self.six[index] = six_of_rotation(fits.rotations[nearer])
        self.distance[index] = fits.distance[nearer]

    def recall(self, index: Tensor) -> FittedImages:
        """Of pictures (B,)."""
        return FittedImages(self.shape[index], rotation_from_six(self.six[index]), self.distance[index])


class FitStarter(nn.Module):
    """Fits that start from guesses.

    Args:
        layer: The body.
        settings: How they are made.
        video: Of the terms between the frames of a person, where there are several.
    """

    def __init__(self, layer: BodyLayer, settings: FitSettings, video: VideoWeights | None = None) -> None:
        super().__init__()
        self.settings, self.weights, self.video = settings, Weights(robust=settings.robust), video
        self.fitter = Fitter(layer.body, layer.joint_set, PosePrior.load())

    @torch.no_grad()
    def fit(self, prediction: BodyParameters, joints: Tensor, weight: Tensor, person: Tensor) -> FittedImages:
        """Guesses of `B` frames fitted to 2D joints.

        Args:
            guess: Where to start, but for the shape, which starts from the middle. A crop does not tell size, and a fit
                keeps the one that it starts from: guesses that are too small would be taught to be smaller still.
            joints: (B, J, 2) in units of the crop.
            weight: (B, J) how surely each is there; 0 where missing.
            person: (B,) whose frame each is, counted from 0, each one's in a row. A person has one shape.
        """
        target = FitTarget.of(joints, weight, person, self.fitter.joint_set)
        # About the middle of the crop, through which the guess's camera looks.
        unit = target.unit_px
        target = replace(target, joints=joints / unit[:, None, None], centre_px=torch.zeros_like(target.centre_px))
        shape = prediction.shape.new_zeros(int(person.max()) + 1, prediction.shape.shape[1])
        frames = FitState(
            shape=shape[person],
            pose=rotation_vectors(prediction.orientations),
            orientation=prediction.rotations[:, 0],
            log_scale=prediction.log_scale - unit.log(),
            shift_m=prediction.shift_m,
        )
        alone = replace(target, person=torch.arange(len(person), device=person.device))
        frames, _ = self.fitter.fit(alone, frames, self.weights, self.settings.camera_rounds, camera_only=True)
        bodies = replace(frames, shape=shape)
        term = None if self.video is None else video_energy(self.fitter, bodies, target, self.video)
        bodies, _ = self.fitter.fit(target, bodies, self.weights, self.settings.rounds, term=term)
        found = bodies.parameters(person)
        return FittedImages(found.shape, found.rotations, self._distance(bodies, target))

    def _distance(self, bodies: FitState, target: FitTarget) -> Tensor:
        projected = self.fitter.pose(bodies, target).projected
        squared = energy_terms.reprojection(projected, target.joints, target.weight, self.weights.robust)
        seen = target.weight.sum(1)
        return torch.where(seen > 0, (squared / seen.clamp_min(1e-6)).sqrt(), torch.inf)


class FitSupervisor(nn.Module):
    """Puts fits in the place of what is not known of people in 3D. Its state is the fits so far.

    Args:
        layer: The body.
        settings: How fits are made, and which count.
        pictures: How many there are.
        frames: So many pictures in a row are a video, that is fitted as a whole.
        video: Of the terms between its frames.
    """

    def __init__(
        self,
        layer: BodyLayer,
        settings: FitSettings,
        pictures: int,
        frames: int = 1,
        video: VideoWeights | None = None,
    ) -> None:
        super().__init__()
        self.layer, self.settings, self.frames = layer, settings, frames
        self.best = FitBuffer(pictures)
        self.starter = FitStarter(layer, settings, video)

    @torch.no_grad()
    def supervise(self, prediction: BodyParameters, ground_truth: GroundTruth, every: int) -> GroundTruth:
        """`with_fits`, after those whose 3D is not known were fitted to their annotated 2D joints.

        Args:
            guess: Of a batch.
            truth: Of it.
            every: A picture is fitted at every so many of its visits, the first among them.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        self._check(ground_truth.index)
        unknown = (~ground_truth.labelled).nonzero()[:, 0]
        due = unknown[self.best.due(ground_truth.index[unknown], every)]
        if len(due) > 0:
            self.fit(prediction[due], ground_truth.index[due], ground_truth.joints_2d[due], ground_truth.visible[due])
        return self.with_fits(ground_truth)

    @torch.no_grad()
    def fit(self, prediction: BodyParameters, index: Tensor, joints: Tensor, weight: Tensor) -> None:
        """Fit pictures and remember what is nearer than what they had.

        Args:
            guess: Where to start; see `FitStarter.fit`.
            index: (B,) the pictures' numbers; of a video all frames are there, in a row.
            joints, weight: What they are fitted to; see `FitStarter.fit`.

        Raises:
            InputError: a picture's number is beyond those that there is room for.
        """
        self._check(index)
        _, person = torch.unique_consecutive(index // self.frames, return_inverse=True)
        self.best.offer(index, self.starter.fit(prediction, joints, weight, person))

    @torch.no_grad()
    def with_fits(self, ground_truth: GroundTruth) -> GroundTruth:
        """The truth, with the best fits in its place where 3D is not known and they are near enough."""
        self._check(ground_truth.index)
        unknown = (~ground_truth.labelled).nonzero()[:, 0]
        fits = self.best.recall(ground_truth.index[unknown])
        good = fits.distance <= self.settings.worst
        if not good.any():
            return ground_truth
        return self._replace_labels(ground_truth, unknown[good], fits.shape[good], fits.rotations[good])

    def _check(self, index: Tensor) -> None:
        if index.max() >= len(self.best):
            raise InputError(
                f"picture {int(index.max())} of training has no place among the {len(self.best)} of "
                "settings.pictures; it must be pictures.distinct"
            )

    def _replace_labels(
        self, ground_truth: GroundTruth, people: Tensor, shape: Tensor, rotations: Tensor
    ) -> GroundTruth:
        none = shape.new_zeros(len(people))
        fitted = BodyParameters(shape, rotations, none, none[:, None].expand(-1, 2))
        joints = self.layer.joints(fitted)
        return replace(
            ground_truth,
            labelled=ground_truth.labelled.index_fill(0, people, True),
            joints=ground_truth.joints.index_copy(0, people, joints - joints[:, self.layer.joint_set.root_index, None]),
            phenotypes=ground_truth.phenotypes.index_copy(0, people, self.layer.phenotypes(shape)),
            orientations=ground_truth.orientations.index_copy(0, people, fitted.orientations),
        )
