"""The fitter that the optimisation baselines share: bodies moved until their joints are seen where the 2D joints are.

Unknown are each frame's joint rotations, where its hips face, and its camera, and each person's shape. Only joints are
posed (`body_models.skinning.SkinnedPoints`), by differentiable functions; `minimise.minimise` descends for a whole
batch at once.


Camera: that of `baseline_camera`; its optical axis goes through the middle of the joints seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common import energy_terms
from pose2mesh.baselines.common.baseline_camera import solve_camera
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.lbfgs import minimise
from pose2mesh.baselines.common.pose_prior import TURNING, PosePrior
from pose2mesh.baselines.interface import BodyEstimate
from pose2mesh.body_models.interface import PHENOTYPES, BodyModel
from pose2mesh.datasets.synthetic.pose_sampling import angle_limits
from pose2mesh.geometry.rotations import rotation_from_vector
from pose2mesh.skeletons import JointSet

# Unknowns of a frame: rotation vectors of 21 bones, a turn of the hips, the camera's scale and shift.
_SIZES = (3 * TURNING, 3, 1, 2)


@dataclass(frozen=True)
class FitTarget:
    """What is to be met; `B` frames of `P` people, lengths in units of each person's size in the picture.

    Attributes:
        joints: (B, J, 2) about the middle of the joints seen; 0 where missing.
        weight: (B, J) confidence; 0 where missing, and for joints derived from others.
        centre_px: (B, 2) that middle.
        unit_px: (B,) the root mean square distance of the joints seen from it, of a person's frames the median.
        person: (B,) whose frame each is, counted from 0; the frames of one follow each other in time.
    """

    joints: Tensor
    weight: Tensor
    centre_px: Tensor
    unit_px: Tensor
    person: Tensor

    @classmethod
    def of(cls, joints_px: Tensor, confidence: Tensor, person: Tensor, joint_set: JointSet) -> FitTarget:
        """From pixels (B, J, 2) and confidences (B, J)."""
        derived = [joint_set.index(name) for name, _ in joint_set.derived]
        weight = confidence.clone()
        weight[:, derived] = 0
        share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[..., None]
        centre = (share * joints_px).sum(1)
        offset = joints_px - centre[:, None]
        sizes = (share * offset.square()).sum((1, 2)).sqrt().clamp_min(1e-3)
        unit = torch.stack([sizes[person == index].median() for index in range(int(person.max()) + 1)])[person]
        visible = (confidence > 0)[..., None]
        return cls(torch.where(visible, offset / unit[:, None, None], 0.0), weight, centre, unit, person)


@dataclass(frozen=True)
class FitState:
    """A guess; `B` frames of `P` people.

    Attributes:
        shape: (P, 6) phenotypes as logits of their place between the bounds of adults: 0 is the middle.
        pose: (B, 21, 3) rotation vectors of the bones below the hips, relative to their parents.
        orientation: (B, 3, 3) of the hips, from the rest pose to camera axes.
        log_scale: (B,) logarithm of the units a metre at the hips' depth.
        shift_m: (B, 2) where the hips' bone head is, beside the optical axis.
    """

    shape: Tensor
    pose: Tensor
    orientation: Tensor
    log_scale: Tensor
    shift_m: Tensor

    def parameters(self, person: Tensor) -> BodyParameters:
        """Frame by frame, given whose each is (B,)."""
        rotations = torch.cat((self.orientation[:, None], rotation_from_vector(self.pose)), dim=1)
        return BodyParameters(self.shape[person], rotations, self.log_scale, self.shift_m)


@dataclass(frozen=True)
class PosedBodies:
    """What the terms of an energy are made from.

    Attributes:
        bodies: The guess.
        joints: (B, J, 3) about the hips, metres, camera axes.
        projected: (B, J, 2) where they are seen, in the target's units.
    """

    bodies: FitState
    joints: Tensor
    projected: Tensor


@dataclass(frozen=True)
class Weights:
    """The energy of a fit: each term's weight, and what the reprojection takes for small.

    Attributes:
        error: What 2D joints err by, in units of the person's size: the reprojection is divided by twice its square.
        robust: Residuals beyond it hardly pull, same unit.
        pose: Of the pose prior.
        limits: Of angles beyond the joints' limits, per squared radian.
        shape: Of unusual shapes.
    """

    error: float = 0.02
    robust: float = 0.12
    pose: float = 1.0
    limits: float = 20.0
    shape: float = 0.5


EnergyTerm: TypeAlias = Callable[[PosedBodies], Tensor]  # a further term (B,), weighted


class Fitter(nn.Module):
    """Fits bodies to the joints of one set.

    Args:
        body: The Anny body.
        joint_set: Of the 2D joints.
        prior: Of poses.
    """

    def __init__(self, body: BodyModel, joint_set: JointSet, prior: PosePrior) -> None:
        super().__init__()
        self.body, self.joint_set, self.prior = body, joint_set, prior
        self.layer = BodyLayer(body, joint_set)
        self.limits = angle_limits()

    def pose(self, bodies: FitState, target: FitTarget) -> PosedBodies:
        """Pose a guess and look at it."""
        parameters = bodies.parameters(target.person)
        joints = self.layer.joints(parameters)
        return PosedBodies(bodies, joints, parameters.project(joints))

    def energy(self, posed: PosedBodies, target: FitTarget, weights: Weights, term: EnergyTerm | None = None) -> Tensor:
        """(P,) of each person: the sum over frames, and the shape's term once a frame, for it is seen in each."""
        bodies, person = posed.bodies, target.person
        visible = energy_terms.reprojection(posed.projected, target.joints, target.weight, weights.robust)
        frames = visible / (2 * weights.error**2)
        frames = frames + weights.pose * self.prior(bodies.pose)
        frames = frames + weights.limits * energy_terms.beyond_limits(bodies.pose, self.limits)
        frames = frames + weights.shape * energy_terms.unusual_shape(bodies.shape)[person]
        if term is not None:
            frames = frames + term(posed)
        return frames.new_zeros(len(bodies.shape)).index_add(0, person, frames)

    def fit(
        self,
        target: FitTarget,
        start: FitState,
        weights: Weights,
        rounds: int,
        *,
        camera_only: bool = False,
        term: EnergyTerm | None = None,
    ) -> tuple[FitState, Tensor]:
        """Descend from a start.

        Args:
            target: What is seen.
            start: Where from.
            weights: The energy.
            rounds: Of the descent.
            camera_only: Only the camera and where the hips face may change.
            extra: A further term of the energy.

        Returns:
            The bodies found, and each person's energy (P,).
        """
        frames, person = len(start.pose), target.person
        people = len(start.shape)
        columns = torch.arange(sum(_SIZES), device=person.device)
        owner = torch.cat((person.repeat_interleave(sum(_SIZES)), torch.arange(people).repeat_interleave(6)))
        free = None
        if camera_only:
            free = torch.cat((columns.ge(_SIZES[0]).repeat(frames), torch.zeros(6 * people, dtype=torch.bool)))

        def unpack(flat: Tensor) -> FitState:
            of_frames, of_people = flat.split((frames * sum(_SIZES), people * len(PHENOTYPES)))
            pose, turn, log_scale, shift = of_frames.reshape(frames, -1).split(_SIZES, dim=1)
            return FitState(
                of_people.reshape(people, -1),
                pose.reshape(frames, TURNING, 3),
                rotation_from_vector(turn) @ start.orientation,
                log_scale[:, 0],
                shift,
            )

        unturned = torch.zeros_like(start.shift_m[:, :1]).expand(-1, 3)
        rows = torch.cat((start.pose.flatten(1), unturned, start.log_scale[:, None], start.shift_m), dim=1)
        flat = torch.cat((rows.flatten(), start.shape.flatten()))
        found, energy = minimise(
            lambda x: self.energy(self.pose(unpack(x), target), target, weights, term), flat, owner, rounds, free
        )
        return unpack(found), energy

    def with_camera(self, bodies: FitState, target: FitTarget) -> FitState:
        """The same bodies, seen by the cameras that fit their joints best, in closed form."""
        joints = self.pose(bodies, target).joints
        scale, shift = solve_camera(joints, target.joints, target.weight)
        return replace(bodies, log_scale=scale.log(), shift_m=shift)

    @torch.no_grad()
    def estimate(self, bodies: FitState, target: FitTarget) -> BodyEstimate:
        """Bodies as a baseline gives them: vertices, joints, and where these are seen."""
        found = self.layer.estimate(bodies.parameters(target.person))
        return replace(found, joints_px=target.unit_px[:, None, None] * found.joints_px + target.centre_px[:, None])
