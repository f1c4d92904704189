"""Distances of fits from the joints that they were fitted to."""

from __future__ import annotations

import numpy as np

from pose2mesh.datasets.fit_distance import fit_error_crop_px, fit_error_mm


def test_millimetres_do_not_count_where_a_body_stands() -> None:
    truth = np.random.default_rng(0).normal(size=(2, 17, 3))
    fitted = truth + np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(fit_error_mm(truth, fitted), 0, atol=1e-9)
    # One of 17 joints 17 mm off: the mean moves by 1 mm, so that it is 16 mm off and every other 1 mm.
    fitted[1, 4, 0] += 0.017
    np.testing.assert_allclose(fit_error_mm(truth, fitted), [0, 32 / 17], atol=1e-9)


def test_pixels_of_a_crop() -> None:
    fitted = np.zeros((3, 17, 2))
    fitted[:, 0] = (33, 129)  # a box of 128 from its first to its last pixel: a crop of half the size
    labels = np.concatenate([fitted, np.ones((3, 17, 1))], axis=2)
    labels[1, :, 0] += 6
    labels[1, 3] = (500, 500, 0)
    labels[2, :, 2] = 0
    np.testing.assert_allclose(fit_error_crop_px(labels, fitted), [0, 3, np.nan])
