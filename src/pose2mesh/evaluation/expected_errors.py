"""Calibration of expected errors: whether joints are as far off as the model predicts (`Bodies.expected_errors_m`).

A model predicts the mean absolute error of each joint, across and along the line of sight. The region of 80 % is where
an error is at most q times that, with q from `BundleInfo.error_quantiles`. The share of errors inside is compared with
80 %, and the likelihood of the errors under Laplace distributions of the expected size with that under the best
constant size of each joint.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.geometry.camera import Intrinsics, look_at

REGIONS = (0.5, 0.8, 0.95)
DIRECTIONS = ("across", "along")
# Quantiles of a Laplace distribution by its mean absolute error, for models without measured ones.
LAPLACE_QUANTILES = {direction: [float(-np.log(1 - region)) for region in REGIONS] for direction in DIRECTIONS}
_SMALLEST_M = 1e-6


def absolute_errors(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> NDArray[np.float64]:
    """(…, J, 2) absolute errors of joints (…, J, 3), per axis: across and along the line of sight, which is z."""
    difference = np.abs(np.asarray(predicted, np.float64) - true)
    return np.stack((difference[..., :2].mean(-1), difference[..., 2]), axis=-1)


def to_lines_of_sight(
    joints: NDArray[np.floating],
    pixels: NDArray[np.floating],
    confidence: NDArray[np.floating],
    intrinsics: list[Intrinsics] | None,
) -> NDArray[np.float64]:
    """Joints (P, J, 3) in the axes of a camera that faces each person; without intrinsics they are in these already."""
    if intrinsics is None:
        return np.asarray(joints, np.float64)
    turns = [look_at(*person)[1] for person in zip(pixels, confidence, intrinsics, strict=True)]
    return np.stack([points @ turn.T for points, turn in zip(joints, turns, strict=True)])


def fit_quantiles(errors: NDArray[np.floating], expected: NDArray[np.floating], root: int) -> dict[str, list[float]]:
    """Quantiles of the errors by their expected size, for `REGIONS`, in each direction.

    Args:
        errors, expected: (N, J, 2) absolute errors and their expected size, metres.
        root: Index of the root joint, whose error is zero by definition.
    """
    ratio = np.delete(errors / np.maximum(expected, _SMALLEST_M), root, axis=1)
    return {
        direction: [round(float(value), 4) for value in np.quantile(ratio[..., index], REGIONS)]
        for index, direction in enumerate(DIRECTIONS)
    }


def summarise_expected_errors(
    errors: Tensor, expected: Tensor, quantiles: dict[str, list[float]], root: int
) -> dict[str, dict[str, float]]:
    """Calibration in each direction.

    Args:
        errors, expected: (N, J, 2) absolute errors and their expected size, metres.
        quantiles: Of the model; see `BundleInfo.error_quantiles`.
        root: Index of the root joint, which is left out.

    Returns:
        For `across` and `along`: `inside_50`, `inside_80` and `inside_95`, shares of the errors inside these regions;
        `mean_mm` and `expected_mm`; and `likelihood_gain`, the mean log likelihood of an error in nats above that with
        the mean error of each joint over the same samples.
    """
    keep = [joint for joint in range(errors.shape[1]) if joint != root]
    errors, expected = errors[:, keep].double(), expected[:, keep].double().clamp_min(_SMALLEST_M)
    constant = errors.mean(0, keepdim=True).clamp_min(_SMALLEST_M)
    gain = (errors / constant + constant.log()) - (errors / expected + expected.log())
    results = {}
    for index, direction in enumerate(DIRECTIONS):
        ratio = errors[..., index] / expected[..., index]
        results[direction] = {
            f"inside_{100 * region:.0f}": float((ratio <= quantile).double().mean())
            for region, quantile in zip(REGIONS, quantiles[direction], strict=True)
        }
        results[direction] |= {
            "mean_mm": float(1000 * errors[..., index].mean()),
            "expected_mm": float(1000 * expected[..., index].mean()),
            "likelihood_gain": float(gain[..., index].mean()),
        }
    return results


def absolute_error_values(
    predicted: NDArray[np.floating],
    true: Tensor,
    pixels: NDArray[np.floating],
    confidence: NDArray[np.floating],
    intrinsics: list[Intrinsics] | None,
    root: int,
) -> Tensor:
    """`absolute_errors` (P, J, 2) of joints (P, J, 3) in camera axes, relative to the joint `root`, along each person's
    line of sight.
    """
    bodies = (
        to_lines_of_sight(joints - joints[:, root, None], pixels, confidence, intrinsics)
        for joints in (predicted, true.numpy())
    )
    return torch.from_numpy(absolute_errors(*bodies))
