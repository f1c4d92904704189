"""Pinhole and weak-perspective cameras, fitted in closed form to 3D joints and their observed pixels, in NumPy.

Convention: camera frame x right, y down, z forward, in metres; pixels from the top left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.geometry.distortion import distort, undistort

Floats: TypeAlias = NDArray[np.floating]

# Where intrinsics come from: the user, the metadata of the image or video, or a guess from the size of the image.
Source = Literal["given", "metadata", "nominal"]

FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)

# Focal length over the longer side of the image, for images of an unknown camera: a field of view of about 45°, as of a
# phone or a standard lens.
NOMINAL_FOCAL_RATIO = 1.2


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, with lens distortion where it is known.

    Attributes:
        fx, fy: Focal lengths in pixels.
        cx, cy: Principal point in pixels.
        distortion: Coefficients k1, k2, p1, p2[, k3] of `geometry.distortion`; empty for none.
        source: Where the values come from; two cameras that differ in it alone are equal.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = field(default=(), kw_only=True)
    source: Source = field(default="given", compare=False, kw_only=True)

    @classmethod
    def parse(cls, text: str) -> Intrinsics:
        """Parse `FX,FY,CX,CY` or `FX,FY,CX,CY,K1,K2,P1,P2[,K3]`.

        Raises:
            InputError: not four, eight or nine numbers, or a focal length that is not positive.
        """
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) not in (4, 8, 9) or not np.isfinite(values).all() or min(values[:2]) <= 0:
            raise InputError(
                f"--intrinsics {text!r}: expected FX,FY,CX,CY[,K1,K2,P1,P2[,K3]] in pixels, focal lengths "
                "positive, 28mm (35 mm equivalent), auto, nominal or none"
            )
        return cls(*values[:4], distortion=tuple(values[4:]))

    @property
    def numbers(self) -> list[float]:
        """fx, fy, cx, cy."""
        return [self.fx, self.fy, self.cx, self.cy]

    def field_of_view_deg(self, size: tuple[int, int]) -> tuple[float, float, float]:
        """Angles across the width, the height and the diagonal of an image of (width, height) pixels, in degrees,
        without distortion and for a principal point in its middle."""
        sides = size[0] / self.fx, size[1] / self.fy
        across, down, diagonal = (math.degrees(2 * math.atan(side / 2)) for side in (*sides, math.hypot(*sides)))
        return across, down, diagonal

    def focal_35mm(self, size: tuple[int, int]) -> float:
        """The 35 mm equivalent focal length for an image of (width, height) pixels; see `equivalent_intrinsics`."""
        return FULL_FRAME_DIAGONAL_MM / math.hypot(size[0] / self.fx, size[1] / self.fy)

    @property
    def pinhole(self) -> Intrinsics:
        """The same camera without distortion."""
        return replace(self, distortion=()) if self.distortion else self

    def project(self, points: Floats) -> NDArray[np.float64]:
        """Points (…, 3) in the camera frame → pixels (…, 2)."""
        focal, centre = np.array([self.fx, self.fy]), np.array([self.cx, self.cy])
        xy = points[..., :2] / points[..., 2:]
        if self.distortion:
            xy = distort(xy, self.distortion)
        return np.asarray(xy * focal + centre, np.float64)

    def rays(self, pixels: Floats) -> NDArray[np.float64]:
        """Pixels (…, 2) → viewing directions (…, 3) with z = 1."""
        xy = (pixels - np.array([self.cx, self.cy])) / np.array([self.fx, self.fy])
        if self.distortion:
            xy = undistort(xy, self.distortion)
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)


def nominal_intrinsics(image_size: tuple[int, int]) -> Intrinsics:
    """Plausible intrinsics for an uncropped image of (width, height) pixels from an unknown camera."""
    focal = NOMINAL_FOCAL_RATIO * max(image_size)
    return Intrinsics(focal, focal, image_size[0] / 2, image_size[1] / 2, source="nominal")


def equivalent_intrinsics(focal_35mm: float, image_size: tuple[int, int], source: Source) -> Intrinsics:
    """Intrinsics of an uncropped image of (width, height) pixels with a 35 mm equivalent focal length.

    Convention: the equivalent lens has the same field of view over the diagonal (CIPA DCG-001), and the diagonal of
    the 36 × 24 mm frame is 43.27 mm.
    """
    focal = focal_35mm / FULL_FRAME_DIAGONAL_MM * math.hypot(*image_size)
    return Intrinsics(focal, focal, image_size[0] / 2, image_size[1] / 2, source=source)


def fit_weak_perspective(joints: Floats, joints_px: Floats, weights: Floats) -> tuple[float, NDArray[np.float64]]:
    """Fit pixels ≈ scale · (x, y) + shift by weighted least squares.

    Args:
        joints: (J, 3) metres, camera axes.
        joints_px: (J, 2) observed pixels.
        weights: (J,) non-negative; 0 leaves a joint out.

    Returns:
        Scale in pixels per metre, and shift (2,) in pixels, the projection of the joints' origin. Where the observed
        joints do not determine a positive scale (a limb that points at the camera), the scale that equates the spread
        of joints and pixels.
    """
    w = (weights / weights.sum())[:, None]
    mean, mean_px = (w * joints[:, :2]).sum(0), (w * joints_px).sum(0)
    flat, flat_px = joints[:, :2] - mean, joints_px - mean_px
    variance = float((w * flat**2).sum())
    scale = float((w * flat * flat_px).sum()) / max(variance, 1e-12)
    spread = np.sqrt(float((w * flat_px**2).sum()) / max(variance, 1e-12))
    if scale < 0.2 * spread:
        scale = spread
    return scale, mean_px - scale * mean


def fit_perspective(joints: Floats, joints_px: Floats, weights: Floats, intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Fit the translation (3,) in metres of root-relative joints to their observed pixels, by linear least squares.

    For a ray (a, b, 1): x + t_x = a (z + t_z) and y + t_y = b (z + t_z), two equations per joint, linear in t. Rows are
    weighted by the confidence. The system is solved twice, the second time with rows divided by the depth of the first
    solution, so that the residual is one in pixels.

    Args:
        joints: (J, 3) metres, camera axes.
        joints_px: (J, 2) observed pixels.
        weights: (J,) non-negative; 0 leaves a joint out.
        intrinsics: Of the camera.
    """
    rays = intrinsics.rays(joints_px.astype(np.float64))
    translation = np.array([0.0, 0.0, 1.0])
    depth = np.ones(len(joints))
    for _ in range(2):
        rows, goals = [], []
        for axis in (0, 1):
            row = np.zeros((len(joints), 3))
            row[:, axis], row[:, 2] = 1, -rays[:, axis]
            rows.append(row)
            goals.append(rays[:, axis] * joints[:, 2] - joints[:, axis])
        w = np.tile(np.sqrt(weights) / depth, 2)
        translation = np.linalg.lstsq(np.concatenate(rows) * w[:, None], np.concatenate(goals) * w, rcond=None)[0]
        depth = np.maximum(joints[:, 2] + translation[2], 0.1)
    if translation[2] < 0.3:  # behind the camera or nearly in it: use the distance that follows from the apparent size
        scale, shift = fit_weak_perspective(joints, joints_px, weights)
        translation[2] = np.sqrt(intrinsics.fx * intrinsics.fy) / scale
        translation[:2] = intrinsics.rays(shift)[:2] * translation[2]
    return translation


