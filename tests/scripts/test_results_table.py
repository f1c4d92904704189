"""Training for the results table: every run once, after the run it is initialised from, and none after a failure."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import results_table

from pose2mesh.baselines.benchmark.results_table import ROWS, VARIANTS
from pose2mesh.baselines.registry import LEARNED_METHODS


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Order of the training runs: ("begin" or "end", folder)."""
    events: list[tuple[str, str]] = []
    lock = threading.Lock()

    def train(run: results_table.Run, motions: Path, cache: Path) -> None:
        folder = run.folder.as_posix()
        with lock:
            events.append(("begin", folder))
        time.sleep(0.01)
        with lock:
            events.append(("end", folder))

    monkeypatch.setattr(results_table, "train", train)
    return events


def test_every_run_once_after_the_one_it_starts_from(trained: list[tuple[str, str]]) -> None:
    results_table.train_all(Path("clips"), Path("runs"))
    begun = [folder for what, folder in trained if what == "begin"]
    assert len(begun) == len(set(begun))
    assert begun[0] == "runs/reader"  # others wait for it
    names = {Path(folder).relative_to("runs").parts[0] for folder in begun}
    assert names == {*LEARNED_METHODS, *VARIANTS}
    assert set(LEARNED_METHODS) - {"reader"} <= set(ROWS)
    for name, seeds in results_table.SEEDS.items():
        assert [folder for folder in begun if folder.startswith(f"runs/{name}/")] == [
            f"runs/{name}/seed{seed}" for seed in range(seeds)
        ]
    for name in ("hmr/seed0", "graphcmr/seed2", "spin_unpaired"):
        assert trained.index(("end", "runs/reader")) < trained.index(("begin", f"runs/{name}"))


def test_a_failure_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def fail(run: results_table.Run, motions: Path, cache: Path) -> None:
        begun.append(run.config.stem)
        raise RuntimeError("no clips")

    monkeypatch.setattr(results_table, "train", fail)
    with pytest.raises(RuntimeError, match="no clips"):
        results_table.train_all(Path("clips"), Path("runs"))
    assert begun[0] == "reader"
    assert "hmr" not in begun


def test_a_finished_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader").mkdir()
    (tmp_path / "reader" / "bundle.safetensors").write_bytes(b"")
    monkeypatch.setattr(results_table.subprocess, "Popen", lambda *_, **__: pytest.fail("trained again"))
    (run,) = results_table.Run.of(results_table.CONFIGS / "reader.yaml", tmp_path)
    results_table.train(run, tmp_path, tmp_path)
