"""One training run from config to bundle: builds the parts, hands them to Lightning, writes the run folder.

A run folder holds `config.yaml` (resolved), `run.yaml` (code and seeds of every start), `metrics.csv`, at most two
checkpoints (`last.ckpt`, `best.ckpt`) and in the end the best alone with `bundle.safetensors`, made from it.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from pose2mesh.body.anny import AnnyBody
from pose2mesh.config import TrainConfig, dump_config
from pose2mesh.data.drawn import DrawnPeople
from pose2mesh.data.recorded import open_recorded
from pose2mesh.data.sources import pose_sources
from pose2mesh.data.supply import Supply
from pose2mesh.errors import InputError
from pose2mesh.files import replacing
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.surface import Surface, build_surface
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.checkpoints import BEST, BUNDLE, LAST, AtomicCheckpoints, RunCheckpoints
from pose2mesh.training.disk import check_disk
from pose2mesh.training.finish import finish
from pose2mesh.training.interrupt import Interrupted, StopSignals, stop_signals
from pose2mesh.training.log import EpochLog, MetricsTable, closing_line
from pose2mesh.training.module import NotFinite, TrainingModule
from pose2mesh.training.parallel import Indices, Processes, synchronise_norms
from pose2mesh.training.plots import Graphs
from pose2mesh.training.pretrained import load_pretrained
from pose2mesh.training.resume import (
    Position,
    load_resumed,
    read_checkpoint,
    record_start,
    whole_checkpoint,
)

SAMPLE_BODIES = 200  # posed bodies that a coarse surface's linear step is fitted to


@dataclass(frozen=True)
class Parts:
    """What a run is made of, as its config says."""

    supply: Supply
    surface: Surface
    module: TrainingModule


def train(
    config: TrainConfig, out: Path, resume: Path | None = None, say: Callable[[str], None] = lambda line: None
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
        except NotFinite as error:
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
    config: TrainConfig,
    out: Path,
    resume: Path | None,
    say: Callable[[str], None],
    processes: Processes,
    signals: StopSignals,
) -> Path:
    loggers = [tensorboard_log(out)] if config.tensorboard else []
    parts = build_parts(config)
    network = parts.module.network
    where = None
    if resume is not None:
        resume = whole_checkpoint(resume, say)
        where = load_resumed(resume, network)
        say(f"{resume}: going on after {where.epoch} epochs and {where.batches} batches of the next")
    elif config.pretrained is not None:
        load_pretrained(network, Path(config.pretrained), config.stage == "pose2mesh", say)
    check_disk(out, config, network, parts.surface)
    _prepare_folder(out, config, processes, where)
    if processes.count > 1:
        synchronise_norms(network)
    table = MetricsTable(out / "metrics.csv", where.steps if where else 0) if processes.first else None
    trainer = build_trainer(config, out, processes, signals, EpochLog(table, say), loggers)
    _fit(trainer, parts.module, processes, resume, where)
    if not processes.first:
        return out / BUNDLE
    state = read_checkpoint(out / BEST)["state_dict"]
    parts.module.load_state_dict(state)
    finish(out / BUNDLE, config, network, parts.surface, parts.supply)
    (out / LAST).unlink(missing_ok=True)
    if table is not None and table.rows:
        say(closing_line(table.rows, monitored_error(config)))
    return out / BUNDLE


def monitored_error(config: TrainConfig) -> str:
    """The column of `metrics.csv` whose smallest value makes an epoch the best.

    The surface in stage two: its joints follow the lifter's from the first epochs on, while the surface still improves.
    """
    return "val/surface_mm" if config.stage == "pose2mesh" else "val/lifted_mpjpe_mm"


def build_parts(config: TrainConfig) -> Parts:
    """People and their body, surface, network and its wrapper, all decided by the config and its seed."""
    L.seed_everything(config.seed, verbose=False)
    supply = open_supply(config)
    surface, network = build_network(config, supply)
    supply.prepare(torch.from_numpy(surface.points) if config.stage == "pose2mesh" else None)
    return Parts(supply, surface, TrainingModule(config, network, supply, torch.from_numpy(surface.point_faces)))


def open_supply(config: TrainConfig) -> Supply:
    """Where a config's people come from.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    data, joint_set = config.data, JOINT_SETS[config.joint_set]
    if data.sets:
        return open_recorded(data, joint_set, config.seed)
    people, validation = data.samples_per_epoch, data.validation_samples
    return DrawnPeople(AnnyBody(), joint_set, pose_sources(data), data.synthetic, people, validation, data.motions)


def _prepare_folder(out: Path, config: TrainConfig, processes: Processes, where: Position | None) -> None:
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
    config: TrainConfig, out: Path, processes: Processes, signals: StopSignals, log: EpochLog, loggers: list[Any]
) -> L.Trainer:
    """Lightning's trainer with what watches a run."""
    checkpoints = RunCheckpoints(out, monitored_error(config), config.checkpoint_minutes, signals)
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
            accelerator="auto",
            devices=processes.count // processes.nodes,
            num_nodes=processes.nodes,
            # Every process has the same buffers: they are built from one seed, and norms are synchronised.
            strategy=DDPStrategy(broadcast_buffers=False) if processes.count > 1 else "auto",
            enable_progress_bar=bar,
            enable_model_summary=False,
        )


def _fit(
    trainer: L.Trainer, module: TrainingModule, processes: Processes, resume: Path | None, where: Position | None
) -> None:
    config = module.config
    people_a_step = config.batch_size * config.accumulate * processes.count
    batches = Indices(config.accumulate * max(1, module.supply.people // people_a_step))
    if where is not None:
        batches.skip_once(where.batches)
    parts = max(processes.count, module.supply.validation_batches)
    validation = Indices(parts, processes.rank, processes.count)
    with _quiet():
        trainer.fit(module, batches, validation, ckpt_path=resume, weights_only=True)


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
        raise InputError("tensorboard: not installed; `pip install pose2mesh[tensorboard]` brings it") from error


def build_network(config: TrainConfig, supply: Supply) -> tuple[Surface, Pose2Mesh]:
    """The surface and a fresh network on it, both decided by the config and its seed."""
    joint_set = JOINT_SETS[config.joint_set]
    posed = None
    if config.network.finest > 0:
        posed = supply.posed_bodies(SAMPLE_BODIES, torch.Generator().manual_seed(config.seed))
    surface = build_surface(supply.body, joint_set, config.network, posed)
    return surface, Pose2Mesh(config.network, joint_set, surface)
