"""Rotations between directions of bones, in NumPy."""

from __future__ import annotations

import numpy as np

from pose2mesh.datasets.synthetic.bvh import Array


def unit(vectors: Array) -> Array:
    """Vectors (…, 3) at length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def turn(a: Array, b: Array) -> Array:
    """(3, 3) the least rotation that takes the direction of `a` to that of `b`."""
    a, b = unit(a), unit(b)
    cross, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:  # any perpendicular axis
        across = unit(np.cross(a, np.eye(3)[np.abs(a).argmin()]))
        return 2 * np.outer(across, across) - np.eye(3)
    skew = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def frame(first: Array, second: Array) -> Array:
    """(3, 3) a rotation whose columns are `first`, `second` made square to it, and the third."""
    x = unit(first)
    y = unit(second - x * (x @ second))
    return np.stack([x, y, np.cross(x, y)], axis=1)
