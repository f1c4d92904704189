"""The camera model of all baselines, fitted and learned.

Convention: a point (x, y, z) relative to the hips, metres, in the axes of a camera that faces the person (x right, y
down, z forward), is projected to scale · ((x, y) + shift) / (1 + z / distance). This is full perspective from a nominal
distance, since the true camera is not given. `scale` is in 2D units (pixels or units of a crop) per metre at the depth
of the hips; `shift` is the offset of the hips from the optical axis, in metres.
"""

from __future__ import annotations

import torch
from torch import Tensor

NOMINAL_DISTANCE_M = 5.0
_NEAREST = 0.2  # share of the distance: nearer points are clamped to it, so that none is behind the camera


def project(points: Tensor, scale: Tensor, shift_m: Tensor) -> Tensor:
    """Project points (B, N, 3) relative to the hips, metres, camera axes, to (B, N, 2).

    Args:
        points: The points.
        scale: (B,) 2D units per metre.
        shift_m: (B, 2) metres.
    """
    nearer = (1 + points[..., 2:] / NOMINAL_DISTANCE_M).clamp_min(_NEAREST)
    return scale[:, None, None] * (points[..., :2] + shift_m[:, None]) / nearer


def solve_camera(joints: Tensor, observed: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Scale (B,) and shift (B, 2) of `project` by weighted least squares, which is linear in scale and scale · shift.

    Where least squares gives a scale that is not positive (a body upside down) or far too small, the scale is the ratio
    of the root mean square spreads instead.

    Args:
        joints: (B, J, 3) relative to the hips, metres, camera axes.
        observed: (B, J, 2) 2D joints to project to.
        weight: (B, J).
    """
    nearer = (1 + joints[..., 2:] / NOMINAL_DISTANCE_M).clamp_min(_NEAREST)
    flat, ones = joints[..., :2] / nearer, 1 / nearer  # projection for scale 1 and shift 0; its derivative by the shift
    zero = torch.zeros_like(ones)
    rows = torch.stack((torch.cat((flat[..., :1], ones, zero), -1), torch.cat((flat[..., 1:], zero, ones), -1)), dim=2)
    weighted = weight[..., None, None] * rows  # (B, J, 2, 3)
    matrix = torch.einsum("bjai,bjak->bik", weighted, rows) + 1e-6 * torch.eye(3, device=joints.device)
    right = torch.einsum("bjai,bja->bi", weighted, observed)
    solved = torch.linalg.solve(matrix, right)
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[..., None]
    middle, middle_seen = (share * flat).sum(1), (share * observed).sum(1)
    spread, spread_seen = (
        (share * (points - mean[:, None]).square()).sum((1, 2)).clamp_min(1e-6).sqrt()
        for points, mean in ((flat, middle), (observed, middle_seen))
    )
    scale = torch.where(solved[:, 0] > 0.2 * spread_seen / spread, solved[:, 0], spread_seen / spread)
    shift = (middle_seen - scale[:, None] * middle) / (scale[:, None] * (share * ones).sum(1))
    return scale, shift
