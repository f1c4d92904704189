"""Order of the training samples of several data sets, decided by a seed, an epoch and a position alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class MixedSampler:
    """The order in which samples of several data sets are used, epoch by epoch.

    In an epoch each data set fills a share of all positions, by its weight; with equal weights every data set gives
    equally many samples, whatever its size. Within its share a data set is traversed in passes, each in its own random
    order, so that no sample is repeated before all others were used.

    Args:
        sizes: Number of samples of each data set.
        weights: Relative frequency of each data set.
        samples_per_epoch: Number of samples in an epoch; by default the least that contains every sample of every data
            set, as in the reference implementation.
        seed: Decides all orders.
    """

    def __init__(
        self, sizes: Sequence[int], weights: Sequence[float], samples_per_epoch: int | None, seed: int
    ) -> None:
        self._sizes, self._seed = list(sizes), seed
        self._shares = np.asarray(weights, np.float64) / np.sum(weights)
        whole = max(math.ceil(size / share) for size, share in zip(sizes, self._shares, strict=True))
        self.samples_per_epoch = samples_per_epoch or whole
        self._epoch: int | None = None
        self._which: NDArray[np.int8] = np.zeros(0, np.int8)
        self._index: NDArray[np.int32] = np.zeros(0, np.int32)

    def sample(self, epoch: int, first: int, count: int) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Samples from position `first` of an epoch on: data set (count,), and index of the sample in it (count,)."""
        if epoch != self._epoch:
            self._which, self._index = self._order(epoch)
            self._epoch = epoch
        positions = np.arange(first, first + count) % self.samples_per_epoch
        return self._which[positions], self._index[positions]

    def _order(self, epoch: int) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        rng = np.random.default_rng((self._seed, epoch))
        # The positions up to each data set's last, rounded, so that the shares fill the epoch exactly.
        counts = np.diff(np.round(np.cumsum(self._shares) * self.samples_per_epoch).astype(int), prepend=0)
        indices = []
        for size, count in zip(self._sizes, counts.tolist(), strict=True):
            passes = [rng.permutation(size).astype(np.int32) for _ in range(math.ceil(count / size))]
            indices.append(np.concatenate([*passes, np.zeros(0, np.int32)])[:count])
        which = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
        shuffled = rng.permutation(self.samples_per_epoch)
        return which[shuffled], np.concatenate(indices)[shuffled]
