"""Rotation vectors in NumPy: round trip, agreement with PyTorch's, and the zero vector."""

from __future__ import annotations

import numpy as np
import torch

from pose2mesh.geometry.rotation_vectors import matrices_of_vectors, vectors_of_matrices
from pose2mesh.geometry.rotations import rotation_from_vector


def test_round_trip() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 50, 3)) * 0.8
    matrices = matrices_of_vectors(vectors)
    assert np.abs(matrices - rotation_from_vector(torch.from_numpy(vectors)).numpy()).max() < 1e-6
    small = np.linalg.norm(vectors, axis=-1) < 2.8
    assert np.abs(vectors_of_matrices(matrices) - vectors)[small].max() < 1e-5


def test_no_rotation() -> None:
    assert np.array_equal(matrices_of_vectors(np.zeros((2, 3))), np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)))
    assert np.array_equal(vectors_of_matrices(np.eye(3)[None]), np.zeros((1, 3)))
    tiny = np.array([[1e-5, -2e-5, 3e-5]])
    assert np.allclose(vectors_of_matrices(matrices_of_vectors(tiny)), tiny, atol=1e-7)
