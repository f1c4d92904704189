"""Log of a run: a row of `metrics.csv` and a printed line per epoch, TensorBoard, and a progress bar in between."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.extras import not_installed
from pose2mesh.training.distributed import Processes
from pose2mesh.training.training_module import RunConfig, StepLosses

# Order of Pose2Mesh's losses in a row; losses of other methods follow in the order of the method.
LOSSES = ("vertex", "normal", "edge", "mesh_joint", "lifted_joint", "landmark")
ERRORS = {"mesh_mpjpe": "joint error", "lifted_mpjpe": "lifted", "landmarks": "landmarks", "surface": "surface error"}
ERRORS |= {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "mpvpe": "MPVPE"}  # of baselines


class MetricsTable:
    """`metrics.csv`, one row per epoch; rewritten completely each time, so that a kill leaves no partial row.

    Args:
        file: Path of the table.
        steps: Optimiser steps of the checkpoint that the run resumes from. Later rows are dropped, as their epochs are
            trained again; 0 drops all.
    """

    def __init__(self, file: Path, steps: int = 0) -> None:
        self.file = file
        self.rows: list[dict[str, Any]] = []
        if steps:
            self.rows = [row for row in read_rows(file) if int(row["step"]) <= steps]

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with replacing(self.file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(self.rows)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.csv`, as strings; an empty list if there is no such file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class TensorBoard:
    """TensorBoard log in the folder `tensorboard` of a run, which is made with the first row.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, out: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise InputError(f"tensorboard: {not_installed('TensorBoard', 'tensorboard')}") from error
        self._open = lambda: SummaryWriter(str(out / "tensorboard"))
        self._writer: Any = None

    def add(self, row: dict[str, float], step: int) -> None:
        """Write the values of an epoch."""
        self._writer = self._writer or self._open()
        for name, value in row.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close its file."""
        if self._writer is not None:
            self._writer.close()


class EpochLog:
    """Mean losses of an epoch, its errors, learning rate, samples per second and share of time spent waiting for data.

    The sums are part of a checkpoint, so that the means of an interrupted epoch are over the whole epoch. Its times
    are of training alone, without the interruption and without steps that a kill has undone.

    Args:
        config: Config of the run.
        processes: Processes of the run, over which losses are averaged.
        table: Table to add a row per epoch to; None in all processes but the first.
        tensorboard: TensorBoard log of the same values, if configured.
        say: Called with one line per epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        processes: Processes,
        table: MetricsTable | None,
        tensorboard: TensorBoard | None,
        say: Callable[[str], None],
    ) -> None:
        self.config, self.processes = config, processes
        self.table, self.tensorboard, self.say = table, tensorboard, say
        self._bar: Any = None
        self._reset()

    def _reset(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.batches, self.seconds, self.data_wait_s = 0, 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """The sums so far; the key `drawing_s` is the time spent waiting for samples."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return {"sums": sums, "batches": self.batches, "seconds": self.seconds, "drawing_s": self.data_wait_s}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue with the sums of a checkpoint."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.batches = state["batches"]
        self.seconds, self.data_wait_s = state["seconds"], state["drawing_s"]

    def begin_epoch(self, epoch: int, steps: int, done: int, waited_s: float) -> None:
        """Start the sums of an epoch, or continue those of an epoch that a resumed run has begun.

        Args:
            epoch: From 0.
            steps: Steps of the epoch.
            done: Steps that a resumed run has done already.
            waited_s: The run's time spent waiting for samples so far.
        """
        if done == 0:
            self._reset()
        self.epoch = epoch
        self._started, self._waited_until = time.perf_counter(), waited_s
        if sys.stdout.isatty() and self.processes.first:
            from tqdm import tqdm

            self._bar = tqdm(
                total=steps, initial=done, desc=f"epoch {epoch + 1}/{self.config.epochs}", file=sys.stdout, leave=False
            )

    def add_step(self, losses: list[StepLosses], rate: float, waited_s: float) -> None:
        """Add the losses of a step's batches.

        Args:
            losses: Losses of each accumulated batch.
            rate: Learning rate of the step.
            waited_s: The run's time spent waiting for samples so far.
        """
        now = time.perf_counter()
        self.seconds += now - self._started
        self.data_wait_s += waited_s - self._waited_until
        self._started, self._waited_until, self._rate = now, waited_s, rate
        for batch in losses:
            self.batches += 1
            for name, value in batch["terms"].items():
                self.sums[name] = self.sums.get(name, 0) + value.double()
        if self._bar is not None:
            if self._bar.n % 20 == 0:  # reading the loss makes the program wait for the device
                self._bar.set_postfix(
                    loss=float(losses[-1]["loss"]), data_wait=self.data_wait_s / self.seconds, refresh=False
                )
            self._bar.update()

    def end_epoch(self, errors: dict[str, float], steps: int) -> None:
        """Write the row and the line of an epoch.

        Args:
            errors: Validation errors by column.
            steps: Optimiser steps of the run so far.
        """
        means = {name: value / self.batches for name, value in self.sums.items()}
        means = {name: self.processes.sum(value) / self.processes.count for name, value in means.items()}
        names = [name for name in LOSSES if name in means]
        names += [name for name in means if name not in LOSSES]
        losses = {f"train/{name}": float(means[name]) for name in names}
        row = {
            **losses,
            "train/loss": sum(losses.values()),
            **errors,
            "learning_rate": self._rate,
            "samples_per_second": self.batches * self.config.batch_size * self.processes.count / self.seconds,
            "data_wait": self.data_wait_s / self.seconds,
        }
        if self._bar is not None:
            self._bar.close()
        if self.tensorboard is not None:
            self.tensorboard.add(row, steps)
        if self.table is not None:
            self.table.add({"epoch": self.epoch, "step": steps, **row})
        self.say(epoch_line(self.epoch, self.config.epochs, row))

    def close(self) -> None:
        """Close the progress bar of an epoch that was broken off, and TensorBoard's file."""
        if self._bar is not None:
            self._bar.close()
        if self.tensorboard is not None:
            self.tensorboard.close()


def epoch_line(epoch: int, epochs: int, row: dict[str, float]) -> str:
    """One line of an epoch: every loss by name, errors in millimetres, learning rate, speed, share of time for data."""
    parts = [f"epoch {epoch + 1}/{epochs}:"]
    losses = {name.removeprefix("train/"): value for name, value in row.items() if name.startswith("train/")}
    parts += [f"{name} {value:.4g}" for name, value in losses.items() if name != "loss"]
    errors = [f"{label} {row[f'val/{name}_mm']:.1f} mm" for name, label in ERRORS.items() if f"val/{name}_mm" in row]
    parts += ["|", *errors] if errors else []
    parts += ["|", f"learning rate {row['learning_rate']:.2g}", f"{row['samples_per_second']:.0f} samples/s"]
    return " ".join([*parts, f"data wait {100 * row['data_wait']:.0f} %"])


def closing_line(rows: list[dict[str, Any]], monitored: str | None) -> str:
    """Validation errors of the epoch whose weights are kept, with the mean body's as a baseline; empty without errors.

    Args:
        rows: Rows of the table; read from a file they hold strings.
        monitored: Column whose smallest value selects the best epoch; None selects the last epoch.
    """
    if not rows:
        return ""
    best = rows[-1] if monitored is None else min(rows, key=lambda row: float(row[monitored]))
    found = {name: float(best[f"val/{name}_mm"]) for name in ERRORS if best.get(f"val/{name}_mm")}
    if not found:
        return ""
    line = f"{'last' if monitored is None else 'best'} epoch {int(best['epoch']) + 1}: " + ", ".join(
        f"{ERRORS[name]} {found[name]:.1f} mm" for name in found
    )
    mean_body = best.get("val/mean_body_surface_mm")
    if mean_body:
        line += f"; the mean body's surface error is {float(mean_body):.1f} mm"
    return line
