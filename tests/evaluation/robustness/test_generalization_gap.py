"""The criterion for overfitting, on gaps of known size and without a gap, among clips of random difficulty."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.evaluation.robustness import generalization_gap as gap_module
from pose2mesh.evaluation.robustness.generalization_gap import MARGIN, ClipErrors, clip_means, measure_gap, verdict


def draw_clips(
    rng: np.random.Generator, count: int, gap: float = 1.0, harder: float = 0.0, spread: float = 0.18, people: int = 40
) -> ClipErrors:
    """Clips of different difficulty, with errors that grow with it and random factors per clip."""
    difficulty = np.repeat(np.log(160) + harder + 0.18 * rng.normal(size=count), people)
    own = np.repeat(spread * rng.normal(size=count), people)
    reference = difficulty + 0.3 * rng.normal(size=count * people)
    model = np.log(40 * gap) + 0.8 * (difficulty - np.log(160)) + own + 0.4 * rng.normal(size=count * people)
    return ClipErrors(np.exp(model), np.exp(reference), np.repeat(np.arange(count), people))


def flagged(gap: float, train: int = 60, validation: int = 20, trials: int = 120, **more: float) -> float:
    """How often a true gap is called overfitting."""
    rng = np.random.default_rng(3)
    found = [measure_gap(draw_clips(rng, train), draw_clips(rng, validation, gap, **more), t) for t in range(trials)]
    return float(np.mean([each is not None and each.overfits for each in found]))


def test_clips_count_once_by_the_mean_of_logarithms() -> None:
    np.testing.assert_allclose(clip_means(np.array([1, np.e**2, 5]), np.array([3, 3, 7])), [1, np.log(5)])


def test_a_gap_of_known_size_is_found_and_flagged() -> None:
    rng = np.random.default_rng(0)
    gap = measure_gap(draw_clips(rng, 69, spread=0.02), draw_clips(rng, 19, 1.7, spread=0.02))
    assert gap is not None
    assert gap.ratio == pytest.approx(1.7, rel=0.06)
    assert gap.low < 1.7 < gap.high
    assert gap.slope == pytest.approx(0.8, abs=0.1)
    assert (gap.train_clips, gap.validation_clips) == (69, 19)
    assert gap.overfits
    assert verdict(gap).startswith("The model overfits: at equal difficulty its error on validation clips is 1.")


def test_harder_clips_are_not_overfitting() -> None:
    rng = np.random.default_rng(1)
    gap = measure_gap(draw_clips(rng, 69, spread=0.05), draw_clips(rng, 19, harder=0.5, spread=0.05))
    assert gap is not None
    assert gap.plain_ratio > 1.4  # the plain errors would suggest overfitting
    assert gap.difficulty_ratio == pytest.approx(np.exp(0.5), rel=0.2)
    assert gap.ratio == pytest.approx(1, abs=0.1)
    assert not gap.overfits
    assert verdict(gap).startswith("The model does not overfit")


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gap_module, "RESAMPLES", 500)


@pytest.mark.usefixtures("fewer_draws")
def test_how_often_the_criterion_errs() -> None:
    """At most 1 in 100 where there is no gap, about 1 in 40 where there is one of the margin itself."""
    assert flagged(1.0) <= 0.01
    assert flagged(1.0, harder=0.3) <= 0.02
    assert flagged(1 + MARGIN) <= 0.06
    assert flagged(1.6) >= 0.9


@pytest.mark.usefixtures("fewer_draws")
def test_one_clip_to_train_on_borrows_the_spread_of_the_others() -> None:
    assert flagged(1.0, train=1) <= 0.03
    assert flagged(3.0, train=1) >= 0.9


@pytest.mark.usefixtures("fewer_draws")
def test_the_interval_contains_the_true_gap_as_often_as_stated() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        gap = measure_gap(draw_clips(rng, 40), draw_clips(rng, 15, 1.3), trial)
        assert gap is not None
        held += gap.low <= 1.3 <= gap.high
    assert 0.9 <= held / 200 <= 0.99


def test_too_few_clips_give_no_gap() -> None:
    rng = np.random.default_rng(0)
    assert measure_gap(draw_clips(rng, 20), draw_clips(rng, 3)) is None
    assert measure_gap(draw_clips(rng, 1), draw_clips(rng, 4)) is None
    assert "cannot be assessed" in verdict(None)


def test_an_undecided_verdict() -> None:
    rng = np.random.default_rng(2)
    gap = measure_gap(draw_clips(rng, 20, spread=0.3), draw_clips(rng, 8, 1.25, spread=0.3))
    assert gap is not None
    assert gap.low < 1 + MARGIN < gap.high
    assert "not shown to overfit" in verdict(gap)
    assert "includes 1.20" in verdict(gap)
