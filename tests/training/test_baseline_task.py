"""Learned baselines trained by the `train` command: what a run leaves, and going on with it after a signal."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from pose2mesh.baselines import registry
from pose2mesh.baselines.baseline_bundle import load_learned, read_info
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.model_zoo import load_model
from pose2mesh.skeletons import COCO
from pose2mesh.training import baseline_task, loop
from pose2mesh.training.baseline_module import BaselineModule
from pose2mesh.training.baseline_task import BaselineTask
from pose2mesh.training.resume import read_checkpoint
from pose2mesh.training.run_config import load_any
from tests.tiny_baseline import Tiny, TinySettings, tiny

CONFIG: dict[str, Any] = {
    "method": "tiny",
    "name": "toy",
    "pictures": {"synthetic": {"poses": {"procedural": 1.0}}, "distinct": 128},
    "samples_per_epoch": 192,
    "validation_samples": 64,
    "epochs": 2,
    "seed": 3,
    "optimiser": {"name": "adam", "learning_rate": 1e-2, "schedule": "cosine"},
}


@pytest.fixture(scope="module", autouse=True)
def body() -> Iterator[BodyModel]:
    """One for all runs, and the tests' own method among the others."""
    body = default_body()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline_task, "default_body", lambda: body)
        patch.setitem(registry.LEARNED_METHODS, "tiny", tiny)
        yield body


def write(folder: Path, **changes: Any) -> Path:
    file = folder / "toy.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changes))
    return file


def rows(folder: Path) -> list[dict[str, str]]:
    """Of `metrics.csv`, without what depends on the clock."""
    with (folder / "metrics.csv").open() as stream:
        found = list(csv.DictReader(stream))
    return [{key: row[key] for key in row if key not in ("samples_per_second", "data_wait")} for row in found]


def weights(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = read_checkpoint(folder / "best.ckpt")["state_dict"]
    return state


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("toy")
    assert main(["train", str(write(folder)), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_what_a_run_leaves(finished: Path) -> None:
    assert {"config.yaml", "run.yaml", "metrics.csv", "best.ckpt", "bundle.safetensors"} <= set(os.listdir(finished))
    assert not (finished / "last.ckpt").exists()
    first, last = rows(finished)
    assert {"train/joints", "train/shape", "train/loss", "val/mpjpe_mm", "val/pa_mpjpe_mm", "val/mpvpe_mm"} <= set(last)
    assert float(last["train/joints"]) < float(first["train/joints"])
    assert int(last["step"]) == 6
    info = read_info(finished / "bundle.safetensors")
    assert (info.method, info.name, info.seed, info.samples, info.joint_set) == ("tiny", "toy", 3, 384, "coco")
    assert info.parameters == sum(p.numel() for p in Tiny(BodyLayer(default_body(), COCO), TinySettings()).parameters())
    assert 0 < info.minutes < 5
    assert info.config["motions"] is None
    assert len(info.stature_features) == len(COCO.edges) + 1


@pytest.mark.thorough
def test_a_run_goes_on_after_a_signal_bit_for_bit(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = BaselineModule.training_step

    def stopped(self: BaselineModule, batch: Any, index: int) -> Any:
        if (self.epoch, index) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, index)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(BaselineModule, "training_step", stopped)
        assert main(["train", str(write(tmp_path)), "--out", str(folder)]) == 143
    assert f"pose2mesh train --resume {folder}" in capsys.readouterr().err
    assert main(["train", "--resume", str(folder), "--set", "checkpoint_minutes=1"]) == 0
    assert rows(folder) == rows(finished)
    resumed = weights(folder)
    for name, value in weights(finished).items():
        assert torch.equal(value, resumed[name]), name


def test_what_may_not_change_in_a_run_that_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"")
    write(tmp_path).rename(tmp_path / "config.yaml")
    asked: list[Any] = []
    monkeypatch.setattr(loop, "train", lambda config, *_: asked.append(config) or tmp_path)
    assert main(["train", "--resume", str(tmp_path), "--set", "settings.width=9"]) == 2
    assert "settings.width is 9, was 8" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path), "--set", "tensorboard=true"]) == 0
    assert asked[0].tensorboard


@pytest.mark.thorough
def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = Tiny.losses
    monkeypatch.setattr(Tiny, "losses", lambda *a: losses(*a) | {"joints": torch.tensor(float("nan"))})
    assert main(["train", str(write(tmp_path)), "--out", str(tmp_path / "run")]) == 2
    assert "the loss joints is nan in epoch 0, step 0 (sampled from seed 3, chunk 0)" in capsys.readouterr().err


@pytest.mark.thorough
def test_distinct_pictures_come_in_another_order_each_time(tmp_path: Path) -> None:
    module = BaselineTask(load_any(write(tmp_path))).module  # type: ignore[arg-type]
    numbers = [int(module.training_chunks(number)[1].index[0]) // 64 for number in range(8)]
    passes = [numbers[start : start + 2] for start in range(0, 8, 2)]
    assert all(sorted(each) == [0, 1] for each in passes)
    assert len({tuple(each) for each in passes}) == 2
    first, again = (module.training_chunks(0)[0].joints for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.thorough
def test_a_method_that_fits_without_gradients(
    tmp_path: Path, body: BodyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"fits": True}
    assert main(["train", str(write(tmp_path, settings=settings)), "--out", str(tmp_path / "run")]) == 0
    assert "fitted to 6 chunks" in capsys.readouterr().out
    network, info = load_learned(tmp_path / "run", BodyLayer(body, COCO))
    assert isinstance(network, Tiny)
    assert network.body[0].bias.std() == 0  # type: ignore[union-attr]
    assert info.minutes > 0


@pytest.mark.thorough
def test_a_bundle_is_evaluated(finished: Path, monkeypatch: pytest.MonkeyPatch, body: BodyModel) -> None:
    monkeypatch.setattr("pose2mesh.baselines.learned_backend.default_body", lambda: body)
    recovery = load_model(finished)
    source = baseline_task.pose_sources(load_any(finished / "config.yaml").data)[1]  # type: ignore[union-attr]
    results = evaluate_synthetic(recovery, source, 4, 0, "noisy", body=body)
    assert results["model"] == "toy"
    assert 0 < results["pa_mpjpe_mm"] < results["mpjpe_mm"]


def test_torchrun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="method tiny is trained by one process"):
        BaselineTask(load_any(write(tmp_path)))  # type: ignore[arg-type]
