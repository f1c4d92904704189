"""`Person`, one recovered person, and `Camera`, the camera solved for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.camera import Intrinsics, fit_perspective, fit_weak_perspective, nominal_intrinsics


@dataclass(frozen=True)
class Camera:
    """Camera of one person.

    Attributes:
        kind: `perspective`, or `weak_perspective` (one scale for the whole body) where the camera is unknown.
        intrinsics: Of the perspective camera; for weak perspective, nominal ones that give the same scale at the root.
        translation_m: (3,) the root joint in the camera's frame.
        scale_px_per_m: Pixels per metre at the depth of the root joint.
        shift_px: (2,) the projected root joint.
    """

    kind: str
    intrinsics: Intrinsics
    translation_m: NDArray[np.float64]
    scale_px_per_m: float
    shift_px: NDArray[np.float64]

    @property
    def source(self) -> str:
        """Where the intrinsics of a perspective camera come from: `given`, `metadata` or `nominal`; else `none`."""
        return self.intrinsics.source if self.kind == "perspective" else "none"

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Root-relative points (N, 3), metres, camera axes → pixels (N, 2)."""
        if self.kind == "perspective":
            absolute = points + self.translation_m
            absolute[:, 2] = np.maximum(absolute[:, 2], 0.01)
            return self.intrinsics.project(absolute)
        return np.asarray(self.scale_px_per_m * points[:, :2] + self.shift_px, np.float64)


@dataclass(frozen=True)
class BodyPose:
    """Pose and shape of a predicted body: vertices = size × the skinned body of the model (`models.skinned_body`).

    Attributes:
        rotations: (22, 3, 3) of the bones `body_models.bones.BODY_BONES`, from the rest pose (z up, facing −y) to the
            camera's axes.
        shape: (S,) coefficients of the model's shape components, which have unit variance over people of all ages.
        size: Factor from a given standing height; 1 without one.
    """

    rotations: NDArray[np.float32]
    shape: NDArray[np.float32]
    size: float = 1.0


@dataclass(frozen=True)
class Person:
    """One recovered person. 3D in metres, camera axes (x right, y down, z forward), relative to the root joint.

    Attributes:
        joints: (J, 3) joints regressed from the mesh, in the order of the model's joint set.
        vertices: (V, 3).
        joints_px: (J, 2) the input joints in the model's joint set; 0 where missing.
        confidence: (J,) confidences of the input joints; 0 where missing.
        camera: The camera solved for this person.
        stature_m: Standing height of the predicted body, or the one given; NaN for a model that does not predict it.
        score: Mean confidence of the input joints that are present.
        pose: Pose and shape of the body; None for a model that predicts vertices alone.
        expected_errors_m: (J, 2) expected absolute error of each joint relative to the root joint, per axis: across the
            line of sight to the person, and along it; None for a model that does not predict it.
    """

    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    camera: Camera
    stature_m: float
    score: float
    pose: BodyPose | None = None
    expected_errors_m: NDArray[np.float32] | None = None

    @property
    def vertices_camera(self) -> NDArray[np.float64]:
        """(V, 3) in the camera's frame, metres."""
        return self.vertices + self.camera.translation_m

    @property
    def joints_camera(self) -> NDArray[np.float64]:
        """(J, 3) in the camera's frame, metres."""
        return self.joints + self.camera.translation_m


def solve_camera(
    joints: NDArray[np.floating],
    joints_px: NDArray[np.floating],
    confidence: NDArray[np.floating],
    intrinsics: Intrinsics | None,
    image_size: tuple[int, int] | None = None,
) -> Camera:
    """Camera of one person: full perspective if intrinsics are given, else weak perspective.

    Args:
        joints: (J, 3) root-relative, metres, camera axes.
        joints_px: (J, 2) their observed projections.
        confidence: (J,) their weights in the fit; 0 leaves a joint out.
        intrinsics: Of the camera, or None.
        image_size: (width, height) for the nominal focal length; by default the joints' `canvas_size`.
    """
    if intrinsics is not None:
        translation = fit_perspective(joints, joints_px, confidence, intrinsics)
        scale = float(np.sqrt(intrinsics.fx * intrinsics.fy) / translation[2])
        return Camera("perspective", intrinsics, translation, scale, intrinsics.project(translation))
    scale, shift = fit_weak_perspective(joints, joints_px, confidence)
    nominal = nominal_intrinsics(image_size or canvas_size(joints_px[confidence > 0]))
    depth = nominal.fx / scale
    translation = nominal.rays(shift) * depth
    return Camera("weak_perspective", nominal, translation, scale, shift)


def canvas_size(pixels: NDArray[np.floating]) -> tuple[int, int]:
    """(width, height) of an image that would hold points (N, 2) with a margin, for input without an image size."""
    low, high = pixels.min(0), pixels.max(0)
    margin = 0.25 * max(*(high - low), 40.0)
    # The size stays positive even for points left of or above the origin, which no image has.
    width, height = np.ceil(np.maximum(high, high - low + margin) + margin)
    return int(width), int(height)
