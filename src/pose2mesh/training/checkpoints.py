"""Checkpoints that survive a kill at any moment: `last.ckpt` to go on from, `best.ckpt` to be shipped."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loops.progress import _ProcessedTracker
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.interrupts import Interrupted, StopSignals
from pose2mesh.training.lightning_module import NonFiniteLoss, TrainingStep

LAST, BEST = "last.ckpt", "best.ckpt"
GO_ON, SAVE, STOP = 0, 1, 2  # what a process wishes for after a step; the largest of all wishes is done


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: whoever looks finds the old one whole, or the new one.

    Lightning writes to the system's temporary folder first; from another file system the move is a copy, and a kill
    in the middle of it leaves half a file where the only checkpoint was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        # To a stream and not to a path, where a full disk is a RuntimeError that does not say so.
        with replacing(Path(path)) as partial, partial.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave an empty file under the new name


class RunCheckpoints(Checkpoint):
    """Keeps two checkpoints: the last at the end of every epoch and every so many minutes, and the best.

    Within an epoch one is written only between two steps, and never after its last: the validation that follows belongs
    to it. The best is written before the last, so that a kill in between finds a last that will come to it again.

    Args:
        folder: Of the run.
        monitored: The error whose smallest value makes a checkpoint the best; None for the last one.
        minutes: Time between two within an epoch.
        signals: A signal received makes it write the last and raise `Interrupted`.
    """

    def __init__(self, folder: Path, monitored: str | None, minutes: float, signals: StopSignals) -> None:
        self.folder, self.monitored, self.minutes, self.signals = folder, monitored, minutes, signals
        self.smallest = float("inf")
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"smallest": self.smallest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if (self.folder / BEST).is_file():  # not where a run goes on in another folder
            self.smallest = state_dict["smallest"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._saved_at = time.monotonic()
        self.signals.listen()
        self.signals.deferred = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches or done == trainer.num_training_batches:
            return
        wish = self._agreed_wish(trainer)
        if wish >= SAVE:
            self._save(trainer, LAST)
        if wish == STOP:
            raise Interrupted(self.signals.received or 15)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        error = None if self.monitored is None else float(trainer.callback_metrics[self.monitored])
        if error is None or error < self.smallest:
            self.smallest = self.smallest if error is None else error
            self._save(trainer, BEST)
        self._save(trainer, LAST)
        if self._agreed_wish(trainer) == STOP:
            raise Interrupted(self.signals.received or 15)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.signals.deferred = False

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.signals.deferred = False
        if isinstance(exception, NonFiniteLoss):
            assert isinstance(pl_module, TrainingStep)
            pl_module.take_back()
            # The step did not happen: the counters of batches are put to where they stand after the one before it.
            progress = trainer.fit_loop.epoch_loop.batch_progress
            undone = trainer.fit_loop.batch_idx % trainer.accumulate_grad_batches
            for counts in (progress.current, progress.total):
                assert isinstance(counts, _ProcessedTracker)
                done = counts.processed - undone
                counts.ready = counts.started = counts.processed = done
                counts.completed = done - 1
            self._save(trainer, LAST)

    def _agreed_wish(self, trainer: L.Trainer) -> int:
        """What this process wants, or another: a checkpoint is written by all together."""
        wish = SAVE if time.monotonic() - self._saved_at >= 60 * self.minutes else GO_ON
        if self.signals.received is not None:
            wish = STOP
        if trainer.world_size == 1:
            return wish
        shared = torch.tensor(wish, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(shared, reduce_op="max"))

    def _save(self, trainer: L.Trainer, name: str) -> None:
        trainer.save_checkpoint(self.folder / name)
        self._saved_at = time.monotonic()
