"""The body model as a differentiable layer: parameters of a network or a fit to joints, vertices and 2D joints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.baseline_camera import project
from pose2mesh.baselines.interface import BodyEstimate, Parameters
from pose2mesh.body_models.body_fitting import ADULTS
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.skinning import SkinnedPoints
from pose2mesh.datasets.synthetic.pose_tree import to_world
from pose2mesh.skeletons import JointSet

CHUNK = 64  # bodies posed with all vertices at a time


@dataclass(frozen=True)
class BodyParameters:
    """Body and camera parameters of `B` frames, as networks predict and fits optimise them.

    Attributes:
        shape: (B, 6) phenotypes as logits of their position between the bounds of adults: 0 is the middle.
        rotations: (B, 22, 3, 3) of the bones relative to their parents; the first, of the hips, from the rest pose to
            camera axes.
        log_scale: (B,) logarithm of the scale of `baseline_camera.project`.
        shift_m: (B, 2) its shift, metres.
    """

    shape: Tensor
    rotations: Tensor
    log_scale: Tensor
    shift_m: Tensor

    def __getitem__(self, frames: slice | Tensor) -> BodyParameters:
        return BodyParameters(self.shape[frames], self.rotations[frames], self.log_scale[frames], self.shift_m[frames])

    @property
    def orientations(self) -> Tensor:
        """(B, 22, 3, 3) as `BodyModel` takes them, to camera axes."""
        return to_world(self.rotations)

    def project(self, points: Tensor) -> Tensor:
        """Projection (B, N, 2) of points (B, N, 3) relative to the hips, metres."""
        return project(points, self.log_scale.exp(), self.shift_m)


class BodyLayer(nn.Module):
    """The body model, restricted to adults, with unconstrained parameters.

    Args:
        body: The body model.
        joint_set: Joint set of the regressed joints.
    """

    low: Tensor
    high: Tensor

    def __init__(self, body: BodyModel, joint_set: JointSet) -> None:
        super().__init__()
        self.body, self.joint_set = body, joint_set
        self.points = SkinnedPoints(body, body.regressor(joint_set))
        low, high = torch.tensor(ADULTS).unbind(1)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def phenotypes(self, shape: Tensor) -> Tensor:
        """Phenotypes (P, 6) of logits (P, 6)."""
        return self.low + (self.high - self.low) * torch.sigmoid(shape)

    def shape_of(self, phenotypes: Tensor) -> Tensor:
        """The inverse of `phenotypes`; values at a bound or beyond are clamped to a hundredth of the range inside."""
        return torch.logit((phenotypes - self.low) / (self.high - self.low), eps=0.01)

    def joints(self, parameters: BodyParameters) -> Tensor:
        """(B, J, 3) relative to the head of the hip bone, metres, camera axes; without posing the vertices."""
        return self.points(*self.skeleton(parameters))

    def skeleton(self, parameters: BodyParameters) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of `SkinnedPoints`: blend-shape coefficients, rotations and translations of the bones."""
        coefficients = self.body.coefficients(self.phenotypes(parameters.shape))
        return coefficients, *self.body.bone_transforms(coefficients, parameters.orientations)

    def vertices(self, parameters: BodyParameters) -> Tensor:
        """(B, V, 3) relative to the head of the hip bone, metres, camera axes."""
        return self.body(self.phenotypes(parameters.shape), parameters.orientations)

    def parameters_of(self, parameters: BodyParameters) -> Parameters:
        return Parameters(self.phenotypes(parameters.shape), parameters.orientations)

    @torch.no_grad()
    def estimate(self, parameters: BodyParameters) -> BodyEstimate:
        """The posed bodies as the output of a baseline; `joints_px` is in the 2D units of the camera."""
        joints = self.joints(parameters)
        vertices = [self.vertices(parameters[start : start + CHUNK]) for start in range(0, len(joints), CHUNK)]
        return BodyEstimate(joints, torch.cat(vertices), parameters.project(joints), self.parameters_of(parameters))
