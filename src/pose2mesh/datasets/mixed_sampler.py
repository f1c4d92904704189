"""Unions of data sets: who is drawn when, decided by a seed, an epoch and a position alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class MixedSampler:
    """The order in which people of several data sets are drawn, epoch by epoch.

    In an epoch each data set fills a share of all positions, by its weight; with equal weights every data set is drawn
    equally often, whatever its size. Within its share a data set is gone through in passes, each in an order of its
    own, so that nobody comes twice before all others came once.

    Args:
        sizes: How many people each data set has.
        weights: How often each is drawn, relative to the others.
        people: How many an epoch has; by default as many as show everybody of every data set once, as the reference
            implementation has it.
        seed: Decides all orders.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], people: int | None, seed: int) -> None:
        self._sizes, self._seed = list(sizes), seed
        self._shares = np.asarray(weights, np.float64) / np.sum(weights)
        whole = max(math.ceil(size / share) for size, share in zip(sizes, self._shares, strict=True))
        self.people = people or whole
        self._epoch: int | None = None
        self._which: NDArray[np.int8] = np.zeros(0, np.int8)
        self._person: NDArray[np.int32] = np.zeros(0, np.int32)

    def sample(self, epoch: int, first: int, count: int) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Which data set (count,) and which of its people (count,) come from position `first` of an epoch on."""
        if epoch != self._epoch:
            self._which, self._person = self._order(epoch)
            self._epoch = epoch
        positions = np.arange(first, first + count) % self.people
        return self._which[positions], self._person[positions]

    def _order(self, epoch: int) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        rng = np.random.default_rng((self._seed, epoch))
        # The positions up to each data set's last, rounded, so that the shares fill the epoch exactly.
        counts = np.diff(np.round(np.cumsum(self._shares) * self.people).astype(int), prepend=0)
        people = []
        for size, count in zip(self._sizes, counts.tolist(), strict=True):
            passes = [rng.permutation(size).astype(np.int32) for _ in range(math.ceil(count / size))]
            people.append(np.concatenate([*passes, np.zeros(0, np.int32)])[:count])
        which = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
        shuffled = rng.permutation(self.people)
        return which[shuffled], np.concatenate(people)[shuffled]
