"""Ground truth from several calibrated views of one person, and the errors of predictions from single views.

The truth is triangulated from 2D joints that a detector finds in each view, so it has the detector's definition of
joints. Views in which left and right are confused are repaired, a view that contradicts the others is left out
(`geometry.triangulation`), and a constant shift of each view is estimated: a calibration whose principal point is a
few pixels off shifts all joints of a view alike.

Letters: `C` cameras, `T` frames, `J` the joints `JOINTS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Floats
from pose2mesh.geometry.rotations import best_scale, nearest_rotation
from pose2mesh.geometry.triangulation import (
    CalibratedCamera,
    Triangulated,
    exchange_sides,
    triangulate_robustly,
)
from pose2mesh.metrics import acceleration_error, mean_distance, procrustes_distance, scaled_distance
from pose2mesh.skeletons import COCO17

# The joints of COCO below the head, which every joint set of this project and every detector has.
JOINTS = COCO17[5:]
COLUMNS = [COCO17.index(name) for name in JOINTS]
_HIPS = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
_PAIRS = [(index, index + 1) for index in range(0, len(JOINTS), 2)]
_BONES = [
    (JOINTS.index(f"{side}_{a}"), JOINTS.index(f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]
_SHIFT_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class MultiviewTruth:
    """Joints of one person over time in the world, and how well the views agree on them.

    Attributes:
        cameras: The `C` cameras.
        joints_m: (T, J, 3) world axes.
        joints_px: (C, T, J, 2) the detections after exchanges of sides and without the shift.
        weights: (C, T, J) their confidence.
        exchanged: (C, T) bool: the view confuses left and right of at least half the joints in that frame.
        shift_px: (C, 2) the constant shift of each view.
        error_px: (C, T, J) reprojection error, also of views left out.
        used: (C, T, J) bool: the view determined the joint.
    """

    cameras: Sequence[CalibratedCamera]
    joints_m: NDArray[np.float64]
    joints_px: NDArray[np.float64]
    weights: NDArray[np.float64]
    exchanged: NDArray[np.bool_]
    shift_px: NDArray[np.float64]
    error_px: NDArray[np.float64]
    used: NDArray[np.bool_]

    def in_camera(self, view: int) -> NDArray[np.float64]:
        """Root-relative joints (T, J, 3) in the camera frame of a view."""
        return root_relative(self.cameras[view].to_camera(self.joints_m))

    def exactness(self) -> dict[str, float]:
        """How exact the truth is, in pixels and millimetres.

        Keys:
            error_px, error_p90_px: Median and 90th percentile of the reprojection error of the views used.
            left_out, exchanged: Share of detections left out, and of frames of a view with exchanged sides.
            interpolated: Share of joints that fewer than two views detected, and that are interpolated over time.
            leave_one_out_mm, leave_one_out_median_mm: Distance of root-relative joints from those without one view,
                over views, frames and joints.
            bone_spread_mm: Standard deviation of the length of limb bones over time, mean of the bones.
        """
        used_error = self.error_px[self.used]
        distances = []
        for view in range(len(self.cameras)):
            others = [index for index in range(len(self.cameras)) if index != view]
            found = _points(
                [self.cameras[index] for index in others], self.joints_px[others], self.weights[others]
            ).points_m.reshape(self.joints_m.shape)
            distances.append(np.linalg.norm(root_relative(found) - root_relative(self.joints_m), axis=-1))
            distances[-1] = distances[-1][np.isfinite(distances[-1])]
        a, b = np.array(_BONES).T
        lengths = np.linalg.norm(self.joints_m[:, a] - self.joints_m[:, b], axis=-1)
        return {
            "error_px": float(np.median(used_error)),
            "error_p90_px": float(np.percentile(used_error, 90)),
            "left_out": float(1 - self.used.mean()),
            "interpolated": float((self.used.sum(0) < 2).mean()),
            "exchanged": float(self.exchanged.mean()),
            "leave_one_out_mm": float(1000 * np.concatenate(distances).mean()),
            "leave_one_out_median_mm": float(1000 * np.median(np.concatenate(distances))),
            "bone_spread_mm": float(1000 * lengths.std(0).mean()),
        }


def triangulate_person(
    cameras: Sequence[CalibratedCamera], joints_px: Floats, confidence: Floats, *, shift: bool = True
) -> MultiviewTruth:
    """Triangulate one person from the detections of all views.

    Args:
        cameras: The `C` cameras, at least three, so that one can be left out.
        joints_px: (C, T, 17, 2) in the order of `skeletons.COCO17`.
        confidence: (C, T, 17); 0 where a view did not detect the joint.
        shift: Whether to estimate a constant shift of each view.

    Raises:
        InputError: fewer than three cameras, other shapes, or a joint that is seldom detected in two views.
    """
    C = len(cameras)
    if C < 3:
        raise InputError(f"{C} calibrated views, expected three or more, so that one can be left out")
    if joints_px.shape != (*confidence.shape, 2) or confidence.shape[::2] != (C, len(COCO17)):
        raise InputError(
            f"joints_px and confidence have shapes {joints_px.shape} and {confidence.shape}; "
            f"expected ({C}, T, 17, 2) and ({C}, T, 17)"
        )
    pixels, weights = joints_px[:, :, COLUMNS].astype(np.float64), confidence[:, :, COLUMNS].astype(np.float64)
    order = exchange_sides(cameras, pixels, weights, _PAIRS)
    exchanged = (order != np.arange(len(JOINTS))).mean(-1) >= 0.5
    pixels = np.take_along_axis(pixels, order[..., None], 2)
    weights = np.take_along_axis(weights, order, 2)
    shift_px = np.zeros((C, 2))
    for _ in range(_SHIFT_ROUNDS if shift else 0):
        points = _points(cameras, pixels - shift_px[:, None, None], weights).points_m.reshape(*weights.shape[1:], 3)
        for view, camera in enumerate(cameras):
            residual = (pixels[view] - shift_px[view] - camera.project(points))[weights[view] > 0]
            shift_px[view] += np.nanmedian(residual, axis=0) if len(residual) else 0
    pixels = pixels - shift_px[:, None, None]
    found = _points(cameras, pixels, weights)
    shape = weights.shape
    return MultiviewTruth(
        cameras,
        _interpolated(found.points_m.reshape(*shape[1:], 3)),
        pixels,
        weights,
        exchanged,
        shift_px,
        found.error_px.reshape(shape),
        found.used.reshape(shape),
    )


def _points(cameras: Sequence[CalibratedCamera], pixels: Floats, weights: Floats) -> Triangulated:
    C = len(cameras)
    return triangulate_robustly(cameras, pixels.reshape(C, -1, 2), weights.reshape(C, -1))


def _interpolated(joints_m: Floats) -> NDArray[np.float64]:
    """Joints (T, J, 3), linearly interpolated over time where they are NaN.

    Raises:
        InputError: a joint is there in less than half of the frames.
    """
    out, frames = np.array(joints_m, np.float64), np.arange(len(joints_m))
    for joint, name in enumerate(JOINTS):
        there = np.isfinite(out[:, joint]).all(-1)
        if 2 * there.sum() < len(out):
            raise InputError(f"{name} is detected in two views or more in {there.sum()} of {len(out)} frames")
        for axis in range(3):
            out[~there, joint, axis] = np.interp(frames[~there], frames[there], out[there, joint, axis])
    return out


def root_relative(joints: Floats) -> NDArray[np.float64]:
    """Joints (…, J, 3) relative to the middle of the hips."""
    return np.asarray(joints - joints[..., _HIPS, :].mean(-2, keepdims=True), np.float64)


def view_errors(prediction: Floats, truth: Floats, frames: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Errors of a single view in mm; the acceleration error in mm/frame².

    Args:
        prediction, truth: (T, J, 3) metres, in the camera frame; both are made root-relative. Frames of a prediction
            that are NaN, where no person was found, do not count.
        frames: (T,) bool: frames that count, for all but the acceleration; None for all.

    Returns:
        `mpjpe`, `scaled_mpjpe`, `pa_mpjpe`, `acceleration` and `missing`, the share of frames without a prediction.
    """
    found = np.asarray(np.isfinite(prediction).all((1, 2)))
    counted = found if frames is None else found & frames
    ours, theirs = torch.from_numpy(root_relative(prediction)), torch.from_numpy(root_relative(truth))
    accelerations = [
        acceleration_error(ours[part], theirs[part]) for part in _runs(found) if part.stop - part.start >= 3
    ]
    kept = torch.from_numpy(counted)
    return {
        "mpjpe": 1000 * float(mean_distance(ours[kept], theirs[kept]).mean()),
        "scaled_mpjpe": 1000 * float(scaled_distance(ours[kept], theirs[kept]).mean()),
        "pa_mpjpe": 1000 * float(procrustes_distance(ours[kept], theirs[kept]).mean()),
        "acceleration": 1000 * float(torch.stack(accelerations).mean()) if accelerations else float("nan"),
        "missing": float(1 - found.mean()),
    }


