"""The run folder: refusal of one in use, a record of each start in `run.yaml`, and failures as messages."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from pose2mesh.config.config_files import dump_config
from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.interrupts import Interrupted
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.training.checkpoints import BEST, LAST, CheckpointPosition
from pose2mesh.training.distributed import Processes
from pose2mesh.training.training_module import VALIDATION_SEED, NonFiniteLoss, RunConfig

RECORD = "run.yaml"


def refuse_existing_run(out: Path) -> None:
    """Refuse to start a new run in the folder of another one.

    Raises:
        InputError: the folder holds a run, finished or not.
    """
    if (out / BUNDLE).exists():
        raise InputError(f"{out}: holds a finished run; give another --out")
    if any((out / name).exists() for name in (LAST, BEST)):
        raise InputError(f"{out}: holds an unfinished run; give --resume {out} or another --out")


@contextmanager
def explain_failures(out: Path) -> Iterator[None]:
    """Turn an error that ends a run into one line that says how to resume it.

    Raises:
        InputError: a loss was not finite, or a file could not be written.
        Interrupted: a signal was received.
    """
    try:
        yield
    except NonFiniteLoss as error:
        raise InputError(f"{out}: {error}; {_how_to_resume(out, 'holds the state before it')}") from error
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}; {_how_to_resume(out)}") from error
    except Interrupted as error:
        error.args = (f"{error}; {_how_to_resume(out)}",)
        raise


def _how_to_resume(out: Path, what: str = "is complete") -> str:
    if not (out / LAST).is_file():
        return "nothing was saved yet"
    return f"{out / LAST} {what}: resume with `pose2mesh train --resume {out}`"


def prepare_folder(out: Path, config: RunConfig, processes: Processes, start: CheckpointPosition | None) -> None:
    """Make the folder, record this start in it and write the resolved config.

    Raises:
        InputError: the folder cannot be written, or the run was started with another number of processes.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        record_start(out, config, processes, start)
        if processes.first:
            for partial in out.glob(".*.part"):  # incomplete files of a killed process
                partial.unlink()
            with replacing(out / "config.yaml") as partial:
                partial.write_text(dump_config(config), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot make the run folder ({error.strerror})") from error


def record_start(folder: Path, config: RunConfig, processes: Processes, start: CheckpointPosition | None) -> None:
    """Append the versions, seeds and position of this start of the run to `run.yaml`.

    Raises:
        InputError: the run was started with another number of processes, on which the position in an epoch depends.
    """
    import yaml

    file = folder / RECORD
    starts = yaml.safe_load(file.read_text(encoding="utf-8")) if start is not None and file.is_file() else []
    if starts and starts[-1]["processes"] != processes.count:
        was = starts[-1]["processes"]
        raise InputError(f"--resume {folder}: {processes.count} processes, but the run was started with {was}")
    record = {
        "pose2mesh": version("pose2mesh"),
        "commit": code_commit(),
        "torch": str(torch.__version__),
        "seeds": {"training": config.seed, "validation": VALIDATION_SEED},
        "processes": processes.count,
        "from": None if start is None else {"epoch": start.epoch, "batch": start.batches, "step": start.steps},
    }
    if processes.first:
        with replacing(file) as partial:
            partial.write_text(yaml.safe_dump([*starts, record], sort_keys=False), encoding="utf-8")


def code_commit() -> str | None:
    """The git commit of the package, with `-dirty` if files were changed since; None outside of a checkout."""
    package = Path(__file__).resolve().parents[1]
    root = package.parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
