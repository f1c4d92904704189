"""Runs that are killed, interrupted or damaged at any moment, and resume bit for bit."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from pose2mesh.cli.main import main
from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig, load_config
from pose2mesh.errors import InputError
from pose2mesh.io.interrupts import Interrupted
from pose2mesh.training import checkpoints, disk, loop, pose2mesh_task
from pose2mesh.training.checkpoints import position, read_checkpoint
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pose2mesh_task import Pose2MeshTask
from pose2mesh.training.resume import resume_config, whole_checkpoint

Weights = dict[str, Tensor]
Tiny = Callable[..., TrainConfig]
Train = Callable[..., Weights]
Same = Callable[[Weights, Weights], None]
OFTEN = 1e-6  # minutes between two checkpoints: after every step
STAGES: dict[str, dict[str, Any]] = {
    "posenet": {"optimiser": {"name": "adamw", "learning_rate": 3e-3, "schedule": "cosine", "clip": 1.0}},
    "pose2mesh": {
        "stage": "pose2mesh",
        "accumulate": 2,
        "batch_size": 32,
        "losses": {"edge_from_epoch": 1},
        "optimiser": {"name": "rmsprop", "learning_rate": 1e-3, "schedule": "step", "milestones": [1], "decay": 0.3},
    },
}


@pytest.fixture(scope="module")
def straight(
    tiny: Tiny, train_to_the_end: Train, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Weights, Path]]:
    """The weights and the run folder of an uninterrupted run of a stage."""
    done: dict[str, tuple[Weights, Path]] = {}

    def result(stage: str) -> tuple[Weights, Path]:
        if stage not in done:
            folder = tmp_path_factory.mktemp("straight") / stage
            done[stage] = train_to_the_end(tiny(epochs=2, **STAGES[stage]), folder), folder
        return done[stage]

    return result


def rows(folder: Path) -> list[dict[str, str]]:
    """Of the log, without what the clock says."""
    with (folder / "metrics.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    return [{key: row[key] for key in row if key not in ("samples_per_second", "data_wait")} for row in found]


def where(folder: Path, name: str = "last.ckpt") -> tuple[int, int, int]:
    found = position(read_checkpoint(folder / name))
    return found.epoch, found.batches, found.steps


def started(folder: Path, config: TrainConfig, script: str) -> subprocess.Popen[bytes]:
    file = folder.parent / "config.yaml"
    file.write_text(dump_config(config))
    command = [sys.executable, "-c", script, "train", str(file), "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def to_resume(folder: Path) -> tuple[TrainConfig, Path, Path]:
    """What `train` is to be called with."""
    settings, checkpoint = resume_config(folder)
    return settings, folder, checkpoint


def test_killed_within_an_epoch(
    straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny, train_to_the_end: Train, same_weights: Same,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The command itself, killed from outside in its second epoch; its folder is watched all the while."""
    folder = tmp_path / "run"
    config = tiny(epochs=2, checkpoint_minutes=OFTEN, **STAGES["posenet"])
    child = started(folder, config, "import sys; from pose2mesh.cli.main import main; sys.exit(main())")
    seen: set[str] = set()
    until = time.monotonic() + 600
    while not ((folder / "last.ckpt").is_file() and (where(folder)[0] == 1 and 3 <= where(folder)[1] <= 8)):
        assert child.poll() is None, child.communicate()[1].decode()[-2000:]
        assert time.monotonic() < until
        seen |= {file.name for file in tmp_path.rglob("*.ckpt")}
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.communicate()
    assert seen == {"last.ckpt", "best.ckpt"}
    assert (folder / "loss.png").is_file()
    assert not (folder / "bundle.safetensors").exists()
    epoch, batches, steps = where(folder)
    assert epoch == 1
    assert 3 <= batches < 10
    assert steps == 10 + batches
    with pytest.raises(InputError, match="holds an unfinished run; give --resume"):
        loop.train(config, folder)

    resumed = train_to_the_end(*to_resume(folder))
    weights, uninterrupted = straight("posenet")
    same_weights(weights, resumed)
    assert rows(folder) == rows(uninterrupted)  # the means of the broken epoch too