def _runs(found: NDArray[np.bool_]) -> list[slice]:
    """Consecutive frames that are there."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(int)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def view_bias(prediction: Floats, truth: Floats) -> dict[str, list[float]]:
    """What the errors of a view have in common, to see what to correct.

    Args:
        prediction, truth: As for `view_errors`.

    Returns:
        `joints_mm` (J,) error of each joint; `axes_mm` (3,) mean absolute error along x, y and depth; `scale` (1,) the
        median over frames of the best scale of the prediction about its root; `rotation_deg` (3,) the one rotation
        vector, camera axes, that brings all frames of the prediction onto the truth.
    """
    found = np.isfinite(prediction).all((1, 2))
    ours, theirs = root_relative(prediction[found]), root_relative(truth[found])
    error = ours - theirs
    scale = best_scale(torch.from_numpy(ours), torch.from_numpy(theirs)).flatten()
    return {
        "joints_mm": (1000 * np.linalg.norm(error, axis=-1).mean(0)).tolist(),
        "axes_mm": (1000 * np.abs(error).mean((0, 1))).tolist(),
        "scale": [float(scale.median())],
        "rotation_deg": _rotation_deg(ours.reshape(-1, 3), theirs.reshape(-1, 3)).tolist(),
    }


def _rotation_deg(ours: Floats, theirs: Floats) -> NDArray[np.float64]:
    """Rotation vector (3,) in degrees of the best rotation of points (N, 3) about the origin."""
    rotation = nearest_rotation(torch.from_numpy(theirs.T @ ours)).numpy()
    return np.rad2deg(Rotation.from_matrix(rotation).as_rotvec())
