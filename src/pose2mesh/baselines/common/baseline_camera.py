"""The one camera of the baselines, of fits and of networks alike.

A point (x, y, z) about the hips, metres, in the axes of a camera that faces the person, is seen at
scale · ((x, y) + shift) / (1 + z / distance): full perspective from a distance that, where nothing is known of the
camera, is a nominal one. `scale` is how many units of the picture, whatever they are, a metre is at the hips' depth;
`shift` is where the hips are beside the optical axis, in metres.
"""

from __future__ import annotations

import torch
from torch import Tensor

NOMINAL_DISTANCE_M = 5.0
_NEAREST = 0.2  # of the distance: nothing of a body is taken to be nearer to the camera


def project(points: Tensor, scale: Tensor, shift_m: Tensor) -> Tensor:
    """Points (B, N, 3) about the hips, metres, camera axes, to the units (B, N, 2) of scales (B,), shifts (B, 2)."""
    nearer = (1 + points[..., 2:] / NOMINAL_DISTANCE_M).clamp_min(_NEAREST)
    return scale[:, None, None] * (points[..., :2] + shift_m[:, None]) / nearer


def solve_camera(joints: Tensor, observed: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Scale (B,) and shift (B, 2) of `project` by weighted least squares: linear in scale and scale · shift.

    Where they would turn a body upside down (a scale that is not positive), the scale that makes the spreads agree.
    """
    nearer = (1 + joints[..., 2:] / NOMINAL_DISTANCE_M).clamp_min(_NEAREST)
    flat, ones = joints[..., :2] / nearer, 1 / nearer
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
