"""The log of a run: rows, lines, and TensorBoard on request."""

from __future__ import annotations

import csv
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError
from pose2mesh.training import loop, pose2mesh_task
from pose2mesh.training.epoch_log import MetricsTable
from pose2mesh.training.pose2mesh_module import Pose2MeshModule

Tiny = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def logged(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[dict[str, str]]]:
    """The lines and rows of a run whose drawing takes its time: 200 ms a step, of which there are four an epoch."""
    folder = tmp_path_factory.mktemp("log")
    lines: list[str] = []
    make = Pose2MeshModule.training_batch

    def slow(self: Pose2MeshModule, step: int, count: int, epoch: int = 0) -> Any:
        time.sleep(0.2)
        return make(self, step, count, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pose2MeshModule, "training_batch", slow)
        patch.setattr(pose2mesh_task, "finish", lambda *_: None)
        data = {"samples_per_epoch": 256, "validation_samples": 64, "synthetic": {"poses": {"procedural": 1.0}}}
        losses = {"edge_from_epoch": 1}
        loop.train(tiny(stage="pose2mesh", epochs=2, losses=losses, data=data), folder / "run", None, lines.append)
    with (folder / "run" / "metrics.csv").open(newline="") as stream:
        return lines, list(csv.DictReader(stream))


@pytest.mark.thorough
def test_an_epoch_is_a_line_with_every_loss_by_name(logged: tuple[list[str], list[dict[str, str]]]) -> None:
    lines, rows = logged
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2", "best epoch 2"]
    assert "edge" not in lines[0]
    for name in ("vertex", "normal", "edge", "mesh_joint", "lifted_joint"):
        assert f"{name} {float(rows[1][f'train/{name}']):.4g}" in lines[1]
    assert f"joint error {float(rows[1]['val/mesh_mpjpe_mm']):.1f} mm" in lines[1]
    assert f"surface error {float(rows[1]['val/surface_mm']):.1f} mm" in lines[1]
    assert "learning rate" in lines[1]
    assert f"{float(rows[1]['samples_per_second']):.0f} samples/s" in lines[1]
    assert f"data wait {100 * float(rows[1]['data_wait']):.0f} %" in lines[1]


def test_the_last_line_compares_the_best_epoch_with_the_mean_body(
    logged: tuple[list[str], list[dict[str, str]]],
) -> None:
    lines, rows = logged
    best = min(rows, key=lambda row: float(row["val/surface_mm"]))
    assert f"surface error {float(best['val/surface_mm']):.1f} mm" in lines[-1]
    assert lines[-1].endswith(f"the mean body's surface error is {float(best['val/mean_body_surface_mm']):.1f} mm")


def test_the_row_has_the_means_the_rate_and_the_times(logged: tuple[list[str], list[dict[str, str]]]) -> None:
    for epoch, row in enumerate(logged[1]):
        assert (int(row["epoch"]), int(row["step"])) == (epoch, 4 * (epoch + 1))
        losses = [float(row[key]) for key in row if key.startswith("train/") and key != "train/loss" and row[key]]
        assert float(row["train/loss"]) == pytest.approx(sum(losses))
        seconds = 256 / float(row["samples_per_second"])
        waited = float(row["data_wait"]) * seconds
        assert 0.2 <= waited < seconds  # all of the first step's sleep; of the others' what the steps did not take
        assert seconds - waited > 0.01
    # Of the last step of an epoch: the cosine is not at its end, where the rate would be 0.
    rates = [float(row["learning_rate"]) for row in logged[1]]
    assert 3e-3 > rates[0] > rates[1] > 1e-5


def test_a_table_goes_on_after_the_rows_that_are_kept(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path / "metrics.csv")
    for epoch in range(3):
        table.add({"epoch": epoch, "step": 10 * (epoch + 1), "a": epoch})
    table = MetricsTable(tmp_path / "metrics.csv", 20)
    table.add({"epoch": 2, "step": 30, "a": 5, "b": 6})
    assert (tmp_path / "metrics.csv").read_text().split() == ["epoch,step,a,b", "0,10,0,", "1,20,1,", "2,30,5,6"]
    MetricsTable(tmp_path / "metrics.csv").add({"epoch": 0})
    assert (tmp_path / "metrics.csv").read_text().split() == ["epoch", "0"]


def test_tensorboard_that_is_not_installed_is_told_before_anything_is_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(InputError, match=r'not installed; `pip install "pose2mesh\[tensorboard\]"` brings it'):
        loop.train(tiny(tensorboard=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_gets_the_rows(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose2mesh_task, "finish", lambda *_: None)
    loop.train(tiny(tensorboard=True, epochs=2), tmp_path / "run")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    with (tmp_path / "run" / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    values = events.Scalars("val/lifted_mpjpe_mm")
    assert [event.step for event in values] == [int(row["step"]) for row in rows] == [10, 20]
    assert [event.value for event in values] == pytest.approx([float(row["val/lifted_mpjpe_mm"]) for row in rows])
