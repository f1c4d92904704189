"""Random forests: the outputs of scikit-learn, save and load, generalisation."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.ensemble import RandomForestRegressor
from torch import Tensor

from pose2mesh.baselines.common.random_forest import Forest, ForestConfig
from pose2mesh.errors import InputError

GROWTH = ForestConfig(trees=4, leaves=40, least=3, considered=3)


def samples(count: int, outputs: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features on a coarse grid, so that thresholds fall between, and smooth functions of them."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 7, generator=generator)
    return features, torch.sin(features[:, :outputs] + features[:, 1:2] * features[:, 2:3])


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_same_outputs_as_scikit_learn(outputs: int) -> None:
    features, targets = samples(600, outputs)
    forest = Forest(7, outputs, GROWTH)
    forest.grow(features, targets, seed=3)
    reference = RandomForestRegressor(4, max_leaf_nodes=40, min_samples_leaf=3, max_features=3, random_state=3)
    reference.fit(features.half().float().numpy(), targets.numpy().squeeze())
    new, _ = samples(2000, outputs, seed=1)
    expected = reference.predict(new.half().float().numpy()).reshape(2000, outputs)
    # Leaves are in half precision; a single question answered otherwise would differ by far more.
    torch.testing.assert_close(forest(new), torch.from_numpy(expected).float(), atol=1e-3, rtol=0)


def test_a_step_is_found_where_it_is() -> None:
    """One tree of two leaves splits halfway between the values on either side of the step."""
    features = torch.arange(8.0)[:, None]
    targets = torch.where(features < 5, -1.0, 2.0)
    forest = Forest(1, 1, ForestConfig(trees=12, leaves=2, least=1, considered=9))
    forest.grow(features, targets, seed=0)
    torch.testing.assert_close(
        forest(torch.tensor([[-9.0], [0.0], [7.0], [99.0]]))[:, 0], torch.tensor([-1.0, -1, 2, 2])
    )
    assert ((forest.threshold >= 1) & (forest.threshold <= 6.5)).all()


def test_generalises_to_held_out_samples() -> None:
    features, targets = samples(4000, 2)
    forest = Forest(7, 2, ForestConfig(trees=8, leaves=400))
    forest.grow(features, targets, seed=0)
    new, truth = samples(500, 2, seed=9)
    assert (forest(new) - truth).square().mean() < 0.5 * truth.square().mean()


def test_constant_targets_give_one_leaf() -> None:
    forest = Forest(7, 3, GROWTH)
    forest.grow(torch.randn(50, 7), torch.tensor([1.0, 2.0, 3.0]).expand(50, 3), seed=0)
    torch.testing.assert_close(forest(torch.randn(5, 7)), torch.tensor([1.0, 2.0, 3.0]).expand(5, 3))


def test_it_is_the_same_after_saving(tmp_path: Path) -> None:
    features, targets = samples(300, 3)
    forest = Forest(7, 3, GROWTH)
    assert (forest(features) == 0).all()
    forest.grow(features, targets, seed=0)
    save_file(forest.state_dict(), tmp_path / "forest.safetensors")
    other = Forest(7, 3, GROWTH)
    other.load_state_dict(load_file(tmp_path / "forest.safetensors"))
    assert torch.equal(other(features), forest(features))
    bytes_a_tree = (GROWTH.leaves - 1) * (1 + 2 + 4) + GROWTH.leaves * 3 * 2
    assert sum(value.nbytes for value in forest.state_dict().values()) == GROWTH.trees * bytes_a_tree


def test_the_same_seed_grows_the_same_forest() -> None:
    features, targets = samples(300, 2)
    grown = []
    for seed in (0, 0, 1):
        forest = Forest(7, 2, GROWTH)
        forest.grow(features, targets, seed)
        grown.append(forest(features))
    assert torch.equal(grown[0], grown[1])
    assert not torch.equal(grown[0], grown[2])


@pytest.mark.parametrize(
    ("features", "growth", "fault"),
    [
        (0, GROWTH, "a forest of 0 features, expected 1 to 256"),
        (257, GROWTH, "a forest of 257 features"),
        (7, ForestConfig(trees=0), "a forest of 0 trees"),
        (7, ForestConfig(leaves=1), "1 leaves, expected 1 or more of 2 to 32768"),
        (7, ForestConfig(leaves=40_000), "40000 leaves"),
    ],
)
def test_sizes_that_do_not_fit(features: int, growth: ForestConfig, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        Forest(features, 3, growth)


def test_samples_that_do_not_fit() -> None:
    forest = Forest(7, 3, GROWTH)
    with pytest.raises(InputError, match=r"shapes \(5, 6\) and \(5, 3\), expected \(N, 7\) and \(N, 3\)"):
        forest.grow(torch.zeros(5, 6), torch.zeros(5, 3), seed=0)
    with pytest.raises(InputError, match=r"\(5, 7\) and \(5, 2\)"):
        forest.grow(torch.zeros(5, 7), torch.zeros(5, 2), seed=0)


def test_without_scikit_learn_one_line_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(InputError, match=r'scikit-learn, .* is not installed; `pip install "pose2mesh\[baselines\]"`'):
        Forest(7, 3, GROWTH).grow(torch.zeros(5, 7), torch.zeros(5, 3), seed=0)


def test_thresholds_are_rounded_downwards() -> None:
    from pose2mesh.baselines.common.random_forest import _half_below

    values = np.array([0.1, -0.1, 1.0, 1.0 + 2.0**-12, -1.0 - 2.0**-12, 0.0])
    half = _half_below(values)
    assert (half <= values).all()
    assert (np.nextafter(half, np.float16(np.inf)) > values).all()
