"""Initial bodies of a fit: the mean pose in four directions, or the output of a network.

A start is a function of the 2D joints that gives one or several initial states; the fit keeps the best result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter
from pose2mesh.baselines.common.pose_prior import rotation_vectors
from pose2mesh.baselines.interface import BaselineInput
from pose2mesh.body_models.body_fitting import BodyFitter
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.inference.predictor import Predictor

Start: TypeAlias = Callable[[Fitter, FitTarget, BaselineInput], list[FitState]]

YAWS = 4
_ROUNDS_OF_BODY_FIT = 4


def mean_pose(fitter: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
    """The mean pose and shape, facing the camera, away from it, left and right.

    The trunk leans in the image plane like the line from the hips to the shoulders, where both are detected.
    """
    frames, persons = len(target.joints), int(target.person.max()) + 1
    facing = axis_rotation(2, _lean(target, fitter)) @ target.joints.new_tensor(WORLD_TO_CAMERA)
    starts = []
    for turn in range(YAWS):
        yaw = axis_rotation(2, target.joints.new_full((frames,), 2 * torch.pi * turn / YAWS))
        start = FitState(
            shape=target.joints.new_zeros(persons, 6),
            pose=fitter.prior.mean.expand(frames, -1, -1),
            orientation=facing @ yaw,
            log_scale=target.joints.new_zeros(frames),
            shift_m=target.joints.new_zeros(frames, 2),
        )
        starts.append(fitter.with_camera(start, target))
    return starts


def _lean(target: FitTarget, fitter: Fitter) -> Tensor:
    """(B,) angle in the image, radians, from upright to the line from hips to shoulders; 0 where either is missing."""
    names = fitter.joint_set.names

    def middle(part: str) -> tuple[Tensor, Tensor]:
        columns = [names.index(f"{side}_{part}") for side in ("left", "right")]
        weight = target.weight[:, columns, None]
        return (weight * target.joints[:, columns]).sum(1) / weight.sum(1).clamp_min(1e-6), weight.sum((1, 2)) > 0

    (hips, hips_seen), (shoulders, shoulders_seen) = middle("hip"), middle("shoulder")
    x, y = (shoulders - hips).unbind(1)
    return torch.where(hips_seen & shoulders_seen, torch.atan2(x, -y), 0.0)


class NetworkStart:
    """The body model fitted to the 3D joints that a trained network predicts from the same 2D joints.

    Args:
        predictor: The network, of the fitter's joint set.
        fitter: Provides the body model and the joint set.
    """

    def __init__(self, predictor: Predictor, fitter: Fitter) -> None:
        self.predictor = predictor
        self.body_fitter = BodyFitter(fitter.body, fitter.body.regressor(fitter.joint_set))

    def __call__(self, fitter: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
        joints, _ = self.predictor.run(observed.joints_px.cpu().numpy(), observed.confidence.cpu().numpy())
        points = torch.from_numpy(joints).to(target.joints.device)
        fitted = self.body_fitter(points, target.person, rounds=_ROUNDS_OF_BODY_FIT)
        start = FitState(
            shape=fitter.layer.shape_of(fitted.phenotypes),
            pose=rotation_vectors(fitted.orientations),
            orientation=fitted.orientations[:, 0],
            log_scale=target.joints.new_zeros(len(points)),
            shift_m=target.joints.new_zeros(len(points), 2),
        )
        return [fitter.with_camera(start, target)]


def better(starts: list[tuple[FitState, Tensor]]) -> FitState:
    """State of the lowest energy (P,) for each person; every person has one frame."""
    energies = torch.stack([energy for _, energy in starts])
    best = energies.nan_to_num(torch.inf).argmin(0)
    first = starts[0][0]
    columns = torch.arange(len(best), device=best.device)
    chosen = {
        name: torch.stack([getattr(bodies, name) for bodies, _ in starts])[best, columns]
        for name in first.__dataclass_fields__
    }
    return replace(first, **chosen)
