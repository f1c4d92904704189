"""Errors of predicted bodies under a protocol: per person, as means, by action, and over sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh import metrics
from pose2mesh.evaluation.protocols import Protocol
from pose2mesh.geometry.rotations import procrustes_align
from pose2mesh.metrics import STANDARD_MEASURES, BodyPoints, Measure, compute_errors
from pose2mesh.motion.smoothing import smooth

MIN_FRAMES = 3  # second differences need three consecutive frames


def relative_joints(protocol: Protocol, joints: Tensor) -> Tensor:
    """The protocol's joints relative to the root joint, in double precision: (B, J, 3) → (B, len(columns), 3)."""
    root = protocol.joint_set.root_index
    return (joints - joints[:, root, None])[:, protocol.columns].double()


def person_errors(
    protocol: Protocol, prediction: BodyPoints, ground_truth: BodyPoints, aligned: bool = True
) -> dict[str, Tensor]:
    """Errors of each person, (B,), by their names in reports: `…_mm` in millimetres, `f_score_…` in [0, 1].

    Errors of the surface are left out if the prediction or the ground truth has no vertices, errors after alignment
    without `aligned`.

    Args:
        protocol: Protocol with the joints, the roots and the thresholds of the F-scores.
        prediction, ground_truth: Metres, joints in the protocol's joint set, `mesh_root` of the protocol's.
        aligned: Whether to compute the errors after a Procrustes alignment, which do not depend on the camera.
    """
    measures: tuple[Measure, ...] = STANDARD_MEASURES if aligned else ("mpjpe", "mpvpe")
    joint_set = protocol.joint_set
    metres = compute_errors(prediction, ground_truth, joint_set, measures, protocol.columns)
    errors = {f"{name}_mm": 1000 * values for name, values in metres.items()}
    vertices, true_vertices = (body.relative_vertices(joint_set) for body in (prediction, ground_truth))
    if aligned and protocol.f_scores_mm and vertices is not None and true_vertices is not None:
        aligned_vertices = procrustes_align(vertices, true_vertices)
        for distance_mm in protocol.f_scores_mm:
            score = metrics.f_score(aligned_vertices, true_vertices, distance_mm / 1000)
            errors[f"f_score_{distance_mm:g}mm"] = score
    return errors


def means(errors: dict[str, NDArray[np.floating]]) -> dict[str, float]:
    """Means of each error over the samples that have it: some have no true surface."""
    return {name: float(np.nanmean(values)) for name, values in errors.items() if np.isfinite(values).any()}


def by_action(
    protocol: Protocol, errors: dict[str, NDArray[np.floating]], action: NDArray[np.integer]
) -> dict[str, dict[str, float]]:
    """Means over each action of the protocol that has samples, with their number under `samples`."""
    table = {}
    for number, name in protocol.actions.items():
        of_action = action == number
        if of_action.any():
            chosen = {measure: values[of_action] for measure, values in errors.items()}
            table[name] = {"samples": int(of_action.sum()), **means(chosen)}
    return table


def stretches(
    sequence: NDArray[np.integer], person: NDArray[np.integer], frame: NDArray[np.integer]
) -> Iterator[NDArray[np.int64]]:
    """Indices of consecutive frames of one person in one sequence, in order of time; a gap begins a new stretch.

    Args:
        sequence, person, frame: (N,) numbers of each record, in any order.
    """
    order = np.lexsort((frame, person, sequence))
    new = (np.diff(sequence[order]) != 0) | (np.diff(person[order]) != 0) | (np.diff(frame[order]) != 1)
    yield from np.split(order, np.flatnonzero(new) + 1)


def sequence_errors(
    prediction: NDArray[np.floating], ground_truth: NDArray[np.floating], runs: list[NDArray[np.int64]], fps: float
) -> dict[str, Any]:
    """Errors over time of root-relative joints (N, J, 3) in metres, as predicted and after a One-Euro filter.

    The filter is that of `motion.smoothing` with its defaults: `filtered_…` frame by frame, as for a live video;
    `smoothed_…` over the whole stretch, forwards and backwards.

    Args:
        prediction, ground_truth: The joints.
        runs: Indices from `stretches`; runs of fewer than three frames are left out.
        fps: Frames per second.

    Returns:
        `acceleration_mm` (per frame², the mean over all frames with a neighbour on either side) and, for each way of
        filtering, the same with the means of MPJPE and PA-MPJPE; the numbers of `sequences` and `frames`. Empty where
        no run is long enough.
    """
    runs = [run for run in runs if len(run) >= MIN_FRAMES]
    if not runs:
        return {}
    results: dict[str, Any] = {"sequences": len(runs), "frames": int(sum(map(len, runs)))}
    for prefix, both_ways in (("", None), ("filtered_", False), ("smoothed_", True)):
        accelerations, errors = [], []
        for run in runs:
            points = prediction[run] if both_ways is None else smooth(prediction[run], fps, both_ways=both_ways)
            one, other = (torch.from_numpy(np.asarray(each, np.float64)) for each in (points, ground_truth[run]))
            accelerations.append((float(metrics.acceleration_error(one, other)), len(run) - 2))
            errors.append((metrics.mean_distance(one, other), metrics.procrustes_distance(one, other)))
        values, weights = np.array(accelerations).T
        results[f"{prefix}acceleration_mm"] = 1000 * float(np.average(values, weights=weights))
        if prefix:
            for name, parts in zip(("mpjpe_mm", "pa_mpjpe_mm"), zip(*errors, strict=True), strict=True):
                results[prefix + name] = 1000 * float(torch.cat(parts).mean())
    return results
