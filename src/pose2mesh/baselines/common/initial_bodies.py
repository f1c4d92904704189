"""Where a fit starts: from the mean pose, turned four ways, or from a network's answer.

A start is a function of what was observed that gives one or several guesses; whoever fits keeps the best.
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

    In the picture the trunk leans as the line from the hips to the shoulders does, where those are seen.
    """
    frames, people = len(target.joints), int(target.person.max()) + 1
    upright = axis_rotation(2, _lean(target, fitter)) @ target.joints.new_tensor(WORLD_TO_CAMERA)
    starts = []
    for turn in range(YAWS):
        yaw = axis_rotation(2, target.joints.new_full((frames,), 2 * torch.pi * turn / YAWS))
        start = FitState(
            shape=target.joints.new_zeros(people, 6),
            pose=fitter.prior.mean.expand(frames, -1, -1),
            orientation=upright @ yaw,
            log_scale=target.joints.new_zeros(frames),
            shift_m=target.joints.new_zeros(frames, 2),
        )
        starts.append(fitter.with_camera(start, target))
    return starts


def _lean(target: FitTarget, fitter: Fitter) -> Tensor:
    """(B,) the angle in the picture from straight up to the line from the hips to the shoulders; 0 where not seen."""
    names = fitter.joint_set.names

    def middle(part: str) -> tuple[Tensor, Tensor]:
        columns = [names.index(f"{side}_{part}") for side in ("left", "right")]
        weight = target.weight[:, columns, None]
        return (weight * target.joints[:, columns]).sum(1) / weight.sum(1).clamp_min(1e-6), weight.sum((1, 2)) > 0

    (hips, hips_seen), (shoulders, shoulders_seen) = middle("hip"), middle("shoulder")
    x, y = (shoulders - hips).unbind(1)
    return torch.where(hips_seen & shoulders_seen, torch.atan2(x, -y), 0.0)


class NetworkStart:
    """The joints that a trained model recovers from the same 2D joints, with the body laid on them.

    Args:
        recovery: The model, of the fitter's joint set.
        fitter: Whose body and joints are to start there.
    """

    def __init__(self, recovery: Predictor, fitter: Fitter) -> None:
        self.recovery = recovery
        self.to_body = BodyFitter(fitter.body, fitter.body.regressor(fitter.joint_set))

    def __call__(self, fitter: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
        joints, _ = self.recovery.run(observed.joints_px.cpu().numpy(), observed.confidence.cpu().numpy())
        points = torch.from_numpy(joints).to(target.joints.device)
        laid = self.to_body(points, target.person, rounds=_ROUNDS_OF_BODY_FIT)
        start = FitState(
            shape=fitter.layer.shape_of(laid.phenotypes),
            pose=rotation_vectors(laid.orientations),
            orientation=laid.orientations[:, 0],
            log_scale=target.joints.new_zeros(len(points)),
            shift_m=target.joints.new_zeros(len(points), 2),
        )
        return [fitter.with_camera(start, target)]


def better(starts: list[tuple[FitState, Tensor]]) -> FitState:
    """Person by person the guess of the lowest energy (P,); every person has one frame."""
    energies = torch.stack([energy for _, energy in starts])
    best = energies.nan_to_num(torch.inf).argmin(0)
    first = starts[0][0]
    columns = torch.arange(len(best), device=best.device)
    chosen = {
        name: torch.stack([getattr(bodies, name) for bodies, _ in starts])[best, columns]
        for name in first.__dataclass_fields__
    }
    return replace(first, **chosen)
