"""Distance of a fitted body from the joints that it was fitted to; fits that are too far are not used in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Limits of the reference implementation, for the mean over the joints.
LARGEST_ERROR_MM = {"human36m": 25.0, "muco": 45.0}
LARGEST_ERROR_CROP_PX = {"coco": 3.0}

_CROP_PX = 64


def fit_error_mm(joints_m: NDArray[np.floating], fitted_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) mean distance in millimetres of fitted joints from true ones, both centred on their mean joint.

    Args:
        joints_m: (N, J, 3) the data set's joints, metres.
        fitted_m: (N, J, 3) the same joints regressed from the fitted bodies, in the same axes.
    """
    labelled = joints_m - joints_m.mean(axis=1, keepdims=True)
    fitted = fitted_m - fitted_m.mean(axis=1, keepdims=True)
    return 1000 * np.linalg.norm(labelled - fitted, axis=2).mean(axis=1)


def fit_error_crop_px(joints_px: NDArray[np.floating], fitted_px: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) mean distance of fitted joints from labelled ones, in pixels of a crop of 64 × 64; NaN without a label.

    The crop is the square around the fitted joints.

    Args:
        joints_px: (N, J, 3) labelled x, y and visibility; 0 is not labelled.
        fitted_px: (N, J, 2) the same joints of the fitted bodies, projected.
    """
    labelled = joints_px[..., 2] > 0
    distance = np.linalg.norm(joints_px[..., :2] - fitted_px, axis=2)
    # A box from the first to the last pixel is one less than its width.
    side = np.ptp(fitted_px, axis=1).max(axis=1) - 1
    count = labelled.sum(axis=1)
    mean = np.where(labelled, distance, 0).sum(axis=1) / np.where(count > 0, count, np.nan)
    return mean * _CROP_PX / side
