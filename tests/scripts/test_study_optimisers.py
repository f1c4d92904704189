"""Optimiser study: the search for a learning rate, and the configs of all runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import study_optimisers as study

from pose2mesh.config.train_config import load_config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("best", [1e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2])
def test_the_search_extends_its_grid(best: float) -> None:
    asked = []

    def error(rate: float) -> float:
        asked.append(rate)
        return abs(math.log(rate / best))

    found = study.best_rate(error, study.RATES)
    assert len(asked) == len(set(asked)) <= 7
    if best >= 1e-4:
        assert found == pytest.approx(best)
        assert min(asked) < found < max(asked)


def test_a_rate_that_diverges_is_never_chosen() -> None:
    assert study.best_rate(lambda rate: float("inf") if rate > 5e-4 else rate, (3e-4, 1e-3, 3e-3)) < 3e-4


@pytest.mark.parametrize("stage", study.STAGES)
@pytest.mark.parametrize("optimiser", study.OPTIMISERS)
def test_every_run_has_a_config(optimiser: str, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    part = study.STAGES[stage]
    config = load_config(Path(part.config), [*study.settings(optimiser, part), "data.motions=clips"])
    assert config.stage == stage
    assert config.optimiser.name == optimiser
    assert config.optimiser.schedule == ("cosine" if optimiser == "adamw" else "step")
    assert config.optimiser.clip == (1 if optimiser == "adamw" else 0)
    assert max(part.milestones) < config.epochs


def test_clips_of_the_study_are_training_clips_alone() -> None:
    import yaml

    everything, own = (
        yaml.safe_load((ROOT / "configs" / name).read_text()) for name in ("mocap_split.yaml", "study_split.yaml")
    )
    assert sorted([*own["train"], *own["validation"]]) == sorted(everything["train"])
