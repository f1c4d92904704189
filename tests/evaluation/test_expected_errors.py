"""Expected errors: directions, quantiles and calibration on errors of known distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.evaluation.expected_errors import (
    LAPLACE_QUANTILES,
    absolute_error_values,
    absolute_errors,
    fit_quantiles,
    summarise_expected_errors,
)
from pose2mesh.geometry.camera import Intrinsics, look_at


def laplace(samples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N, 5, 2) of Laplace distributions, and their sizes, which differ between samples; the root has none."""
    rng = np.random.default_rng(0)
    expected = 0.01 * np.exp(rng.normal(0, 0.7, (samples, 5, 2)))
    errors = rng.exponential(expected)
    errors[:, 2] = 0
    return errors, expected


def test_directions() -> None:
    error = absolute_errors(np.array([[[1.0, -3, 2]]]), np.array([[[0.0, 0, 5]]]))
    assert error.tolist() == [[[2, 3]]]


def test_quantiles_of_a_laplace_distribution() -> None:
    quantiles = fit_quantiles(*laplace(20000), root=2)
    for direction in ("across", "along"):
        assert quantiles[direction] == pytest.approx(LAPLACE_QUANTILES[direction], rel=0.03)


def test_true_sizes_are_calibrated_and_likelier_than_a_constant() -> None:
    errors, expected = map(torch.from_numpy, laplace())
    for figures in summarise_expected_errors(errors, expected, LAPLACE_QUANTILES, 2).values():
        assert figures["inside_50"] == pytest.approx(0.5, abs=0.02)
        assert figures["inside_80"] == pytest.approx(0.8, abs=0.02)
        assert figures["inside_95"] == pytest.approx(0.95, abs=0.01)
        assert figures["mean_mm"] == pytest.approx(figures["expected_mm"], rel=0.05)
        assert figures["likelihood_gain"] > 0.1


def test_sizes_that_know_nothing_gain_nothing() -> None:
    errors, expected = map(torch.from_numpy, laplace())
    constant = errors.mean(0).expand_as(expected)
    figures = summarise_expected_errors(errors, constant, LAPLACE_QUANTILES, 2)
    assert figures["along"]["likelihood_gain"] == pytest.approx(0, abs=1e-6)
    half = summarise_expected_errors(errors, expected / 2, LAPLACE_QUANTILES, 2)
    assert half["across"]["inside_80"] < 0.7


def test_errors_along_the_line_of_sight_of_people_beside_the_axis() -> None:
    camera = Intrinsics(500, 500, 500, 500)
    pixels = np.full((1, 4, 2), (950.0, 500.0)) + np.array([(-30.0, 0), (30, 0), (0, -40), (0, 40)])
    confidence = np.ones((1, 4))
    line = look_at(pixels[0], confidence[0], camera)[1][2]  # the axis of the camera that faces the person
    true = torch.zeros(1, 4, 3)
    predicted = np.tile(0.1 * line, (1, 4, 1))
    predicted[:, 3] = 0  # the root, to which joints are relative
    errors = absolute_error_values(predicted + 5, true - 7, pixels, confidence, [camera], 3)
    assert errors[..., 0].numpy() == pytest.approx(0, abs=1e-6)
    assert errors[0, :3, 1].numpy() == pytest.approx(0.1)
    assert absolute_error_values(predicted, true, pixels, confidence, None, 3)[..., 0].max() > 0.02
