"""Errors of recovered joints and meshes, per sample, in the unit of the input (metres inside the project)."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.geometry.rotations import best_scale, procrustes_align


def mean_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE of joints, or MPVPE of vertices: mean Euclidean distance over points (B, N, 3) → (B,).

    Both must be relative to the same root joint already.
    """
    return (predicted - target).norm(dim=-1).mean(-1)


def procrustes_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """PA-MPJPE or PA-MPVPE: the mean distance after the best rotation, scale and translation. (B, N, 3) → (B,)."""
    return mean_distance(procrustes_align(predicted, target), target)


def scaled_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean distance after the best scale about the root: what is left if the person's size were known."""
    return mean_distance(best_scale(predicted, target) * predicted, target)


def acceleration_error(predicted: Tensor, target: Tensor, fps: float | None = None) -> Tensor:
    """Mean distance of the joints' second differences over a sequence (T, J, 3) → scalar.

    Per frame², as HMMR (Kanazawa et al. 2019) reports it in mm; with `fps`, per second². NaN for fewer than 3 frames.
    """
    second_difference = torch.diff(predicted - target, n=2, dim=0).norm(dim=-1).mean()
    return second_difference * fps**2 if fps else second_difference


def f_score(predicted: Tensor, target: Tensor, threshold: float) -> Tensor:
    """F-score of two point clouds, (B, N, 3) and (B, M, 3) → (B,): the harmonic mean of precision and recall.

    Precision is the share of predicted points with a true point nearer than `threshold`, recall the share of true
    points with such a predicted point (Knapitsch et al. 2017; FreiHAND, Zimmermann et al. 2019, takes 5 and 15 mm).
    0 where both are 0.
    """
    scores = []
    for points, truth in zip(predicted, target, strict=True):  # one at a time: all distances of a hand are 2.4 MB
        distance = torch.cdist(points, truth, compute_mode="donot_use_mm_for_euclid_dist")
        precision = (distance.amin(1) < threshold).to(distance.dtype).mean()
        recall = (distance.amin(0) < threshold).to(distance.dtype).mean()
        scores.append(2 * precision * recall / (precision + recall).clamp_min(1e-12))
    return torch.stack(scores) if scores else predicted.new_zeros(0)


def keypoint_similarity(predicted: Tensor, target: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """COCO's similarity of each joint, (B, J): exp(−d² / (2 area (2σ)²)).

    Args:
        predicted, target: (B, J, 2) pixels.
        area: (B,) the person's area in square pixels; less than one counts as one.
        sigmas: (J,) the joints' spread, `JointSet.oks_sigmas`.
    """
    squared = (predicted - target).square().sum(-1)
    return torch.exp(-squared / (2 * area[:, None].clamp_min(1) * (2 * sigmas).square()))


def object_keypoint_similarity(
    predicted: Tensor, target: Tensor, area: Tensor, sigmas: Tensor, visible: Tensor
) -> Tensor:
    """COCO's OKS per person, (B,): mean of `keypoint_similarity` over the visible joints.

    Args:
        predicted, target, area, sigmas: See there.
        visible: (B, J) bool; a person with none gets 0.
    """
    similarity = keypoint_similarity(predicted, target, area, sigmas)
    visible = visible.to(similarity.dtype)
    return (similarity * visible).sum(-1) / visible.sum(-1).clamp_min(1)
