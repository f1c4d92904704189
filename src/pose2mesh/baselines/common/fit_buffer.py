"""Supervision by fits: predictions of a network are fitted to 2D joints, and the fits replace missing 3D labels.

For each image the best of its fits is stored: the one with the smallest reprojection error. Where that is small enough,
the fit takes the place of the ground truth in the losses. SPIN fits single images, the retraining of Arnab et al.
(`retrained`) videos.
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
    """How predictions are fitted to 2D joints. Lengths are in units of the person's size in the image.

    Attributes:
        camera_rounds: Evaluations for the camera and the orientation of the hips alone.
        rounds: Evaluations for all unknowns, after that.
        robust: Scale of the robust error. Larger than in SMPLify's last stage, since predictions have larger errors.
        worst: Largest root mean square of the robust joint distances at which a fit is used as a label.
    """

    camera_rounds: int = 5
    rounds: int = 20
    robust: float = 0.48
    worst: float = 0.15


@dataclass(frozen=True)
class FittedImages:
    """Bodies fitted to `B` images.

    Attributes:
        shape: (B, 6) as in `BodyParameters`.
        rotations: (B, 22, 3, 3) as in `BodyParameters`.
        distance: (B,) root mean square of the robust distances between projected and given joints, in units of the
            person's size; infinite where there is no fit.
    """

    shape: Tensor
    rotations: Tensor
    distance: Tensor


class FitBuffer(nn.Module):
    """The best fit of each image so far.

    Args:
        images: Number of images.
    """

    shape: Tensor
    six: Tensor
    distance: Tensor
    visits: Tensor

    def __init__(self, images: int) -> None:
        super().__init__()
        self.register_buffer("shape", torch.zeros(images, len(PHENOTYPES)))
        self.register_buffer("six", torch.zeros(images, len(BODY_BONES), 6))
        self.register_buffer("distance", torch.full((images,), torch.inf))
        self.register_buffer("visits", torch.zeros(images, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.distance)

    def due(self, index: Tensor, every: int) -> Tensor:
        """Count a visit of images (B,) and return a mask (B,) of those to fit: the first of every `every` visits."""
        visits = self.visits[index]
        self.visits[index] = visits + 1
        return visits % every == 0

    def update(self, index: Tensor, fits: FittedImages) -> None:
        """Store the fits that have a smaller distance than the stored fits of their images (B,)."""
        nearer = fits.distance < self.distance[index]  # False for NaN
        index = index[nearer]
        self.shape[index] = fits.shape[nearer]
        self.six[index] = six_of_rotation(fits.rotations[nearer])
        self.distance[index] = fits.distance[nearer]

    def lookup(self, index: Tensor) -> FittedImages:
        """The stored fits of images (B,)."""
        return FittedImages(self.shape[index], rotation_from_six(self.six[index]), self.distance[index])


class FitStarter(nn.Module):
    """Fits bodies to 2D joints, starting from predictions.

    Args:
        layer: The body layer.
        settings: Settings of the fits.
        video: Weights of the terms between frames; None to fit frames without them.
    """

    def __init__(self, layer: BodyLayer, settings: FitSettings, video: VideoWeights | None = None) -> None:
        super().__init__()
        self.settings, self.weights, self.video = settings, Weights(robust=settings.robust), video
        self.fitter = Fitter(layer.body, layer.joint_set, PosePrior.load())

    @torch.no_grad()
    def fit(self, prediction: BodyParameters, joints: Tensor, weight: Tensor, person: Tensor) -> FittedImages:
        """Predictions of `B` frames, fitted to 2D joints.

        Args:
            prediction: The start, except for the shape, which starts from the middle. A crop does not determine the
                size, and a fit keeps the size it starts from: predictions that are too small would be supervised to
                become smaller still.
            joints: (B, J, 2) in units of the crop.
            weight: (B, J) confidence; 0 where missing.
            person: (B,) person of each frame, counted from 0; the frames of one person are consecutive
                and have one shape.
        """
        target = FitTarget.of(joints, weight, person, self.fitter.joint_set)
        # Relative to the centre of the crop, through which the optical axis of the prediction passes.
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
        observed_weight = target.weight.sum(1)
        return torch.where(observed_weight > 0, (squared / observed_weight.clamp_min(1e-6)).sqrt(), torch.inf)


class FitSupervisor(nn.Module):
    """Replaces missing 3D labels by fits. Its state is the best fit of each image so far.

    Args:
        layer: The body layer.
        settings: Settings of the fits, and the threshold for using one.
        images: Number of images.
        frames: Number of frames of a video: this many consecutive images are fitted together.
        video: Weights of the terms between the frames.
    """

    def __init__(
        self,
        layer: BodyLayer,
        settings: FitSettings,
        images: int,
        frames: int = 1,
        video: VideoWeights | None = None,
    ) -> None:
        super().__init__()
        self.layer, self.settings, self.frames = layer, settings, frames
        self.best = FitBuffer(images)
        self.starter = FitStarter(layer, settings, video)

    @torch.no_grad()
    def supervise(self, prediction: BodyParameters, ground_truth: GroundTruth, every: int) -> GroundTruth:
        """Fit the samples without 3D labels to their annotated 2D joints, and return the result of `with_fits`.

        Args:
            prediction: Predictions for a batch.
            ground_truth: Ground truth of the same batch.
            every: An image is fitted at its first visit and at every `every`-th after it.

        Raises:
            InputError: an image number is not below the number of images.
        """
        self._check(ground_truth.index)
        unlabelled = (~ground_truth.labelled).nonzero()[:, 0]
        due = unlabelled[self.best.due(ground_truth.index[unlabelled], every)]
        if len(due) > 0:
            self.fit(prediction[due], ground_truth.index[due], ground_truth.joints_2d[due], ground_truth.visible[due])
        return self.with_fits(ground_truth)

    @torch.no_grad()
    def fit(self, prediction: BodyParameters, index: Tensor, joints: Tensor, weight: Tensor) -> None:
        """Fit images and store the fits that are better than the stored ones.

        Args:
            prediction: The initial bodies; see `FitStarter.fit`.
            index: (B,) numbers of the images; all frames of a video are given, consecutively.
            joints, weight: The 2D joints; see `FitStarter.fit`.

        Raises:
            InputError: an image number is not below the number of images.
        """
        self._check(index)
        _, person = torch.unique_consecutive(index // self.frames, return_inverse=True)
        self.best.update(index, self.starter.fit(prediction, joints, weight, person))

    @torch.no_grad()
    def with_fits(self, ground_truth: GroundTruth) -> GroundTruth:
        """The ground truth, in which stored fits that are good enough replace missing 3D labels."""
        self._check(ground_truth.index)
        unlabelled = (~ground_truth.labelled).nonzero()[:, 0]
        fits = self.best.lookup(ground_truth.index[unlabelled])
        accepted = fits.distance <= self.settings.worst
        if not accepted.any():
            return ground_truth
        return self._replace_labels(ground_truth, unlabelled[accepted], fits.shape[accepted], fits.rotations[accepted])

    def _check(self, index: Tensor) -> None:
        if index.max() >= len(self.best):
            raise InputError(
                f"training image {int(index.max())} is out of range: settings.pictures is {len(self.best)}; "
                "it must equal pictures.distinct"
            )

    def _replace_labels(
        self, ground_truth: GroundTruth, samples: Tensor, shape: Tensor, rotations: Tensor
    ) -> GroundTruth:
        none = shape.new_zeros(len(samples))
        fitted = BodyParameters(shape, rotations, none, none[:, None].expand(-1, 2))
        joints = self.layer.joints(fitted)
        return replace(
            ground_truth,
            labelled=ground_truth.labelled.index_fill(0, samples, True),
            joints=ground_truth.joints.index_copy(
                0, samples, joints - joints[:, self.layer.joint_set.root_index, None]
            ),
            phenotypes=ground_truth.phenotypes.index_copy(0, samples, self.layer.phenotypes(shape)),
            orientations=ground_truth.orientations.index_copy(0, samples, fitted.orientations),
        )