HALF_WRITTEN = """
import io, os, signal, sys, torch
from pose2mesh.cli.main import main

save, calls = torch.save, []

def half(content, stream):
    calls.append(None)
    if len(calls) == 17:  # nine checkpoints within the first epoch, two at its end
        whole = io.BytesIO()
        save(content, whole)
        stream.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(content, stream)

torch.save = half
sys.exit(main())
"""


@pytest.mark.thorough
def test_killed_in_the_middle_of_a_write(
    straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny, train_to_the_end: Train, same_weights: Same,
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    child = started(folder, tiny(epochs=2, checkpoint_minutes=OFTEN, **STAGES["pose2mesh"]), HALF_WRITTEN)
    _, errors = child.communicate(timeout=600)
    assert child.returncode == -signal.SIGKILL, errors.decode()[-2000:]
    assert (folder / ".last.ckpt.part").stat().st_size > 1000
    assert where(folder) == (1, 10, 15)  # batches of 32, two a step
    resumed = train_to_the_end(*to_resume(folder))
    assert not list(folder.glob(".*"))
    weights, uninterrupted = straight("pose2mesh")
    same_weights(weights, resumed)
    assert rows(folder) == rows(uninterrupted)


def at_step(monkeypatch: pytest.MonkeyPatch, epoch: int, index: int, what: Callable[[], None]) -> None:
    """Do something at the start of a batch."""
    step = Pose2MeshModule.training_step

    def changed(self: Pose2MeshModule, batch: Any, batch_idx: int) -> Any:
        if (self.epoch, batch_idx) == (epoch, index):
            what()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Pose2MeshModule, "training_step", changed)


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(
    number: signal.Signals, status: int, straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny,
    train_to_the_end: Train, same_weights: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    (tmp_path / "config.yaml").write_text(dump_config(tiny(epochs=2, **STAGES["posenet"])))
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, 1, 4, lambda: os.kill(os.getpid(), number))
        assert main(["train", str(tmp_path / "config.yaml"), "--out", str(folder)]) == status
    assert signal.getsignal(number) == before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'}" in lines[0]
    assert f"pose2mesh train --resume {folder}" in lines[0]
    assert where(folder) == (1, 5, 15)
    if number == signal.SIGTERM:
        with monkeypatch.context() as patch:
            at_step(patch, 1, 7, lambda: os.kill(os.getpid(), number))
            assert main(["train", "--resume", str(folder)]) == status
        assert where(folder) == (1, 8, 18)
        same_weights(straight("posenet")[0], train_to_the_end(*to_resume(folder)))
        assert rows(folder) == rows(straight("posenet")[1])


