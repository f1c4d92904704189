"""Predictions of a model on a sample set, and their agreement with the 3D ground truth and with the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh import metrics
from pose2mesh.evaluation.image_metrics import MIN_LABELLED_JOINTS
from pose2mesh.evaluation.robustness.sample_sets import SampleSet
from pose2mesh.inference.person import solve_camera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.metrics import BodyPoints, compute_errors
from pose2mesh.skeletons import JointSet
from pose2mesh.visualization import renderer

Floats: TypeAlias = NDArray[np.floating]
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class PredictionSet:
    """Predictions for `P` samples: root-relative, metres, camera axes.

    Attributes:
        joints: (P, J, 3).
        vertices: (P, V, 3).
    """

    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]


def predict(predictor: Predictor, people: SampleSet, *, give_camera: bool = False) -> PredictionSet:
    """Run the model on 2D joints alone, or also given the true cameras of samples from clips."""
    intrinsics = people.ground_truth.intrinsics if give_camera and people.ground_truth is not None else None
    return PredictionSet(*predictor.run(people.joints_px, people.confidence, intrinsics))


def distance_mm(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Mean distance (P,) in millimetres of points (P, N, 3) in metres."""
    parts = [
        np.linalg.norm(a[start : start + _CHUNK] - b[start : start + _CHUNK], axis=-1).mean(1)
        for start in range(0, len(a), _CHUNK)
    ]
    return 1000 * np.concatenate(parts).astype(np.float64)


def errors_mm(predictions: PredictionSet, people: SampleSet, joint_set: JointSet) -> dict[str, NDArray[np.float64]]:
    """MPJPE, PA-MPJPE and MPVPE (P,) in millimetres; `people` must have a ground truth."""
    ground_truth = people.ground_truth
    assert ground_truth is not None
    parts = []
    for start in range(0, len(people), _CHUNK):
        part = slice(start, start + _CHUNK)
        prediction, true_points = (
            BodyPoints(torch.from_numpy(side.joints[part]), torch.from_numpy(side.vertices[part]))
            for side in (predictions, ground_truth)
        )
        parts.append(compute_errors(prediction, true_points, joint_set, ("mpjpe", "pa_mpjpe", "mpvpe")))
    return {f"{name}_mm": 1000 * torch.cat([part[name] for part in parts]).double().numpy() for name in parts[0]}


def person_box_px(joints_px: Floats, confidence: Floats) -> NDArray[np.float64]:
    """Longer side (P,) of the box around each person's joints, missing ones left out."""
    present = (confidence > 0)[..., None]
    high = np.where(present, joints_px, -np.inf).max(1)
    low = np.where(present, joints_px, np.inf).min(1)
    return np.asarray((high - low).max(1), np.float64)


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Predictions projected into the image by the closed-form weak-perspective camera.

    Attributes:
        joints_px: (P, J, 2) the projected joints.
        similarity: (P, J) COCO's keypoint similarity exp(−d² / (2 area (2σ)²)) with the target; NaN where missing.
        oks: (P,) mean similarity over the joints that are not missing, derived ones left out.
        error: (P,) mean distance over the same joints, as a share of the square root of the person's area.
    """

    joints_px: NDArray[np.float64]
    similarity: NDArray[np.float64]
    oks: NDArray[np.float64]
    error: NDArray[np.float64]


def reproject(
    joints: Floats, joints_px: Floats, confidence: Floats, target_px: Floats, area_px: Floats, joint_set: JointSet
) -> Reprojection:
    """Fit each person's camera to the model's input, project the joints and compare them with the target.

    Args:
        joints: (P, J, 3) the predicted joints.
        joints_px, confidence: (P, J, 2), (P, J) the model's input.
        target_px: (P, J, 2) the input joints, or the true ones where the input has synthesised errors.
        area_px: (P,) area of each person in square pixels.
        joint_set: The `J` joints.
    """
    projected = np.empty(joints_px.shape, np.float64)
    for person in range(len(joints)):
        camera = solve_camera(joints[person], joints_px[person], confidence[person], None)
        projected[person] = camera.project(joints[person])
    present = confidence > 0
    present[:, [joint_set.index(name) for name, _ in joint_set.derived]] = False
    projection, target, area = (
        torch.from_numpy(np.asarray(each, np.float64)) for each in (projected, target_px, area_px)
    )
    sigmas = torch.tensor(joint_set.oks_sigmas, dtype=torch.float64)
    similarity = np.where(present, metrics.keypoint_similarity(projection, target, area, sigmas).numpy(), np.nan)
    size = np.sqrt(np.maximum(area_px, 1.0).astype(np.float64))[:, None]
    distance = np.where(present, np.linalg.norm(projected - target_px, axis=-1) / size, np.nan)
    return Reprojection(projected, similarity, np.nanmean(similarity, 1), np.nanmean(distance, 1))


def silhouette_iou(predictions: PredictionSet, people: SampleSet, predictor: Predictor) -> NDArray[np.float64]:
    """IoU (P,) of each predicted silhouette with the person's mask; NaN without a mask or with fewer than 12 joints.

    The measure is that of `pose2mesh evaluate --keypoints`.
    """
    out = np.full(len(people), np.nan)
    derived = [predictor.joint_set.index(name) for name, _ in predictor.joint_set.derived]
    labelled = np.delete(people.confidence > 0, derived, axis=1).sum(1)
    for person in np.flatnonzero(labelled >= MIN_LABELLED_JOINTS):
        mask = people.mask(int(person))
        if mask is None:
            continue
        camera = solve_camera(
            predictions.joints[person], people.joints_px[person], people.confidence[person], None, people.sizes[person]
        )
        vertices = predictions.vertices[person]
        depth = vertices[:, 2] + camera.translation_m[2]
        silhouette = renderer.silhouette(camera.project(vertices), depth, predictor.faces, *mask.shape)
        union = float((silhouette | mask).sum())
        out[person] = float((silhouette & mask).sum()) / union if union else 0.0
    return out
