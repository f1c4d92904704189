"""Means with bootstrap intervals, drawn over groups: people of one clip or one picture are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95% interval; `count` people in `groups` groups were measured.

    The ends are NaN where there is one group alone and nothing tells how another would differ.
    """

    value: float
    low: float
    high: float
    count: int
    groups: int


def mean_interval(values: Floats, group: NDArray[np.integer], seed: int = 0) -> Interval | None:
    """The mean over people and its percentile interval under resampling of groups; None where nobody was measured.

    Args:
        values: (P,) NaN for who was not measured.
        group: (P,) whom each belongs to.
        seed: Of the draws.
    """
    measured = np.isfinite(values)
    if not measured.any():
        return None
    kept = values[measured].astype(np.float64)
    _, index = np.unique(group[measured], return_inverse=True)
    sums, counts = np.bincount(index, kept), np.bincount(index)
    groups, mean = len(sums), float(kept.mean())
    if groups < 2:
        return Interval(mean, float("nan"), float("nan"), len(kept), groups)
    drawn = np.random.default_rng(seed).integers(groups, size=(DRAWS, groups))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(mean, float(low), float(high), len(kept), groups)
