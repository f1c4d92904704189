"""Triangulation of joints that several calibrated cameras see at the same time, robust to one wrong view.

Detectors confuse left and right in single views, and place hidden joints by guessing. A joint is therefore triangulated
from all views, and from all but one: the view without which the others agree much better is left out. A pair of left
and right joints that agrees much better with the two exchanged in one view is exchanged there.

The linear estimate (Hartley and Zisserman, "Multiple View Geometry", 2nd edition, section 12.2) is refined by
Gauss-Newton steps on the reprojection error.

Convention: metres; world axes of the calibration; camera frame x right, y down, z forward; pixels from the top left.
Letters: `C` cameras, `N` points, such as the joints of all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Floats, Intrinsics

_REFINE_STEPS = 5
_MIN_DEPTH_M = 0.1


@dataclass(frozen=True, eq=False)
class CalibratedCamera:
    """A camera whose intrinsics, with lens distortion, and place in the world are known.

    Attributes:
        name: As in the calibration.
        intrinsics: Focal lengths, principal point and distortion.
        rotation: (3, 3) from world to camera axes.
        translation_m: (3,) of the world's origin in the camera frame.
        image_size: (width, height) that the intrinsics are for.
    """

    name: str
    intrinsics: Intrinsics
    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]
    image_size: tuple[int, int]

    def to_camera(self, points: Floats) -> NDArray[np.float64]:
        """Points (…, 3) in world axes → the camera frame."""
        return np.asarray(points @ self.rotation.T + self.translation_m, np.float64)

    def project(self, points: Floats) -> NDArray[np.float64]:
        """Points (…, 3) in world axes → pixels (…, 2) of the distorted image."""
        return self.intrinsics.project(self.to_camera(points))

    def undistort(self, pixels: Floats) -> NDArray[np.float64]:
        """Pixels (…, 2) of the distorted image → pixels of a pinhole camera with the same intrinsics."""
        return self.intrinsics.pinhole.project(self.intrinsics.rays(pixels))


@dataclass(frozen=True, eq=False)
class Triangulated:
    """Points seen by several cameras.

    Attributes:
        points_m: (N, 3) world axes; NaN where fewer than two cameras saw the point.
        error_px: (C, N) distance of each camera's pixels to the projected point, also of cameras left out; NaN where a
            camera did not see it.
        used: (C, N) bool: the camera's pixels determined the point.
    """

    points_m: NDArray[np.float64]
    error_px: NDArray[np.float64]
    used: NDArray[np.bool_]


def triangulate(cameras: Sequence[CalibratedCamera], pixels: Floats, weights: Floats) -> Triangulated:
    """Triangulate points by all cameras that see them.

    Args:
        cameras: The `C` cameras.
        pixels: (C, N, 2) of the distorted images.
        weights: (C, N) non-negative, such as a detector's confidence; 0 leaves a camera out.

    Raises:
        InputError: shapes that do not fit.
    """
    C = len(cameras)
    if pixels.ndim != 3 or pixels.shape[::2] != (C, 2) or weights.shape != pixels.shape[:2]:
        raise InputError(
            f"pixels and weights have shapes {pixels.shape} and {weights.shape}; expected ({C}, N, 2) and ({C}, N), "
            f"since there are {C} cameras"
        )
    flat = np.stack([camera.undistort(view) for camera, view in zip(cameras, pixels, strict=True)])
    return _triangulate(_projections(cameras), flat, weights)


def triangulate_robustly(
    cameras: Sequence[CalibratedCamera], pixels: Floats, weights: Floats, max_error_px: float = 15.0, gain: float = 0.6
) -> Triangulated:
    """Triangulate points, each without the worst view where that helps.

    A camera is left out where the largest error is above `max_error_px` and the largest error of the other cameras,
    without it, is below `gain` of that; at least two cameras stay.

    Args:
        cameras, pixels, weights: See `triangulate`.
        max_error_px: Largest error with which all cameras are used without a question.
        gain: Largest ratio of the errors without and with the camera.

    Raises:
        InputError: as `triangulate`.
    """
    best = triangulate(cameras, pixels, weights)
    worst = _largest(best.error_px, best.used)
    suspicious = (worst > max_error_px) & (best.used.sum(0) > 2)
    points, used = best.points_m.copy(), best.used.copy()
    limit = np.where(suspicious, gain * worst, -np.inf)
    for left_out in range(len(cameras)):
        tried = weights * (np.arange(len(cameras)) != left_out)[:, None]
        found = triangulate(cameras, pixels, tried)
        error = _largest(found.error_px, found.used)
        better = error < limit
        points[better], used[:, better] = found.points_m[better], found.used[:, better]
        limit = np.where(better, error, limit)
    seen = np.isfinite(best.error_px)
    return Triangulated(points, _errors(cameras, pixels, points, seen), used)


def exchange_sides(
    cameras: Sequence[CalibratedCamera],
    pixels: Floats,
    weights: Floats,
    pairs: Sequence[tuple[int, int]],
    min_error_px: float = 15.0,
    gain: float = 0.5,
) -> NDArray[np.int_]:
    """Find left and right joints that a single view confuses.

    For each frame and each pair of joints, the views are triangulated as they are and with the pair exchanged in one
    view. Where the exchange lowers the mean error of both joints to less than `gain` of what it was, it is taken.

    Args:
        cameras: The `C` cameras.
        pixels: (C, T, J, 2) of the distorted images.
        weights: (C, T, J) as in `triangulate`.
        pairs: Indices (left, right).
        min_error_px: Pairs with a smaller mean error are left as they are.
        gain: Largest ratio of the errors after and before.

    Returns:
        (C, T, J) index of the joint to take instead: `np.take_along_axis(weights, index, 2)` are the repaired weights.

    Raises:
        InputError: as `triangulate`.
    """
    C, T, J = weights.shape
    order = np.tile(np.arange(J), (C, T, 1))
    for pair in pairs:
        both = list(pair)
        x, w = pixels[:, :, both], weights[:, :, both]
        error = _mean_error(cameras, x, w)
        limit = np.where(error > min_error_px, gain * error, -np.inf)
        exchanged = np.full(T, -1)
        for view in range(C):
            tried_x, tried_w = x.copy(), w.copy()
            tried_x[view], tried_w[view] = x[view, :, ::-1], w[view, :, ::-1]
            found = _mean_error(cameras, tried_x, tried_w)
            better = found < limit
            exchanged[better], limit = view, np.where(better, found, limit)
        frames = np.flatnonzero(exchanged >= 0)
        for joint, other in (pair, pair[::-1]):
            order[exchanged[frames], frames, joint] = other
    return order


def _mean_error(cameras: Sequence[CalibratedCamera], pixels: Floats, weights: Floats) -> NDArray[np.float64]:
    """Mean reprojection error (T,) over cameras and joints, of pixels (C, T, J, 2) and weights (C, T, J)."""
    C, T, J = weights.shape
    found = triangulate(cameras, pixels.reshape(C, T * J, 2), weights.reshape(C, T * J))
    error = np.where(found.used, found.error_px, 0).reshape(C, T, J).sum((0, 2))
    return np.asarray(error / np.maximum(found.used.reshape(C, T, J).sum((0, 2)), 1), np.float64)


def _projections(cameras: Sequence[CalibratedCamera]) -> NDArray[np.float64]:
    """Projection matrices (C, 3, 4) from world to pixels of the undistorted images."""
    return np.stack(
        [
            np.array([[k.fx, 0, k.cx], [0, k.fy, k.cy], [0, 0, 1]])
            @ np.concatenate([camera.rotation, camera.translation_m[:, None]], axis=1)
            for camera in cameras
            for k in (camera.intrinsics,)
        ]
    )


def _triangulate(projections: Floats, flat: Floats, weights: Floats) -> Triangulated:
    """`triangulate` for projections (C, 3, 4) and undistorted pixels (C, N, 2)."""
    used = (weights > 0) & np.isfinite(flat).all(-1)
    w, x = np.where(used, np.sqrt(np.maximum(weights, 0)), 0), np.where(used[..., None], flat, 0)
    # Rows are divided by the focal length, so that the four unknowns have one order of magnitude.
    rows = (x[..., None] * projections[:, None, 2:] - projections[:, None, :2]) / projections[:, None, :1, :1]
    system = (rows * w[..., None, None]).transpose(1, 0, 2, 3).reshape(x.shape[1], -1, 4)
    homogeneous = np.linalg.svd(system)[2][:, -1]
    scale = homogeneous[:, 3:]
    points = homogeneous[:, :3] / np.where(np.abs(scale) < 1e-9, 1e-9, scale)
    enough = used.sum(0) >= 2
    for _ in range(_REFINE_STEPS):
        points = points + np.where(enough[:, None], _step(projections, points, x, w), 0)
    points = np.where(enough[:, None], points, np.nan)
    error = np.linalg.norm(_project(projections, points)[0] - flat, axis=-1)
    return Triangulated(points, np.where(np.isfinite(flat).all(-1), error, np.nan), used & enough)


def _step(projections: Floats, points: Floats, pixels: Floats, w: Floats) -> NDArray[np.float64]:
    """Gauss-Newton step (N, 3) of the weighted squared reprojection error."""
    found, depth = _project(projections, points)
    jacobian = (projections[:, None, :2, :3] - found[..., None] * projections[:, None, 2:, :3]) / depth[..., None, None]
    jacobian = jacobian * w[..., None, None]
    residual = (pixels - found) * w[..., None]
    normal = np.einsum("cnik,cnil->nkl", jacobian, jacobian)
    damping = 1e-6 * np.trace(normal, axis1=1, axis2=2) + 1e-9
    right = np.einsum("cnik,cni->nk", jacobian, residual)
    return np.linalg.solve(normal + damping[:, None, None] * np.eye(3), right[..., None])[..., 0]


def _project(projections: Floats, points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Undistorted pixels (C, N, 2) and depths (C, N) of points (N, 3)."""
    projected = np.einsum("cij,nj->cni", projections[:, :, :3], points) + projections[:, None, :, 3]
    depth = np.maximum(projected[..., 2], _MIN_DEPTH_M)
    return projected[..., :2] / depth[..., None], depth


def _errors(
    cameras: Sequence[CalibratedCamera], pixels: Floats, points: Floats, seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    flat = np.stack([camera.undistort(view) for camera, view in zip(cameras, pixels, strict=True)])
    error = np.linalg.norm(_project(_projections(cameras), points)[0] - flat, axis=-1)
    return np.where(seen, error, np.nan)


def _largest(error_px: Floats, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Largest error (N,) of the cameras used; 0 where none is."""
    return np.where(used, error_px, 0).max(axis=0)
