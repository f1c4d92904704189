"""Conversions of the joints of one sample: units, projection to pixels, joints in the middle of two others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.skeletons import COCO, COCO17


def to_metres(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert joints (J, 3) of a body or a hand, in metres or in millimetres, to metres.

    For files that do not give the unit. Bodies and hands are larger than 10 mm and smaller than 10 m, so the size
    decides it.
    """
    spread = np.ptp(joints, axis=0).max()
    return joints / 1000 if spread > 10 else joints


def project_joints(joints_m: NDArray[np.float64], intrinsics: Sequence[float]) -> NDArray[np.float64]:
    """Project joints to (J, 3): x, y in pixels and visibility 1; all 0 for joints that are not in front of the camera.

    Args:
        joints_m: (J, 3) in camera axes, metres.
        intrinsics: fx, fy, cx, cy in pixels.
    """
    before = joints_m[:, 2:] > 0
    pixels = Intrinsics(*intrinsics).project(np.where(before, joints_m, 1))
    return np.where(before, np.column_stack([pixels, np.ones(len(joints_m))]), 0)


def add_middle_joints(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add pelvis and neck to COCO joints: (17, 3) x, y, confidence → (19, 3), the middle of hips and of shoulders.

    A middle has the lower confidence of its two joints, and is missing where one of them is.
    """
    whole = np.vstack([joints, np.zeros((len(COCO) - len(COCO17), 3))])
    for name, sources in COCO.derived:
        pair = joints[[COCO.index(source) for source in sources]]
        if (sure := pair[:, 2].min()) > 0:
            whole[COCO.index(name)] = *pair[:, :2].mean(axis=0), sure
    return whole
