"""Checkpoints that survive a kill at any moment, and a log that a resumed run goes on with."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pose2mesh.files import replacing


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: whoever looks finds the old one whole, or the new one.

    Lightning writes to the system's temporary folder first; from another file system the move is a copy, and a kill
    in the middle of it leaves half a file where the only checkpoint was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        with replacing(Path(path)) as partial:
            torch.save(checkpoint, partial)


def open_log(folder: Path, resume: Path | None) -> CSVLogger:
    """The log `metrics.csv` in a run folder, with the rows up to the checkpoint that is resumed from.

    Lightning would begin a new file. Rows that an interrupted run wrote after its checkpoint are dropped: they are
    written again.
    """
    file = folder / "metrics.csv"
    rows: list[dict[str, Any]] = []
    if resume is not None and file.is_file():
        steps = torch.load(resume, map_location="cpu", weights_only=True, mmap=True)["global_step"]
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row["step"].isdecimal() and int(row["step"]) < steps]
    log = CSVLogger(folder, name="", version="")
    log.experiment.metrics.extend(rows)
    log.save()
    return log
