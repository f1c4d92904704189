"""Order of mixed samples: shares, passes, and that the position decides all."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.datasets.mixed_sampler import MixedSampler


def whole(mixture: MixedSampler, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return mixture.sample(epoch, 0, mixture.samples_per_epoch)


def test_equal_weights_draw_every_data_set_equally_often() -> None:
    mixture = MixedSampler([1000, 10, 333], [1, 1, 1], None, seed=3)
    assert mixture.samples_per_epoch == 3000
    which, person = whole(mixture)
    assert np.bincount(which).tolist() == [1000, 1000, 1000]
    assert np.bincount(person[which == 0]).tolist() == [1] * 1000
    assert np.bincount(person[which == 1]).tolist() == [100] * 10
    # Nobody comes a fourth time before all came three times; one of the last pass comes more often.
    assert set(np.bincount(person[which == 2]).tolist()) == {3, 4}


def test_weights_are_shares() -> None:
    which, _ = whole(MixedSampler([50, 50], [3, 1], 400, seed=0))
    assert np.bincount(which).tolist() == [300, 100]
    # Everybody of either comes at least once in an epoch of the length that is chosen where none is told.
    mixture = MixedSampler([90, 50], [3, 1], None, seed=0)
    which, person = whole(mixture)
    assert mixture.samples_per_epoch == 200
    assert len(np.unique(person[which == 0])) == 90
    assert np.bincount(person[which == 1]).tolist() == [1] * 50


def test_an_epoch_shorter_than_a_data_set_shows_some_of_it_once() -> None:
    mixture = MixedSampler([1000], [2.5], 100, seed=0)
    _, first = whole(mixture)
    _, second = whole(mixture, 1)
    assert len(np.unique(first)) == len(first) == 100
    assert len(np.intersect1d(first, second)) < 40


def test_seed_epoch_and_position_decide_and_nothing_else() -> None:
    mixture = MixedSampler([70, 30], [1, 1], None, seed=5)
    which, person = mixture.sample(2, 20, 30)
    mixture.sample(0, 0, 5)
    mixture.sample(7, 3, 5)
    again = mixture.sample(2, 20, 30)
    np.testing.assert_array_equal(which, again[0])
    np.testing.assert_array_equal(person, again[1])
    np.testing.assert_array_equal(person[10:], MixedSampler([70, 30], [1, 1], None, seed=5).sample(2, 30, 20)[1])
    for other in (MixedSampler([70, 30], [1, 1], None, seed=6).sample(2, 20, 30), mixture.sample(3, 20, 30)):
        assert (person != other[1]).any()


def test_the_data_sets_come_mixed() -> None:
    which, _ = MixedSampler([500, 500], [1, 1], None, seed=1).sample(0, 0, 200)
    assert 70 < (which == 0).sum() < 130


@pytest.mark.parametrize("first", [0, 95, 1000])
def test_positions_beyond_the_end_begin_again(first: int) -> None:
    mixture = MixedSampler([100], [1], None, seed=0)
    _, person = mixture.sample(0, first, 20)
    np.testing.assert_array_equal(person, np.resize(np.roll(whole(mixture)[1], -first), 20))