def rotation_to_axis(ray: Floats) -> NDArray[np.float64]:
    """The smallest rotation (3, 3) that brings a viewing direction (3,) onto the optical axis."""
    x, y, z = ray / np.linalg.norm(ray)
    k = 1 / (1 + z)
    return np.array([[1 - x * x * k, -x * y * k, -x], [-x * y * k, 1 - y * y * k, -y], [x, y, z]])


def look_at(
    joints_px: Floats, confidence: Floats, intrinsics: Intrinsics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn the camera to face a person.

    Args:
        joints_px: (J, 2) pixels.
        confidence: (J,); joints with 0 are left out.
        intrinsics: Of the camera.

    Returns:
        Pixels (J, 2) in a virtual camera with the same centre and intrinsics but no distortion, whose axis passes
        through the mean joint, 0 for joints left out; and the rotation (3, 3) from the axes of the given camera to
        those of the virtual one.
    """
    present = confidence > 0
    centre = np.average(joints_px[present], axis=0, weights=confidence[present])
    rotation = rotation_to_axis(intrinsics.rays(centre))
    turned = intrinsics.rays(joints_px) @ rotation.T
    turned[:, 2] = np.maximum(turned[:, 2], 1e-3)
    pixels = np.where(present[:, None], intrinsics.pinhole.project(turned), 0.0)
    return pixels, rotation
