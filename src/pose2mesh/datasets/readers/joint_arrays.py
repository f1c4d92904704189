"""Joints of one person on their way into the columns: units, projection, joints between others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.skeletons import COCO, COCO17


def metres(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(J, 3) joints of one person or hand in metres, whether they were in metres or in millimetres.

    Neither is smaller than 10 mm or larger than 10 m, so the unit shows. For files whose unit nothing else tells.
    """
    spread = np.ptp(joints, axis=0).max()
    return joints / 1000 if spread > 10 else joints


def projected(joints_m: NDArray[np.float64], intrinsics: Sequence[float]) -> NDArray[np.float64]:
    """(J, 3) x, y in pixels and visibility of joints in the camera's axes; all 0 for those that are not before it.

    Args:
        joints_m: (J, 3) metres.
        intrinsics: fx, fy, cx, cy in pixels.
    """
    before = joints_m[:, 2:] > 0
    pixels = Intrinsics(*intrinsics).project(np.where(before, joints_m, 1))
    return np.where(before, np.column_stack([pixels, np.ones(len(joints_m))]), 0)


def with_middles(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(17, 3) COCO joints x, y, confidence → (19, 3) with the pelvis and neck: the middle of hips and of shoulders.

    A middle is as sure as the less sure of the two, and missing where one is.
    """
    whole = np.vstack([joints, np.zeros((len(COCO) - len(COCO17), 3))])
    for name, sources in COCO.derived:
        pair = joints[[COCO.index(source) for source in sources]]
        if (sure := pair[:, 2].min()) > 0:
            whole[COCO.index(name)] = *pair[:, :2].mean(axis=0), sure
    return whole
