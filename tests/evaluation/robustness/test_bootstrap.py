"""Intervals over groups."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.evaluation.robustness.bootstrap import mean_interval


def test_the_interval_is_over_groups_not_samples() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(50), 20)
    values = 10 + rng.normal(size=50)[group]  # samples of a group are equal
    found = mean_interval(values, group)
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    expected = 1.96 / np.sqrt(50)
    assert found.high - found.low == pytest.approx(2 * expected, rel=0.25)
    alone = mean_interval(values, np.arange(1000))
    assert alone is not None
    assert alone.high - alone.low < 0.4 * (found.high - found.low)


def test_missing_values_are_left_out() -> None:
    found = mean_interval(np.array([1.0, np.nan, 3.0]), np.array([0, 1, 2]))
    assert found is not None
    assert (found.value, found.count, found.groups) == (2.0, 2, 2)
    assert mean_interval(np.full(3, np.nan), np.arange(3)) is None


def test_one_group_has_no_interval() -> None:
    found = mean_interval(np.array([1.0, 2.0]), np.array([4, 4]))
    assert found is not None
    assert found.value == 1.5
    assert np.isnan(found.low)
    assert np.isnan(found.high)
