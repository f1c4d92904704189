"""The terms of the fits' energies, each a plain function of tensors.

A term is 0 where all is well, never negative, and comes unweighted. Lengths in the picture are in units of the person's
size there (`fitting.FitTarget`), so that one weight serves people of any size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.pose_sampling import AngleLimits


def geman_mcclure(squared: Tensor, sigma: float) -> Tensor:
    """The robust error ρ(r²) = σ² r² / (σ² + r²): r² for small residuals, σ² at most (Geman and McClure 1987)."""
    return sigma**2 * squared / (sigma**2 + squared)


def reprojection(projected: Tensor, observed: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """(B,) robust distance of projected joints (B, J, 2) from seen ones, weighted (B, J): the sum over joints."""
    return (weight * geman_mcclure((projected - observed).square().sum(-1), sigma)).sum(1)


def beyond_limits(pose: Tensor, limits: AngleLimits) -> Tensor:
    """(B,) squared radians by which rotation vectors (B, 21, 3), of all bones but the hips, leave their limits."""
    angle = (pose[:, limits.bone - 1] * limits.axis).sum(-1)
    return ((angle - limits.high).relu() + (limits.low - angle).relu()).square().sum(1)


def unusual_shape(shape: Tensor) -> Tensor:
    """(P,) how far shapes (P, 6), in logits of their ranges, are from the middle: the squared distance."""
    return shape.square().sum(1)


def second_difference(points: Tensor, person: Tensor) -> Tensor:
    """(B,) squared second difference of points (B, N, C) at each frame with the same person's next two; else 0.

    Frames of one person follow each other.
    """
    bends = points.diff(n=2, dim=0).square().flatten(1).sum(1) * (person[2:] == person[:-2])
    return torch.cat((bends, points.new_zeros(min(len(points), 2))))


def distance(points: Tensor, start: Tensor, sigma: float) -> Tensor:
    """(B,) robust distance of points (B, N, 3) from where they started: the sum over points."""
    return geman_mcclure((points - start).square().sum(-1), sigma).sum(1)
