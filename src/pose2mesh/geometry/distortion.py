"""Lens distortion by Brown's radial and tangential polynomial, in NumPy.

Convention: image coordinates x, y = X/Z, Y/Z of an ideal camera (no pixels); coefficients k1, k2, p1, p2[, k3] in the
order of OpenCV and of most calibration files. With r² = x² + y²:

    x_d = x (1 + k1 r² + k2 r⁴ + k3 r⁶) + 2 p1 x y + p2 (r² + 2 x²)
    y_d = y (1 + k1 r² + k2 r⁴ + k3 r⁶) + p1 (r² + 2 y²) + 2 p2 x y

Source: D. C. Brown, "Close-range camera calibration", Photogrammetric Engineering 37(8), 1971.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]

_LARGEST_RADIUS = 10.0  # tangent of the angle to the axis: 84°
_ITERATIONS = 30


def distort(xy: Floats, coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Ideal image coordinates (…, 2) → distorted ones.

    Beyond the radius at which the radial polynomial turns back, which no calibrated pixel reaches, the distortion is
    that of this radius, so that points outside the image stay outside.
    """
    inner = _limited(np.asarray(xy, np.float64), coefficients)
    return xy + (_polynomial(inner, coefficients) - inner)


def undistort(xy: Floats, coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Distorted image coordinates (…, 2) → ideal ones, by Newton's method on the radius and fixed-point iteration on
    the small tangential part."""
    k1, k2, _, _, k3 = (*coefficients, 0.0)[:5]
    wanted = np.asarray(xy, np.float64)
    limit = radius_limit(coefficients)
    ideal = wanted
    for _ in range(_ITERATIONS):
        inner = _limited(ideal, coefficients)
        radial = wanted - _tangential(inner, coefficients)
        target = np.linalg.norm(radial, axis=-1, keepdims=True)
        radius = np.minimum(np.linalg.norm(ideal, axis=-1, keepdims=True), limit)
        square = radius**2
        value = radius * (1 + square * (k1 + square * (k2 + square * k3)))
        slope = 1 + square * (3 * k1 + square * (5 * k2 + square * 7 * k3))
        # Beyond the limit the shift is that of the limit. A slope near 0, at the limit itself, must not overshoot.
        step = (target - value) / np.maximum(slope, 0.05)
        at_limit = limit * (1 + limit**2 * (k1 + limit**2 * (k2 + limit**2 * k3)))
        found = np.where(target > at_limit, limit + target - at_limit, np.clip(radius + step, 0, limit))
        updated = radial * (found / np.maximum(target, 1e-12))
        done = np.abs(updated - ideal).max(initial=0.0) < 1e-12
        ideal = updated
        if done:
            break
    return ideal


@cache
def radius_limit(coefficients: tuple[float, ...]) -> float:
    """The radius up to which the distorted radius grows with the ideal one."""
    k1, k2, _, _, k3 = (*coefficients, 0.0)[:5]
    roots = np.roots([1.0, 3 * k1, 5 * k2, 7 * k3])  # of the derivative, in 1/r²
    largest = max((float(root.real) for root in roots if abs(root.imag) < 1e-9), default=0.0)
    return min(_LARGEST_RADIUS, largest**-0.5) if largest > 0 else _LARGEST_RADIUS


def _limited(xy: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    radius = np.linalg.norm(xy, axis=-1, keepdims=True)
    return xy * np.minimum(1.0, radius_limit(coefficients) / np.maximum(radius, 1e-12))


def _polynomial(xy: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    k1, k2, _, _, k3 = (*coefficients, 0.0)[:5]
    square = (xy**2).sum(-1, keepdims=True)
    return xy * (1 + square * (k1 + square * (k2 + square * k3))) + _tangential(xy, coefficients)


def _tangential(xy: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    p1, p2 = coefficients[2:4]
    x, y = xy[..., 0], xy[..., 1]
    square = x**2 + y**2
    return np.stack([2 * p1 * x * y + p2 * (square + 2 * x**2), p1 * (square + 2 * y**2) + 2 * p2 * x * y], axis=-1)
