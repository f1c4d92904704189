"""What a run tells: a row of `metrics.csv` and a line on the screen per epoch, the bar in between."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from pose2mesh.io.atomic_write import replacing
from pose2mesh.training.lightning_module import TrainingStep

# Of Pose2Mesh, in this order; those of other methods follow as they come.
LOSSES = ("vertex", "normal", "edge", "mesh_joint", "lifted_joint", "landmark")
ERRORS = {"mesh_mpjpe": "joint error", "lifted_mpjpe": "lifted", "landmarks": "landmarks", "surface": "surface error"}
ERRORS |= {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "mpvpe": "MPVPE"}  # of baselines


class MetricsTable:
    """`metrics.csv`, one row per epoch; written whole each time, so that a kill leaves no half row.

    Args:
        file: Where.
        steps: Rows after so many steps are dropped: the checkpoint a run goes on from is older, and they come again.
            0 drops all.
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
    """The rows of a `metrics.csv`, as strings; none where there is no such file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class EpochLog(L.Callback):
    """Means of an epoch's losses, errors, learning rate, people a second and the share of time spent drawing them.

    The sums are part of a checkpoint: the means of an epoch that was interrupted are those of the whole epoch. Its
    times are those of training; what a kill undid, and the pause, do not count.

    Args:
        table: Takes a row per epoch.
        say: Takes a line per epoch.
    """

    def __init__(self, table: MetricsTable | None, say: Callable[[str], None]) -> None:
        self.table, self.say = table, say
        self._begin()

    def _begin(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.batches, self.seconds, self.drawing_s = 0, 0.0, 0.0
        self._unfinished: list[dict[str, Tensor]] = []  # of a step

    def state_dict(self) -> dict[str, Any]:
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return {"sums": sums, "batches": self.batches, "seconds": self.seconds, "drawing_s": self.drawing_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums, self.batches = state_dict["sums"], state_dict["batches"]
        self.seconds, self.drawing_s = state_dict["seconds"], state_dict["drawing_s"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.sums = {name: value.to(pl_module.device) for name, value in self.sums.items()}
        self._mark(pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin()
        self._mark(pl_module)

    def _mark(self, module: L.LightningModule) -> None:
        assert isinstance(module, TrainingStep)
        self._marked, self._drawn_until = time.perf_counter(), module.drawing_s

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._rate = trainer.optimizers[0].param_groups[-1]["lr"]  # before the schedule changes it for the next step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingStep)
        self.seconds += time.perf_counter() - self._marked
        self.drawing_s += pl_module.drawing_s - self._drawn_until
        self._mark(pl_module)
        self._unfinished.append(outputs["terms"])
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            for terms in self._unfinished:
                self.batches += 1
                for name, value in terms.items():
                    self.sums[name] = self.sums.get(name, 0) + value.double()
            self._unfinished = []
        pl_module.log("data_wait", self.drawing_s / self.seconds, prog_bar=True, logger=False, batch_size=1)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TrainingStep)
        means = {name: value / self.batches for name, value in self.sums.items()}
        if trainer.world_size > 1:
            means = {name: trainer.strategy.reduce(value, reduce_op="mean") for name, value in means.items()}
        names = [name for name in LOSSES if name in means]
        names += [name for name in means if name not in LOSSES]
        losses = {f"train/{name}": float(means[name]) for name in names}
        errors = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        people = self.batches * pl_module.config.batch_size * trainer.world_size
        row = {
            **losses,
            "train/loss": sum(losses.values()),
            **errors,
            "learning_rate": self._rate,
            "samples_per_second": people / self.seconds,
            "data_wait": self.drawing_s / self.seconds,
        }
        for logger in trainer.loggers:
            logger.log_metrics(row, trainer.global_step)
        if self.table is None:
            return
        self.table.add({"epoch": trainer.current_epoch, "step": trainer.global_step, **row})
        line = epoch_line(trainer.current_epoch, pl_module.config.epochs, row)
        bar = trainer.progress_bar_callback
        if bar is None:
            self.say(line)
        else:
            bar.print(line)


def epoch_line(epoch: int, epochs: int, row: dict[str, float]) -> str:
    """An epoch in a line: every loss by name, errors in millimetres, learning rate, speed, share of time for data."""
    parts = [f"epoch {epoch + 1}/{epochs}:"]
    losses = {name.removeprefix("train/"): value for name, value in row.items() if name.startswith("train/")}
    parts += [f"{name} {value:.4g}" for name, value in losses.items() if name != "loss"]
    errors = [f"{label} {row[f'val/{name}_mm']:.1f} mm" for name, label in ERRORS.items() if f"val/{name}_mm" in row]
    parts += ["|", *errors] if errors else []
    parts += ["|", f"learning rate {row['learning_rate']:.2g}", f"{row['samples_per_second']:.0f} samples/s"]
    return " ".join([*parts, f"data wait {100 * row['data_wait']:.0f} %"])


def closing_line(rows: list[dict[str, Any]], monitored: str | None) -> str:
    """The errors on validation people of the epoch that counts, and what to compare them with; empty without any.

    Args:
        rows: Of the table; read from a file they hold strings.
        monitored: The column whose smallest value makes an epoch the best; None for the last one.
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
