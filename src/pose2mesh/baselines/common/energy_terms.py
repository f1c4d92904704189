"""Terms of the fitting energies: functions of tensors, unweighted, never negative, 0 at the optimum.

2D lengths are in units of the person's size in the image (`fitting.FitTarget`), so that one weight suits all sizes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.pose_limits import AngleLimits


def geman_mcclure(squared: Tensor, sigma: float) -> Tensor:
    """The robust error ρ(r²) = σ² r² / (σ² + r²): r² for small residuals, σ² at most (Geman and McClure 1987)."""
    return sigma**2 * squared / (sigma**2 + squared)


def reprojection(projected: Tensor, observed: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """(B,) robust distance of projected from observed joints (B, J, 2), weighted (B, J) and summed over joints."""
    return (weight * geman_mcclure((projected - observed).square().sum(-1), sigma)).sum(1)


def beyond_limits(pose: Tensor, limits: AngleLimits) -> Tensor:
    """(B,) squared excess, in radians, of rotation vectors (B, 21, 3) of all bones but the hips over their limits."""
    angle = (pose[:, limits.bone - 1] * limits.axis).sum(-1)
    return ((angle - limits.high).relu() + (limits.low - angle).relu()).square().sum(1)


def unusual_shape(shape: Tensor) -> Tensor:
    """(P,) squared distance of shapes (P, 6), in logits of their ranges, from the middle."""
    return shape.square().sum(1)


def second_difference(points: Tensor, person: Tensor) -> Tensor:
    """(B,) squared second difference over time of points (B, N, C), summed over points.

    Over each frame and the next two; 0 where these show different persons. Frames of a person are consecutive.
    """
    bends = points.diff(n=2, dim=0).square().flatten(1).sum(1) * (person[2:] == person[:-2])
    return torch.cat((bends, points.new_zeros(min(len(points), 2))))


def distance(points: Tensor, start: Tensor, sigma: float) -> Tensor:
    """(B,) robust distance of points from start points (B, N, 3), summed over points."""
    return geman_mcclure((points - start).square().sum(-1), sigma).sum(1)
