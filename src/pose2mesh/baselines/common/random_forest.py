"""Random regression forests (Breiman 2001): trained by scikit-learn, stored and evaluated as tensors.

The output of a forest is the mean over its trees; each split of a tree compares one feature with a threshold. Features
and thresholds are in half precision: features are rounded before training, and thresholds are rounded down, so that
every comparison has the same result as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.io.extras import require

_MOST_FEATURES = 256  # the index of a feature is stored in one byte
_MOST_LEAVES = 32_768  # the index of a split or leaf is stored in two bytes


@dataclass(frozen=True)
class ForestConfig:
    """Sizes and training options of a forest.

    Attributes:
        trees: Number of trees.
        leaves: Maximum number of leaves of a tree; the split that reduces the error most is made first.
        least: Minimum number of samples in a leaf.
        considered: Number of random features among which each split is chosen; all where there are fewer.
        samples: Size of the bootstrap sample of each tree, as a share of the training samples.
    """

    trees: int = 10
    leaves: int = 1000
    least: int = 5
    considered: int = 16
    samples: float = 1.0


class Forest(nn.Module):
    """A forest of `T` trees of at most `L` leaves. Its output is 0 before it is trained or loaded.

    Args:
        features: Number of features, at most 256.
        outputs: Number of outputs, `D`.
        growth: Sizes and training options.

    Raises:
        InputError: a number of features, trees or leaves is out of range.
    """

    feature: Tensor  # (T, L − 1) index of the feature that a split compares
    threshold: Tensor  # (T, L − 1)
    below: (
        Tensor  # (T, L − 1, 2) next node if the feature is at most the threshold, and if above: a split, or −1 − leaf
    )
    leaves: Tensor  # (T, L, D)

    def __init__(self, features: int, outputs: int, growth: ForestConfig) -> None:
        super().__init__()
        if not 0 < features <= _MOST_FEATURES:
            raise InputError(f"a forest of {features} features, expected 1 to {_MOST_FEATURES}")
        if growth.trees < 1 or not 2 <= growth.leaves <= _MOST_LEAVES:
            raise InputError(
                f"a forest of {growth.trees} trees of {growth.leaves} leaves, expected 1 or more of 2 to {_MOST_LEAVES}"
            )
        self.features, self.growth = features, growth
        splits = growth.trees, growth.leaves - 1
        self.register_buffer("feature", torch.zeros(splits, dtype=torch.uint8))
        self.register_buffer("threshold", torch.zeros(splits, dtype=torch.float16))
        self.register_buffer("below", torch.full((*splits, 2), -1, dtype=torch.int16))
        self.register_buffer("leaves", torch.zeros(growth.trees, growth.leaves, outputs, dtype=torch.float16))

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (B, D) for features (B, C)."""
        rounded = features.half()
        tree = torch.arange(self.growth.trees, device=features.device)
        at = torch.zeros(len(features), self.growth.trees, dtype=torch.long, device=features.device)
        while (at >= 0).any():
            split = at.clamp_min(0)
            value = rounded.gather(1, self.feature[tree, split].long())
            child = self.below[tree, split, (value > self.threshold[tree, split]).long()].long()
            at = torch.where(at >= 0, child, at)
        return self.leaves[tree, -1 - at].float().mean(1)

    def grow(self, features: Tensor, targets: Tensor, seed: int) -> None:
        """Train the trees on features (N, C) and targets (N, D).

        Raises:
            InputError: scikit-learn is not installed, or the shapes do not fit the forest.
        """
        if features.shape != (len(targets), self.features) or targets.shape[1:] != self.leaves.shape[2:]:
            raise InputError(
                f"samples to grow a forest on have shapes {tuple(features.shape)} and {tuple(targets.shape)}, "
                f"expected (N, {self.features}) and (N, {self.leaves.shape[2]})"
            )
        regressor = _regressor(self.growth, features.shape, seed)
        values = targets.cpu().numpy()
        regressor.fit(features.half().float().cpu().numpy(), values[:, 0] if values.shape[1] == 1 else values)
        self.below.fill_(-1)
        for index, estimator in enumerate(regressor.estimators_):
            self._store(index, estimator.tree_)

    def _store(self, index: int, tree: Any) -> None:
        """Copy the splits and leaves of a tree of scikit-learn, each numbered in scikit-learn's order."""
        left, right, feature, threshold, value = (
            getattr(tree, name) for name in ("children_left", "children_right", "feature", "threshold", "value")
        )
        is_split = left >= 0
        number = np.where(is_split, np.cumsum(is_split) - 1, -np.cumsum(~is_split))
        splits, leaves = int(is_split.sum()), int((~is_split).sum())
        below = np.stack((number[left], number[right]), axis=1)[is_split].astype(np.int16)
        self.feature[index, :splits] = torch.from_numpy(feature[is_split].astype(np.uint8))
        self.threshold[index, :splits] = torch.from_numpy(_half_below(threshold[is_split]))
        self.below[index, :splits] = torch.from_numpy(below)
        self.leaves[index, :leaves] = torch.from_numpy(value[~is_split, :, 0].astype(np.float16))


def _half_below(values: NDArray[np.float64]) -> NDArray[np.float16]:
    """Values rounded down to half precision."""
    half = values.astype(np.float16)
    return np.where(half > values, np.nextafter(half, np.float16(-np.inf)), half)


def _regressor(growth: ForestConfig, samples: tuple[int, ...], seed: int) -> Any:
    """scikit-learn's forest (untyped) for samples of shape (N, C)."""
    ensemble = require("sklearn.ensemble", "baselines", "scikit-learn, which grows forests,")
    return ensemble.RandomForestRegressor(
        growth.trees,
        max_leaf_nodes=growth.leaves,
        min_samples_leaf=growth.least,
        max_features=min(growth.considered, samples[1]),
        max_samples=max(1, round(growth.samples * samples[0])),
        random_state=seed,
    )
