"""Resuming a run: choice of the checkpoint, checks that it is intact and fits, and config keys that may change."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.config.config_files import changed_keys
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.checkpoints import BEST, LANDMARKS, LAST, CheckpointPosition, position, read_checkpoint
from pose2mesh.training.run_config import load_any
from pose2mesh.training.training_module import RunConfig

# Keys that may change: they do not affect the trained weights, and files may have moved.
FREE_KEYS = {"checkpoint_minutes", "tensorboard", "motions", "kept", "data.folder", "data.cache", "data.body.folder"}


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
    """Refuse to resume with a config that would not continue the same training.

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
    """The checkpoint itself, or the best one of its folder if it is missing or damaged.

    Raises:
        InputError: neither can be read.
    """
    fault = damage(checkpoint)
    if fault is None:
        return checkpoint
    best = checkpoint.with_name(BEST)
    if best == checkpoint or damage(best) is not None:
        raise InputError(f"{checkpoint}: {fault}, and there is no intact {BEST} beside it")
    say(f"{checkpoint}: {fault}; resuming from {best}")
    return best


def damage(checkpoint: Path) -> str | None:
    """The fault of a checkpoint file, as part of a message, or None; all of it is read to verify its checksums."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            broken = archive.testzip()
        read_checkpoint(checkpoint)
    except FileNotFoundError:
        return "is missing"
    except (OSError, zipfile.BadZipFile, InputError):
        return "is damaged"
    return None if broken is None else "is damaged"


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


def other_landmarks(trained: list[int] | None, network: Pose2Mesh) -> bool:
    """Whether a lifter's landmarks (None if it has none or a file does not give them) are other vertices than the
    network's. Landmarks are chosen on posed bodies, which depend on data and seed.
    """
    return trained is not None and network.landmarks is not None and trained != network.landmarks.tolist()


def refuse_other_landmarks(source: Path, trained: list[int] | None, network: Pose2Mesh) -> None:
    """Refuse a file whose lifter has other landmarks than the network.

    Raises:
        InputError: the landmarks differ.
    """
    if other_landmarks(trained, network):
        raise InputError(
            f"{source}: its landmarks are other points of the surface than this config's; expected the data and the "
            "seed that it was trained with"
        )


def load_resumed(checkpoint: Path, network: nn.Module) -> CheckpointPosition:
    """Check that a checkpoint fits a network; returns its position.

    Raises:
        InputError: it is of another architecture or landmarks, or not of a training run.
    """
    content = read_checkpoint(checkpoint)
    try:
        state = {name.removeprefix("network."): value for name, value in content["state_dict"].items()}
        start = position(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{checkpoint}: not a checkpoint of a training run") from error
    refuse_misfit(checkpoint, state, network.state_dict(), "it")
    if isinstance(network, Pose2Mesh):
        refuse_other_landmarks(checkpoint, content.get(LANDMARKS), network)
    return start
