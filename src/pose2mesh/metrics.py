"""Errors of predicted joints and vertices, per sample, in the unit of the input (metres inside the project).

`compute_errors` gives the named errors of a batch of predictions; the other functions compute single distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pose2mesh.geometry.rotations import best_scale, procrustes_align
from pose2mesh.skeletons import JointSet

Measure: TypeAlias = Literal["mpjpe", "pa_mpjpe", "scaled_mpjpe", "mpvpe", "pa_mpvpe", "scaled_mpvpe"]
STANDARD_MEASURES: tuple[Measure, ...] = ("mpjpe", "pa_mpjpe", "mpvpe", "pa_mpvpe")


@dataclass(frozen=True, eq=False)
class BodyPoints:
    """Joints and vertices of `B` bodies, predicted or true; any unit and origin, the axes of the image's camera.

    Attributes:
        joints: (B, J, 3) in the order of a joint set.
        vertices: (B, V, 3); None where they are unknown or belong to another mesh than those they are compared with.
        mesh_root: (B, 3) the origin of the vertices in `relative_vertices`; the root joint where None.
    """

    joints: Tensor
    vertices: Tensor | None = None
    mesh_root: Tensor | None = None

    def relative_joints(self, joint_set: JointSet) -> Tensor:
        """(B, J, 3) joints relative to the root joint of the joint set."""
        return self.joints - self.joints[:, joint_set.root_index, None]

    def relative_vertices(self, joint_set: JointSet) -> Tensor | None:
        """(B, V, 3) vertices relative to `mesh_root`, or to the root joint of the joint set; None without vertices."""
        if self.vertices is None:
            return None
        root = self.joints[:, joint_set.root_index] if self.mesh_root is None else self.mesh_root
        return self.vertices - root[:, None]


def compute_errors(
    prediction: BodyPoints,
    ground_truth: BodyPoints,
    joint_set: JointSet,
    measures: Sequence[Measure] = STANDARD_MEASURES,
    joint_indices: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """Errors of each sample, (B,), by name, after both sides are made relative to their roots.

    `mpjpe` is the mean distance of joints, `mpvpe` of vertices; the prefix `pa_` is for the distance after a Procrustes
    alignment (rotation, scale and translation), `scaled_` for that after the best scale about the root.

    Args:
        prediction, ground_truth: Of the same `B` samples, in the same unit and axes.
        joint_set: The `J` joints of both.
        measures: Which errors to compute.
        joint_indices: The joints to average over; the joint set's `evaluation_indices` where None.

    Returns:
        The errors in the unit of the input, in the order of `measures`; those of vertices are left out where either
        side has no vertices.
    """
    indices = list(joint_set.evaluation_indices if joint_indices is None else joint_indices)
    bodies = (prediction, ground_truth)
    joints, true_joints = (body.relative_joints(joint_set)[:, indices] for body in bodies)
    vertices, true_vertices = None, None
    if any(measure.endswith("mpvpe") for measure in measures):
        vertices, true_vertices = (body.relative_vertices(joint_set) for body in bodies)
    errors = {}
    for measure in measures:
        distance = _DISTANCES[measure]
        if measure.endswith("mpjpe"):
            errors[str(measure)] = distance(joints, true_joints)
        elif vertices is not None and true_vertices is not None:
            errors[str(measure)] = distance(vertices, true_vertices)
    return errors


def mean_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE of joints, or MPVPE of vertices: mean Euclidean distance over points (B, N, 3) → (B,).

    Both must be relative to the same root joint already.
    """
    return (predicted - target).norm(dim=-1).mean(-1)


def procrustes_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """PA-MPJPE or PA-MPVPE: the mean distance after the best rotation, scale and translation. (B, N, 3) → (B,)."""
    return mean_distance(procrustes_align(predicted, target), target)


def scaled_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance after the best scale about the root: the error that remains when the person's size is given."""
    return mean_distance(best_scale(predicted, target) * predicted, target)


_DISTANCES: dict[Measure, Callable[[Tensor, Tensor], Tensor]] = {
    "mpjpe": mean_distance,
    "pa_mpjpe": procrustes_distance,
    "scaled_mpjpe": scaled_distance,
    "mpvpe": mean_distance,
    "pa_mpvpe": procrustes_distance,
    "scaled_mpvpe": scaled_distance,
}


def acceleration_error(predicted: Tensor, target: Tensor, fps: float | None = None) -> Tensor:
    """Mean distance of the joints' second differences over a sequence (T, J, 3) → scalar.

    Per frame², as HMMR (Kanazawa et al. 2019) reports it in mm; with `fps`, per second². NaN for fewer than 3 frames.
    """
    second_difference = torch.diff(predicted - target, n=2, dim=0).norm(dim=-1).mean()
    return second_difference * fps**2 if fps else second_difference


def f_score(predicted: Tensor, target: Tensor, threshold: float) -> Tensor:
    """F-score of two point clouds, (B, N, 3) and (B, M, 3) → (B,): the harmonic mean of precision and recall.

    Precision is the share of predicted points with a true point nearer than `threshold`, recall the share of true
    points with a predicted point that near (Knapitsch et al. 2017; FreiHAND, Zimmermann et al. 2019, takes 5 and
    15 mm). 0 where both are 0.
    """
    scores = []
    for points, true_points in zip(predicted, target, strict=True):  # one at a time: all distances of a hand are 2.4 MB
        distance = torch.cdist(points, true_points, compute_mode="donot_use_mm_for_euclid_dist")
        precision = (distance.amin(1) < threshold).to(distance.dtype).mean()
        recall = (distance.amin(0) < threshold).to(distance.dtype).mean()
        scores.append(2 * precision * recall / (precision + recall).clamp_min(1e-12))
    return torch.stack(scores) if scores else predicted.new_zeros(0)


def keypoint_similarity(predicted: Tensor, target: Tensor, area: Tensor, sigmas: Tensor) -> Tensor:
    """COCO's keypoint similarity of each joint, (B, J): exp(−d² / (2 area (2σ)²)).

    Args:
        predicted, target: (B, J, 2) pixels.
        area: (B,) the person's area in square pixels; values below 1 are raised to 1.
        sigmas: (J,) the joints' spread, `JointSet.oks_sigmas`.
    """
    squared = (predicted - target).square().sum(-1)
    return torch.exp(-squared / (2 * area[:, None].clamp_min(1) * (2 * sigmas).square()))


def object_keypoint_similarity(
    predicted: Tensor, target: Tensor, area: Tensor, sigmas: Tensor, visible: Tensor
) -> Tensor:
    """COCO's OKS per person, (B,): mean of `keypoint_similarity` over the visible joints.

    Args:
        predicted, target, area, sigmas: See `keypoint_similarity`.
        visible: (B, J) bool; a person with none gets 0.
    """
    similarity = keypoint_similarity(predicted, target, area, sigmas)
    visible = visible.to(similarity.dtype)
    return (similarity * visible).sum(-1) / visible.sum(-1).clamp_min(1)
