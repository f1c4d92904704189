"""Rotation vectors (unit axis times angle in radians) and matrices, in NumPy; see `geometry.rotations` for PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def matrices_of_vectors(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rotation vectors (…, 3) → matrices (…, 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    axis = vectors / np.maximum(angle, 1e-9)
    cross = np.zeros((*vectors.shape, 3), np.float32)
    for index in range(3):
        one, two = (index + 1) % 3, (index + 2) % 3
        cross[..., two, one], cross[..., one, two] = axis[..., index], -axis[..., index]
    angle = angle[..., None]
    turned = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turned, np.float32)


def vectors_of_matrices(rotations: NDArray[np.floating]) -> NDArray[np.float32]:
    """Matrices (…, 3, 3) of rotations clearly below half a turn → rotation vectors (…, 3)."""
    trace = np.trace(rotations, axis1=-2, axis2=-1)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))[..., None]
    pairs = ((2, 1), (0, 2), (1, 0))
    twice = np.stack([rotations[..., a, b] - rotations[..., b, a] for a, b in pairs], axis=-1)
    return np.asarray(np.where(angle > 1e-3, angle / np.maximum(np.sin(angle), 1e-6), 1) * twice / 2, np.float32)
