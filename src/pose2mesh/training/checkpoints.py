"""Checkpoints of a run that survive a kill at any moment: `last.ckpt` to resume from, `best.ckpt` for the bundle."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.interrupts import Interrupted, StopSignals
from pose2mesh.training.distributed import Processes
from pose2mesh.training.epoch_log import EpochLog
from pose2mesh.training.training_module import TrainingModule

LAST, BEST = "last.ckpt", "best.ckpt"
LANDMARKS = "landmarks"  # key of a checkpoint: the vertices of a lifter's landmarks
CONTINUE, SAVE, STOP = 0, 1, 2  # requests of a process after a step; the largest of all processes applies


@dataclass(frozen=True)
class CheckpointPosition:
    """Position of a checkpoint in its run.

    Attributes:
        epoch: Finished epochs.
        batches: Finished batches of the next epoch.
        steps: Optimiser steps of the whole run.
    """

    epoch: int
    batches: int
    steps: int


@dataclass
class TrainingState:
    """The state that a checkpoint stores; random numbers need none, as they depend on seed and position alone.

    Attributes:
        module, optimiser, schedule, log: Parts with a state of their own.
        epoch: Finished epochs.
        step: Finished optimiser steps of the next epoch.
    """

    module: TrainingModule[Any]
    optimiser: torch.optim.Optimizer
    schedule: LRScheduler
    log: EpochLog
    epoch: int = 0
    step: int = 0


class RunCheckpoints:
    """Keeps two checkpoints: the last one, at the end of every epoch and every `checkpoint_minutes`, and the best one.

    Within an epoch a checkpoint is written only between two steps, and not after the last step, as validation follows.
    `best.ckpt` is written before `last.ckpt`: a run that is killed in between resumes from the older `last.ckpt` and
    writes the same `best.ckpt` again.

    Args:
        folder: Run folder.
        state: State to save.
        monitored: Error whose smallest value selects the best checkpoint; None selects the last one.
        processes: Processes of the run; they save together, and the first one writes.
        signals: After a signal the last checkpoint is written and `Interrupted` raised.
    """

    def __init__(
        self, folder: Path, state: TrainingState, monitored: str | None, processes: Processes, signals: StopSignals
    ) -> None:
        self.folder, self.state, self.monitored = folder, state, monitored
        self.processes, self.signals = processes, signals
        self.smallest = float("inf")
        self._saved_at = time.monotonic()

    def after_step(self) -> None:
        """Write `last.ckpt` if `checkpoint_minutes` have passed or a signal was received.

        Raises:
            Interrupted: a signal was received, after the checkpoint was written.
        """
        request = self._agreed_request()
        if request >= SAVE:
            self.save(LAST)
        if request == STOP:
            raise Interrupted(self.signals.received or 15)

    def after_epoch(self, errors: dict[str, float]) -> None:
        """Write `last.ckpt`, and before it `best.ckpt` if this epoch is the best so far.

        Raises:
            Interrupted: a signal was received, after the checkpoints were written.
        """
        error = None if self.monitored is None else errors[self.monitored]
        if error is None or error < self.smallest:
            self.smallest = self.smallest if error is None else error
            self.save(BEST)
        self.save(LAST)
        if self._agreed_request() == STOP:
            raise Interrupted(self.signals.received or 15)

    def _agreed_request(self) -> int:
        """The largest request of all processes."""
        request = (
            SAVE if time.monotonic() - self._saved_at >= 60 * self.state.module.config.checkpoint_minutes else CONTINUE
        )
        if self.signals.received is not None:
            request = STOP
        return self.processes.max(request, self.state.module.device)

    def save(self, name: str) -> None:
        """Write a checkpoint of the state after the last finished step."""
        state, module = self.state, self.state.module
        if self.processes.first:
            content = {
                "state_dict": module.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "schedule": state.schedule.state_dict(),
                "log": state.log.state_dict(),
                "epoch": state.epoch,
                "batches": state.step * module.config.accumulate,
                "steps": module.finished_steps,
                "smallest": self.smallest,
                **module.checkpoint_extras(),
            }
            save_checkpoint(self.folder / name, content)
        self.processes.wait()
        self._saved_at = time.monotonic()

    def restore(self, file: Path) -> None:
        """Fill the state from a checkpoint.

        Raises:
            InputError: it cannot be read.
        """
        content, state = read_checkpoint(file, mapped=False), self.state
        state.module.load_state_dict(content["state_dict"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.schedule.load_state_dict(content["schedule"])
        if content["log"] is not None:
            state.log.load_state_dict(content["log"], state.module.device)
        start = position(content)
        state.epoch, state.step = start.epoch, start.batches // state.module.config.accumulate
        state.module.finished_steps = start.steps
        if (self.folder / BEST).is_file():  # absent if a run is resumed in another folder
            self.smallest = content["smallest"]


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically: readers find either the complete old file or the complete new one."""
    # To a stream: given a path, torch reports a full disk as a RuntimeError that does not name the cause.
    with replacing(path) as partial, partial.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())  # without it a power cut may leave an empty file under the new name


def read_checkpoint(file: Path, mapped: bool = True) -> dict[str, Any]:
    """Read a checkpoint as tensors and plain values, on the CPU, without executing code from it.

    Args:
        file: The file.
        mapped: Map the tensors into memory instead of reading them all.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        return _from_lightning(content) if "loops" in content else content
    except Exception as error:
        raise InputError(f"{file}: cannot be read as a checkpoint ({one_line(error)})") from error


def _from_lightning(content: dict[str, Any]) -> dict[str, Any]:
    """Convert a checkpoint of PyTorch Lightning, which version 0.1 trained with, to the current layout."""
    loop, callbacks = content["loops"]["fit_loop"], content["callbacks"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
    within = epochs["started"] > epochs["processed"]
    return {
        "state_dict": content["state_dict"],
        "optimiser": content["optimizer_states"][0],
        "schedule": content["lr_schedulers"][0],
        "log": callbacks.get("EpochLog"),
        "epoch": epochs["processed"],
        "batches": batches["processed"] if within else 0,
        "steps": content["global_step"],
        "smallest": callbacks.get("RunCheckpoints", {}).get("smallest", float("inf")),
        **({LANDMARKS: content[LANDMARKS]} if LANDMARKS in content else {}),
    }


def position(checkpoint: dict[str, Any]) -> CheckpointPosition:
    """Position of a checkpoint in its run."""
    return CheckpointPosition(checkpoint["epoch"], checkpoint["batches"], checkpoint["steps"])