def test_a_signal_in_the_last_step_of_an_epoch_waits_for_its_end(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 0, 9, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        loop.train(tiny(), tmp_path / "run")
    assert where(tmp_path / "run") == (1, 0, 10)
    assert len(rows(tmp_path / "run")) == 1


def test_killed_while_the_bundle_is_made(
    straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny, train_to_the_end: Train, same_weights: Same,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """All epochs are done: nothing is trained any more, and the end is made up for."""

    def interrupted(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(pose2mesh_task, "finish", interrupted)
        with pytest.raises(Interrupted, match=r"stopped by SIGTERM; .*resume with"):
            loop.train(tiny(epochs=2, **STAGES["posenet"]), folder)
    monkeypatch.setattr(Pose2MeshModule, "training_step", interrupted)
    same_weights(straight("posenet")[0], train_to_the_end(*to_resume(folder)))
    assert rows(folder) == rows(straight("posenet")[1])


@pytest.mark.thorough
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_before_the_step(
    broken: str, straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny, train_to_the_end: Train,
    same_weights: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And what was saved goes on as if the number had been one."""
    stage = "pose2mesh" if broken == "loss" else "posenet"
    index = 5 if broken == "loss" else 0
    terms, step_of = Pose2MeshModule.loss_terms, Pose2MeshModule.training_step
    batches: list[int] = []
    batch_index: list[int] = []

    def noted_step(self: Pose2MeshModule, batch: Any, batch_idx: int) -> Any:
        batch_index.append(batch_idx)
        return step_of(self, batch, batch_idx)

    def bad_terms(self: Pose2MeshModule, prediction: Any, batch: Any) -> dict[str, Tensor]:
        found = terms(self, prediction, batch)
        if (self.epoch, batch_index[-1]) == (1, index):
            batches.append(index)
            factor = float("nan") if broken == "loss" else 1.0
            found["lifted_joint"] = found["lifted_joint"] * factor
            if broken == "gradient":
                found["lifted_joint"].register_hook(lambda gradient: gradient * float("inf"))
        return found

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Pose2MeshModule, "loss_terms", bad_terms)
        patch.setattr(Pose2MeshModule, "training_step", noted_step)
        with pytest.raises(InputError) as caught:
            loop.train(tiny(epochs=2, **STAGES[stage]), folder)
    assert batches
    fault = "the loss lifted_joint is nan" if broken == "loss" else "the norm of the gradient is"
    step = index // 2 if broken == "loss" else index
    assert fault in str(caught.value)
    assert f"in epoch 1, step {step} (sampled from seed {(1 << 20) + step})" in str(caught.value)
    assert "last.ckpt holds the state before it" in str(caught.value)
    assert where(folder)[:2] == (1, 4 if broken == "loss" else 0)
    assert all(
        bool(torch.isfinite(value).all()) for value in read_checkpoint(folder / "last.ckpt")["state_dict"].values()
    )
    same_weights(straight(stage)[0], train_to_the_end(*to_resume(folder)))
    assert rows(folder) == rows(straight(stage)[1])


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint_whole(
    straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny, train_to_the_end: Train, same_weights: Same,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    save = torch.save
    calls: list[None] = []

    def full(content: Any, stream: Any) -> None:
        calls.append(None)
        if len(calls) > 6:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, stream)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", full)
        with pytest.raises(InputError) as caught:
            loop.train(tiny(epochs=2, checkpoint_minutes=OFTEN, **STAGES["posenet"]), folder)
    assert "No space left on device" in str(caught.value)
    assert f"last.ckpt is complete: resume with `pose2mesh train --resume {folder}`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert where(folder) == (0, 6, 6)
    assert not list(folder.glob(".*"))
    same_weights(straight("posenet")[0], train_to_the_end(*to_resume(folder)))


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = disk.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    with pytest.raises(InputError, match=r"out: the run needs \d+ MB of disk .* 2 MB are free"):
        loop.train(tiny(), tmp_path / "deep" / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["posenet", "pose2mesh"])
def test_the_estimate_of_the_disk_is_what_a_run_takes(
    stage: str, straight: Callable[[str], tuple[Weights, Path]], tiny: Tiny
) -> None:
    config = tiny(epochs=2, **STAGES[stage])
    checkpoint, _ = disk.needed_bytes(Pose2MeshTask(config))
    _, folder = straight(stage)
    assert checkpoint == pytest.approx((folder / "best.ckpt").stat().st_size, rel=0.1, abs=60_000)


@pytest.fixture
def interrupted(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with both checkpoints: best after the first epoch, last within the second."""
    with monkeypatch.context() as patch:
        at_step(patch, 1, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            loop.train(tiny(epochs=2, **STAGES["posenet"]), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["half", "a bit", "empty", "missing"])
def test_a_damaged_last_checkpoint_falls_back_to_the_best(
    damage: str, interrupted: Path, straight: Callable[[str], tuple[Weights, Path]], train_to_the_end: Train,
    same_weights: Same,
) -> None:  # fmt: skip
    last = interrupted / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 255
    if damage == "missing":
        last.unlink()
    else:
        last.write_bytes({"half": content[: len(content) // 2], "a bit": content, "empty": b""}[damage])
    settings, checkpoint = resume_config(interrupted)
    said: list[str] = []
    assert whole_checkpoint(checkpoint, said.append) == interrupted / "best.ckpt"
    fault = "is missing" if damage == "missing" else "is damaged"
    assert said == [f"{last}: {fault}; resuming from {interrupted / 'best.ckpt'}"]
    if damage == "a bit":
        same_weights(straight("posenet")[0], train_to_the_end(settings, interrupted, checkpoint))
        assert rows(interrupted) == rows(straight("posenet")[1])
    (interrupted / "best.ckpt").write_bytes(b"nothing")
    if damage == "half":
        with pytest.raises(InputError, match=r"last\.ckpt: is damaged, and there is no intact best\.ckpt beside it"):
            loop.train(settings, interrupted, checkpoint)


@pytest.mark.thorough
def test_a_checkpoint_of_another_architecture_is_named(
    interrupted: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(interrupted / "config.yaml", ["network.posenet_width=48"])
    with pytest.raises(InputError) as caught:
        loop.train(config, interrupted, interrupted / "last.ckpt")
    assert str(caught.value) == (
        f"{interrupted / 'last.ckpt'}: it does not fit this network: posenet.lift.weight is (32, 57), expected (48, 57)"
    )
    torch.save({"state_dict": {}}, interrupted / "last.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of a training run"):
        loop.train(config, interrupted, interrupted / "last.ckpt")


def test_what_may_change_in_a_run_that_is_resumed(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[TrainConfig] = []

    def note(config: TrainConfig, out: Path, *_: Any) -> Path:
        asked.append(config)
        return out

    monkeypatch.setattr(loop, "train", note)
    resume = ["--resume", str(interrupted)]
    assert main(["train", *resume, "--set", "checkpoint_minutes=3", "tensorboard=true"]) == 0
    assert asked.pop().checkpoint_minutes == 3
    # The cosine ends with the last epoch; of another number of epochs it is another one.
    other = ["--set", "epochs=9", "optimiser.learning_rate=0.1", "data.synthetic.noise.drop=0.3"]
    for config in ([], [str(interrupted / "config.yaml")]):
        capsys.readouterr()
        assert main(["train", *config, *resume, *other]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for change in ("epochs is 9, was 2", "optimiser.learning_rate is 0.1, was 0.003", "noise.drop is 0.3, was "):
            assert change in error
    stepped = load_config(interrupted / "config.yaml", ["optimiser.schedule=step"])
    (interrupted / "config.yaml").write_text(dump_config(stepped))
    assert main(["train", *resume, "--set", "epochs=9"]) == 0
    assert asked.pop().epochs == 9


def test_the_run_records_what_made_it(
    interrupted: Path, train_to_the_end: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_to_the_end(*to_resume(interrupted))
    first, second = yaml.safe_load((interrupted / "run.yaml").read_text())
    assert first["from"] is None
    assert second["from"] == {"epoch": 1, "batch": 5, "step": 15}
    for start in (first, second):
        assert start["torch"] == torch.__version__
        assert start["seeds"] == {"training": 0, "validation": 987_654_321}
        assert start["processes"] == 1
        assert start["commit"] is None or len(start["commit"].removesuffix("-dirty")) == 40
    settings, checkpoint = load_config(interrupted / "config.yaml"), interrupted / "last.ckpt"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="2 processes, but the run was started with 1"):
        loop.train(settings, interrupted, checkpoint)


def test_a_checkpoint_of_lightning_is_resumed(
    interrupted: Path, straight: Callable[[str], tuple[Weights, Path]], train_to_the_end: Train, same_weights: Same
) -> None:
    """The layout of version 0.1, which trained with PyTorch Lightning."""
    last = interrupted / "last.ckpt"
    new = torch.load(last, weights_only=True)
    batches = {"current": {"processed": new["batches"]}}
    epochs = {"current": {"started": new["epoch"] + 1, "processed": new["epoch"]}}
    old = {
        "state_dict": new["state_dict"],
        "optimizer_states": [new["optimiser"]],
        "lr_schedulers": [new["schedule"]],
        "callbacks": {"EpochLog": new["log"], "RunCheckpoints": {"smallest": new["smallest"]}},
        "loops": {"fit_loop": {"epoch_progress": epochs, "epoch_loop.batch_progress": batches}},
        "global_step": new["steps"],
    }
    torch.save(old, last)
    assert where(interrupted) == (1, 5, 15)
    same_weights(straight("posenet")[0], train_to_the_end(*to_resume(interrupted)))
    assert rows(interrupted) == rows(straight("posenet")[1])
