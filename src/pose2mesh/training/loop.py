"""One training run from config to bundle: builds what is trained, hands it to Lightning, writes the run folder.

A run folder holds `config.yaml` (resolved), `run.yaml` (code and seeds of every start), `metrics.csv`, at most two
checkpoints (`last.ckpt`, `best.ckpt`) and in the end the best alone with `bundle.safetensors`, made from it.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.extras import not_installed
from pose2mesh.io.interrupts import Interrupted, StopSignals, stop_signals
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.models.layers.linear import has_bfloat16
from pose2mesh.training.callbacks.epoch_log import EpochLog, MetricsTable, closing_line
from pose2mesh.training.checkpoints import BEST, LAST, AtomicCheckpoints, RunCheckpoints
from pose2mesh.training.disk import check_disk
from pose2mesh.training.distributed import Indices, Processes, synchronise_norms
from pose2mesh.training.lightning_module import NonFiniteLoss, RunConfig
from pose2mesh.training.plots import Graphs
from pose2mesh.training.resume import (
    CheckpointPosition,
    load_resumed,
    read_checkpoint,
    record_start,
    whole_checkpoint,
)
from pose2mesh.training.task import Task


def train(
    config: RunConfig, out: Path, resume: Path | None = None, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Run or resume a training run; returns the bundle's path.

    Started by torchrun, every process calls this; the first one writes and speaks.

    Args:
        config: The run's.
        out: Its folder, made if need be.
        resume: A checkpoint to go on from.
        say: Takes a line per epoch, and what else is worth one.

    Raises:
        InputError: the folder holds another run; a clip folder, a pretrained file or a checkpoint is missing or does
            not fit; the disk is too small or fills; a loss stops being a number.
        Interrupted: by Ctrl-C or SIGTERM, after the last checkpoint was written.
    """
    if resume is None and any((out / name).exists() for name in (LAST, BEST)) and not (out / BUNDLE).exists():
        raise InputError(f"{out}: holds an unfinished run; give --resume {out} or another --out")
    if resume is None and (out / BUNDLE).exists():
        raise InputError(f"{out}: holds a finished run; give another --out")
    processes = Processes.found()
    with stop_signals() as signals:
        try:
            return _train(config, out, resume, say if processes.first else lambda line: None, processes, signals)
        except NonFiniteLoss as error:
            raise InputError(f"{out}: {error}; {_how_to_go_on(out, 'holds the state before it')}") from error
        except OSError as error:
            raise InputError(f"{error.filename or out}: {error.strerror or error}; {_how_to_go_on(out)}") from error
        except Interrupted as error:
            error.args = (f"{error}; {_how_to_go_on(out)}",)
            raise
        finally:
            if torch.distributed.is_initialized():  # its threads must not outlive the interpreter
                torch.distributed.destroy_process_group()


def _how_to_go_on(out: Path, what: str = "is whole") -> str:
    if not (out / LAST).is_file():
        return "nothing was saved yet"
    return f"{out / LAST} {what}: go on with `pose2mesh train --resume {out}`"


def _train(
    config: RunConfig,
    out: Path,
    resume: Path | None,
    say: Callable[[str], None],
    processes: Processes,
    signals: StopSignals,
) -> Path:
    loggers = [tensorboard_log(out)] if config.tensorboard else []
    task = open_task(config)
    where = None
    if resume is not None:
        resume = whole_checkpoint(resume, say)
        where = load_resumed(resume, task.module.network)
        say(f"{resume}: going on after {where.epoch} epochs and {where.batches} batches of the next")
    else:
        task.start(say)
    check_disk(out, task)
    _prepare_folder(out, config, processes, where)
    if processes.count > 1:
        synchronise_norms(task.module.network)
    table = MetricsTable(out / "metrics.csv", where.steps if where else 0) if processes.first else None
    trainer = build_trainer(task, out, processes, signals, EpochLog(table, say), loggers)
    if (
        where is None
        and config.precision == "bf16"
        and trainer.strategy.root_device.type == "cpu"
        and not has_bfloat16()
    ):
        say("precision: bf16: this processor has no products of that type; --set precision=fp32 would be faster")
    if not task.fit(say):
        _fit(trainer, task, processes, resume, where)
        if not processes.first:
            return out / BUNDLE
        task.module.load_state_dict(read_checkpoint(out / BEST)["state_dict"])
    task.finish(out / BUNDLE)
    (out / LAST).unlink(missing_ok=True)
    if table is not None and (line := closing_line(table.rows, task.monitored)):
        say(line)
    return out / BUNDLE


def open_task(config: RunConfig) -> Task:
    """What a config says is to be trained.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    if isinstance(config, TrainConfig):
        from pose2mesh.training.pose2mesh_task import Pose2MeshTask

        return Pose2MeshTask(config)
    assert isinstance(config, BaselineConfig)
    from pose2mesh.training.baseline_task import BaselineTask

    return BaselineTask(config)


def _prepare_folder(out: Path, config: RunConfig, processes: Processes, where: CheckpointPosition | None) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        record_start(out, config, processes, where)
        if processes.first:
            for partial in out.glob(".*.part"):  # of writes that a kill ended
                partial.unlink()
            with replacing(out / "config.yaml") as partial:
                partial.write_text(dump_config(config), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot make the run folder ({error.strerror})") from error


def build_trainer(
    task: Task, out: Path, processes: Processes, signals: StopSignals, log: EpochLog, loggers: list[Any]
) -> L.Trainer:
    """Lightning's trainer with what watches a run."""
    config = task.config
    checkpoints = RunCheckpoints(out, task.monitored, config.checkpoint_minutes, signals)
    callbacks: list[Any] = [log, checkpoints]
    bar = sys.stdout.isatty() and processes.first
    if processes.first:
        callbacks.append(Graphs(out))
    if bar:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    with _quiet():
        return L.Trainer(
            max_epochs=config.epochs,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            accumulate_grad_batches=config.accumulate,
            callbacks=callbacks,
            logger=loggers,
            plugins=[AtomicCheckpoints()],
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            accelerator=task.accelerator,
            devices=processes.count // processes.nodes,
            num_nodes=processes.nodes,
            # Every process has the same buffers: they are built from one seed, and norms are synchronised.
            strategy=DDPStrategy(broadcast_buffers=False) if processes.count > 1 else "auto",
            enable_progress_bar=bar,
            enable_model_summary=False,
        )


def _fit(
    trainer: L.Trainer, task: Task, processes: Processes, resume: Path | None, where: CheckpointPosition | None
) -> None:
    config = task.config
    people_a_step = config.batch_size * config.accumulate * processes.count
    batches = Indices(config.accumulate * max(1, task.people // people_a_step))
    if where is not None:
        batches.skip_once(where.batches)
    parts = max(processes.count, task.validation_batches)
    validation = Indices(parts, processes.rank, processes.count)
    with _quiet():
        trainer.fit(task.module, batches, validation, ckpt_path=resume, weights_only=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks on what is so on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # The loader yields indices: batches are drawn on the device, and in a resumed epoch `Indices` leaves some out.
        remarks = (
            "many workers",
            "before the epoch ended",
            "in eval mode at the start",
            "LeafSpec",
            "broadcast_buffers",
        )
        for remark in remarks:
            warnings.filterwarnings("ignore", message=f".*{remark}.*")
        yield


def tensorboard_log(out: Path) -> Any:
    """A TensorBoard log in a run folder.

    Raises:
        InputError: TensorBoard is not installed.
    """
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(out, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise InputError(f"tensorboard: {not_installed('TensorBoard', 'tensorboard')}") from error
