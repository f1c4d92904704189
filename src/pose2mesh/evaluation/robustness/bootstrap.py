"""Means with bootstrap intervals over groups, since samples of one clip or one image are correlated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `count` samples in `groups` groups, and the ends of its 95% interval.

    The ends are NaN for a single group, which does not show how groups differ.
    """

    value: float
    low: float
    high: float
    count: int
    groups: int


def mean_interval(values: Floats, group: NDArray[np.integer], seed: int = 0) -> Interval | None:
    """Mean over samples and its percentile interval under resampling of groups; None without any finite value.

    Args:
        values: (P,); NaN for samples that were not measured.
        group: (P,) index of each sample's group.
        seed: Seed of the resampling.
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
    resampled = np.random.default_rng(seed).integers(groups, size=(RESAMPLES, groups))
    means = sums[resampled].sum(1) / counts[resampled].sum(1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(mean, float(low), float(high), len(kept), groups)
