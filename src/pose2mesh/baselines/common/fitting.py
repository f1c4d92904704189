"""The fitter of the optimisation baselines: minimises the reprojection error of bodies, plus priors.

The unknowns are the joint rotations, the orientation of the hips and the camera of each frame, and the shape of each
person. Only joints are posed (`body_models.skinning.SkinnedPoints`), not vertices; `lbfgs.minimise` optimises a whole
batch at once.

Camera: that of `baseline_camera`; its optical axis passes through the mean of the detected joints.
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
from pose2mesh.datasets.synthetic.pose_limits import angle_limits
from pose2mesh.geometry.rotations import rotation_from_vector
from pose2mesh.skeletons import JointSet

# Unknowns of a frame: rotation vectors of 21 bones, a rotation of the hips from the start, scale and shift.
_SIZES = (3 * TURNING, 3, 1, 2)


@dataclass(frozen=True)
class FitTarget:
    """2D joints to fit; `B` frames of `P` persons, lengths in units of each person's size in the image.

    Attributes:
        joints: (B, J, 2) relative to the mean of the detected joints; 0 where missing.
        weight: (B, J) confidence; 0 where missing, and for joints that are derived from others.
        centre_px: (B, 2) the weighted mean of the detected joints, pixels.
        unit_px: (B,) the unit of length in pixels: the root mean square distance of the detected joints from the mean,
            the median over the frames of a person.
        person: (B,) person of each frame, counted from 0; the frames of one person are consecutive in time.
    """

    joints: Tensor
    weight: Tensor
    centre_px: Tensor
    unit_px: Tensor
    person: Tensor

    @classmethod
    def of(cls, joints_px: Tensor, confidence: Tensor, person: Tensor, joint_set: JointSet) -> FitTarget:
        """Target of 2D joints in pixels (B, J, 2) with confidences (B, J)."""
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
    """Unknowns of a fit; `B` frames of `P` persons.

    Attributes:
        shape: (P, 6) phenotypes as logits of their position between the bounds of adults: 0 is the middle.
        pose: (B, 21, 3) rotation vectors of the bones below the hips, relative to their parents, radians.
        orientation: (B, 3, 3) of the hips, from the rest pose to camera axes.
        log_scale: (B,) logarithm of the units of length per metre at the depth of the hips.
        shift_m: (B, 2) offset of the head of the hip bone from the optical axis, metres.
    """

    shape: Tensor
    pose: Tensor
    orientation: Tensor
    log_scale: Tensor
    shift_m: Tensor

    def parameters(self, person: Tensor) -> BodyParameters:
        """Parameters of each frame, given its person (B,)."""
        rotations = torch.cat((self.orientation[:, None], rotation_from_vector(self.pose)), dim=1)
        return BodyParameters(self.shape[person], rotations, self.log_scale, self.shift_m)


@dataclass(frozen=True)
class PosedBodies:
    """Posed bodies, from which the energy terms are computed.

    Attributes:
        bodies: The unknowns.
        joints: (B, J, 3) relative to the hips, metres, camera axes.
        projected: (B, J, 2) their projection, in units of the target.
    """

    bodies: FitState
    joints: Tensor
    projected: Tensor


@dataclass(frozen=True)
class Weights:
    """Weights of the energy terms, and scales of the reprojection error.

    Attributes:
        error: Standard deviation of the 2D joints, in units of the person's size: the squared reprojection error is
            divided by twice its square.
        robust: Scale of the robust error, same unit; larger residuals lose influence.
        pose: Weight of the pose prior.
        limits: Weight of angles beyond the joint limits, per squared radian.
        shape: Weight of the squared distance from the middle shape.
    """

    error: float = 0.02
    robust: float = 0.12
    pose: float = 1.0
    limits: float = 20.0
    shape: float = 0.5


EnergyTerm: TypeAlias = Callable[[PosedBodies], Tensor]  # an additional term (B,), weighted


class Fitter(nn.Module):
    """Fits bodies to the joints of one set.

    Args:
        body: The body model.
        joint_set: Joint set of the 2D joints.
        prior: Pose prior.
    """

    def __init__(self, body: BodyModel, joint_set: JointSet, prior: PosePrior) -> None:
        super().__init__()
        self.body, self.joint_set, self.prior = body, joint_set, prior
        self.layer = BodyLayer(body, joint_set)
        self.limits = angle_limits()

    def pose(self, bodies: FitState, target: FitTarget) -> PosedBodies:
        """Pose and project the bodies."""
        parameters = bodies.parameters(target.person)
        joints = self.layer.joints(parameters)
        return PosedBodies(bodies, joints, parameters.project(joints))

    def energy(self, posed: PosedBodies, target: FitTarget, weights: Weights, term: EnergyTerm | None = None) -> Tensor:
        """Energy (P,) of each person, summed over frames; the shape term counts once a frame, like the 2D joints."""
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
        """Minimise the energy from an initial state.

        Args:
            target: The 2D joints.
            start: The initial state.
            weights: Weights of the energy terms.
            rounds: Evaluations of the energy.
            camera_only: Optimise only the camera and the orientation of the hips.
            term: An additional term of the energy.

        Returns:
            The fitted state, and the energy (P,) of each person.
        """
        frames, person = len(start.pose), target.person
        persons = len(start.shape)
        columns = torch.arange(sum(_SIZES), device=person.device)
        owner = torch.cat((person.repeat_interleave(sum(_SIZES)), torch.arange(persons).repeat_interleave(6)))
        free = None
        if camera_only:
            free = torch.cat((columns.ge(_SIZES[0]).repeat(frames), torch.zeros(6 * persons, dtype=torch.bool)))

        def unpack(flat: Tensor) -> FitState:
            frame_unknowns, person_unknowns = flat.split((frames * sum(_SIZES), persons * len(PHENOTYPES)))
            pose, turn, log_scale, shift = frame_unknowns.reshape(frames, -1).split(_SIZES, dim=1)
            return FitState(
                person_unknowns.reshape(persons, -1),
                pose.reshape(frames, TURNING, 3),
                rotation_from_vector(turn) @ start.orientation,
                log_scale[:, 0],
                shift,
            )

        no_turn = torch.zeros_like(start.shift_m[:, :1]).expand(-1, 3)
        rows = torch.cat((start.pose.flatten(1), no_turn, start.log_scale[:, None], start.shift_m), dim=1)
        flat = torch.cat((rows.flatten(), start.shape.flatten()))
        solution, energy = minimise(
            lambda x: self.energy(self.pose(unpack(x), target), target, weights, term), flat, owner, rounds, free
        )
        return unpack(solution), energy

    def with_camera(self, bodies: FitState, target: FitTarget) -> FitState:
        """The same bodies with the cameras that fit their joints best, in closed form."""
        joints = self.pose(bodies, target).joints
        scale, shift = solve_camera(joints, target.joints, target.weight)
        return replace(bodies, log_scale=scale.log(), shift_m=shift)

    @torch.no_grad()
    def estimate(self, bodies: FitState, target: FitTarget) -> BodyEstimate:
        """Vertices, joints and projected joints of the bodies, as the output of a baseline."""
        solution = self.layer.estimate(bodies.parameters(target.person))
        return replace(
            solution, joints_px=target.unit_px[:, None, None] * solution.joints_px + target.centre_px[:, None]
        )
