"""Going on with a run: which checkpoint, whether it is whole and fits, what may be changed, what made it."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.config.config_files import changed_keys
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.atomic_write import replacing
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.checkpoints import BEST, LAST
from pose2mesh.training.distributed import Processes
from pose2mesh.training.lightning_module import VALIDATION_SEED, RunConfig
from pose2mesh.training.run_config import load_any

# That change nothing of what is trained: files may have moved.
FREE_KEYS = {"checkpoint_minutes", "tensorboard", "motions", "kept", "data.folder", "data.cache", "data.body.folder"}
RECORD = "run.yaml"
LANDMARKS = "landmarks"  # in a checkpoint: which points of the surface a lifter's are


@dataclass(frozen=True)
class CheckpointPosition:
    """Where a checkpoint stands.

    Attributes:
        epoch: Finished epochs.
        batches: Batches of the next one that are done.
        steps: Optimiser steps in all.
    """

    epoch: int
    batches: int
    steps: int


def resume_config(folder: Path) -> tuple[TrainConfig | BaselineConfig, Path]:
    """The config and the last checkpoint of an interrupted run; `folder` may also be the checkpoint itself.

    Raises:
        InputError: there is nothing to resume.
    """
    checkpoint = folder if folder.is_file() else folder / LAST
    if not checkpoint.is_file():
        if (folder / BUNDLE).is_file():
            raise InputError(f"{folder}: nothing to resume; the run is finished")
        if not (folder / BEST).is_file():
            raise InputError(f"{folder}: nothing to resume; expected {LAST} there")
    return load_any(checkpoint.parent / "config.yaml"), checkpoint


def refuse_changes(folder: Path, old: RunConfig, new: RunConfig) -> None:
    """Refuse to go on with a config that would not be the same training.

    `FREE_KEYS` may change, and so may `epochs` where the learning rate does not depend on it (`schedule: step`).

    Raises:
        InputError: names every key that may not change, with both values.
    """
    changes = changed_keys(old, new)
    free = FREE_KEYS | ({"epochs"} if old.optimiser.schedule == "step" else set())
    refused = [f"{key} is {now!r}, was {before!r}" for key, (before, now) in changes.items() if key not in free]
    if refused:
        raise InputError(f"--resume {folder}: another config than the run's: {'; '.join(refused)}")


def whole_checkpoint(checkpoint: Path, say: Callable[[str], None]) -> Path:
    """The checkpoint, or the best of its folder where it is missing or damaged.

    Raises:
        InputError: neither can be read.
    """
    fault = damage(checkpoint)
    if fault is None:
        return checkpoint
    best = checkpoint.with_name(BEST)
    if best == checkpoint or damage(best) is not None:
        raise InputError(f"{checkpoint}: {fault}, and there is no whole {BEST} beside it")
    say(f"{checkpoint}: {fault}; going on from {best}")
    return best


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint file, or None; reads it all, for its checksums."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            broken = archive.testzip()
        read_checkpoint(checkpoint)
    except FileNotFoundError:
        return "is missing"
    except (OSError, zipfile.BadZipFile, InputError):
        return "is damaged"
    return None if broken is None else "is damaged"


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint as tensors and plain values, on the CPU, without its code being run.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise InputError(f"{file}: cannot be read as a checkpoint ({one_line(error)})") from error


def position(checkpoint: dict[str, Any]) -> CheckpointPosition:
    """Where a checkpoint stands, from the counters that Lightning keeps."""
    loop = checkpoint["loops"]["fit_loop"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
    within = epochs["started"] > epochs["processed"]
    return CheckpointPosition(epochs["processed"], batches["processed"] if within else 0, checkpoint["global_step"])


def refuse_misfit(source: Path, state: dict[str, Tensor], own: dict[str, Tensor], what: str) -> None:
    """Refuse weights of another architecture.

    Raises:
        InputError: names the file and the first weight whose shape differs.
    """
    shapes, wanted = ({name: tuple(value.shape) for name, value in weights.items()} for weights in (state, own))
    for name in wanted | shapes:
        if wanted.get(name) != shapes.get(name):
            there, here = shapes.get(name, "none"), wanted.get(name, "none")
            raise InputError(f"{source}: {what} does not fit this network: {name} is {there}, expected {here}")


def other_landmarks(learnt: list[int] | None, network: Pose2Mesh) -> bool:
    """Whether a lifter's landmarks (None where it has none or does not say) are other points than the network's: they
    are chosen by posed bodies, which data and seed decide.
    """
    return learnt is not None and network.landmarks is not None and learnt != network.landmarks.tolist()


def refuse_other_landmarks(source: Path, learnt: list[int] | None, network: Pose2Mesh) -> None:
    """Refuse a file's lifter whose landmarks are not the network's.

    Raises:
        InputError: they are not.
    """
    if other_landmarks(learnt, network):
        raise InputError(
            f"{source}: its landmarks are other points of the surface than this config's; expected the data and the "
            "seed that it was trained with"
        )


def load_resumed(checkpoint: Path, network: nn.Module) -> CheckpointPosition:
    """Check that a checkpoint fits a network and say where it stands.

    Raises:
        InputError: it is of another architecture, or not of a training run.
    """
    content = read_checkpoint(checkpoint)
    try:
        state = {name.removeprefix("network."): value for name, value in content["state_dict"].items()}
        where = position(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{checkpoint}: not a checkpoint of a training run") from error
    refuse_misfit(checkpoint, state, network.state_dict(), "it")
    if isinstance(network, Pose2Mesh):
        refuse_other_landmarks(checkpoint, content.get(LANDMARKS), network)
    return where


def record_start(folder: Path, config: RunConfig, processes: Processes, where: CheckpointPosition | None) -> None:
    """Add to `run.yaml` what this start of the run is made with; refuse another division among processes.

    Raises:
        InputError: the run was started with another number of processes: its position counts their batches.
    """
    import yaml

    file = folder / RECORD
    starts = yaml.safe_load(file.read_text(encoding="utf-8")) if where is not None and file.is_file() else []
    if starts and starts[-1]["processes"] != processes.count:
        was = starts[-1]["processes"]
        raise InputError(f"--resume {folder}: {processes.count} processes, but the run was started with {was}")
    start = {
        "pose2mesh": version("pose2mesh"),
        "commit": code_commit(),
        "torch": str(torch.__version__),
        "lightning": version("lightning"),
        "seeds": {"training": config.seed, "validation": VALIDATION_SEED},
        "processes": processes.count,
        "from": None if where is None else {"epoch": where.epoch, "batch": where.batches, "step": where.steps},
    }
    if processes.first:
        with replacing(file) as partial:
            partial.write_text(yaml.safe_dump([*starts, start], sort_keys=False), encoding="utf-8")


def code_commit() -> str | None:
    """The git commit of the package, `-dirty` where files were changed since; None where it is no checkout."""
    package = Path(__file__).resolve().parents[1]
    root = package.parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
