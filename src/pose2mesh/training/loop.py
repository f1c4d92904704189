"""The training loop: epochs, optimiser steps and accumulated batches, with validation, log and checkpoints.

`train` makes a run folder: `config.yaml` (resolved), `run.yaml` (code and seeds of every start), `metrics.csv`, at most
two checkpoints (`last.ckpt`, `best.ckpt`), and at the end the best one alone with `bundle.safetensors`, made from it.
The rest of a training step is in two more files: samples, seeds and checks in `training_module.py`, losses in
`pose2mesh_module.py` or `baseline_module.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.io.interrupts import StopSignals, stop_signals
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.models.layers.linear import has_bfloat16
from pose2mesh.training.checkpoints import BEST, LAST, RunCheckpoints, TrainingState, read_checkpoint
from pose2mesh.training.disk import check_disk
from pose2mesh.training.distributed import Processes, parallel, synchronise_norms
from pose2mesh.training.epoch_log import EpochLog, MetricsTable, TensorBoard, closing_line
from pose2mesh.training.optimisers import build_optimiser, build_schedule
from pose2mesh.training.plots import refresh_graphs
from pose2mesh.training.resume import load_resumed, whole_checkpoint
from pose2mesh.training.run_folder import explain_failures, prepare_folder, refuse_existing_run
from pose2mesh.training.task import Task
from pose2mesh.training.training_module import NonFiniteLoss, RunConfig, StepLosses, TrainingModule


def train(
    config: RunConfig, out: Path, resume: Path | None = None, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Run or resume a training run; returns the bundle's path.

    Under torchrun every process calls this; the first one writes files and prints.

    Args:
        config: Config of the run.
        out: Run folder, made if need be.
        resume: Checkpoint to resume from.
        say: Called with one line per epoch, and with other messages.

    Raises:
        InputError: the folder holds another run; a clip folder, a pretrained file or a checkpoint is missing or does
            not fit; the disk is too small or becomes full; a loss is not finite.
        Interrupted: by Ctrl-C or SIGTERM, after the last checkpoint was written.
    """
    if resume is None:
        refuse_existing_run(out)
    with stop_signals() as signals, explain_failures(out), Processes.found() as processes:
        return _train(config, out, resume, say if processes.first else lambda line: None, processes, signals)


def _train(
    config: RunConfig,
    out: Path,
    resume: Path | None,
    say: Callable[[str], None],
    processes: Processes,
    signals: StopSignals,
) -> Path:
    tensorboard = TensorBoard(out) if config.tensorboard else None
    task = open_task(config)
    start = None
    if resume is None:
        task.start(say)
    else:
        resume = whole_checkpoint(resume, say)
        start = load_resumed(resume, task.module.network)
        say(f"{resume}: resuming after {start.epoch} epochs and {start.batches} batches of the next")
    check_disk(out, task)
    prepare_folder(out, config, processes, start)
    table = MetricsTable(out / "metrics.csv", start.steps if start else 0) if processes.first else None
    if not task.fit(say):
        with closing(EpochLog(config, processes, table, tensorboard if processes.first else None, say)) as log:
            fit(task, out, resume, processes, signals, log, say)
        if not processes.first:
            return out / BUNDLE
        task.module.load_state_dict(read_checkpoint(out / BEST)["state_dict"])
    task.finish(out / BUNDLE)
    (out / LAST).unlink(missing_ok=True)
    if table is not None and (line := closing_line(table.rows, task.monitored)):
        say(line)
    return out / BUNDLE


def open_task(config: RunConfig) -> Task:
    """Build the task of a config: Pose2Mesh or a learned baseline.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    if isinstance(config, TrainConfig):
        from pose2mesh.training.pose2mesh_task import Pose2MeshTask

        return Pose2MeshTask(config)
    assert isinstance(config, BaselineConfig)
    from pose2mesh.training.baseline_task import BaselineTask

    return BaselineTask(config)


def fit(
    task: Task,
    out: Path,
    resume: Path | None,
    processes: Processes,
    signals: StopSignals,
    log: EpochLog,
    say: Callable[[str], None],
) -> None:
    """Train to the last epoch. Afterwards the weights are in the checkpoints in `out`, the network on the CPU."""
    config, module = task.config, task.module
    device = processes.join(task.accelerator)
    if config.precision == "bf16" and resume is None and device.type == "cpu" and not has_bfloat16():
        say("precision: bf16: this processor has no bfloat16 matrix products; --set precision=fp32 would be faster")
    if processes.count > 1:
        synchronise_norms(module.network)
    module.to(device).processes = processes
    samples_per_step = config.batch_size * config.accumulate * processes.count
    module.steps_per_epoch = max(1, task.samples_per_epoch // samples_per_step)
    module.total_steps = module.steps_per_epoch * config.epochs
    optimiser = build_optimiser(config.optimiser, module.trained)
    schedule = build_schedule(config.optimiser, optimiser, module.steps_per_epoch, config.epochs)
    state = TrainingState(module, optimiser, schedule, log)
    checkpoints = RunCheckpoints(out, state, task.monitored, processes, signals)
    if resume is not None:
        checkpoints.restore(resume)
    module.begin_training()
    network = parallel(module, processes, device)
    with signals.deferring():
        for epoch in range(state.epoch, config.epochs):
            module.epoch = epoch
            log.begin_epoch(epoch, module.steps_per_epoch, state.step, module.data_wait_s)
            for step in range(state.step, module.steps_per_epoch):
                rate = optimiser.param_groups[-1]["lr"]
                try:
                    losses = take_step(module, network, optimiser, step)
                except NonFiniteLoss:
                    module.restore_norms()
                    checkpoints.save(LAST)
                    raise
                last = step + 1 == module.steps_per_epoch
                if config.optimiser.schedule == "cosine" or last:
                    schedule.step()
                state.step, module.finished_steps = step + 1, module.finished_steps + 1
                log.add_step(losses, rate, module.data_wait_s)
                if not last:  # the checkpoint after the last step is written after validation
                    checkpoints.after_step()
            errors = validate(module, task.validation_batches)
            state.epoch, state.step = epoch + 1, 0
            log.end_epoch(errors, module.finished_steps)
            refresh_graphs(out, processes)
            checkpoints.after_epoch(errors)
    module.cpu()


def take_step(
    module: TrainingModule[Any], network: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> list[StepLosses]:
    """One optimiser step of the epoch; returns the losses of its accumulated batches.

    Args:
        module: Makes the samples and checks the gradient.
        network: The module itself, or its wrapper for several processes.
        optimiser: Updates the module's weights.
        step: Index of the step in the epoch, from 0.

    Raises:
        NonFiniteLoss: before the weights were changed.
    """
    accumulate, losses = module.config.accumulate, []
    samples = module.samples_of_step(step)
    module.remember_norms()
    optimiser.zero_grad()
    for part in range(accumulate):
        batch, index = module.batch_of_process(samples, part), step * accumulate + part
        module.seed_dropout(index)
        # Gradients are averaged over the processes only in the backward pass of the last batch.
        averaged_later = part + 1 < accumulate and isinstance(network, DistributedDataParallel)
        with cast(DistributedDataParallel, network).no_sync() if averaged_later else nullcontext():
            with autocast(module):
                losses.append(network(batch, index))
            (losses[-1]["loss"] / accumulate).backward()
    module.check_and_clip_gradient(step)
    optimiser.step()
    return losses


@torch.inference_mode()
def validate(module: TrainingModule[Any], batches: int) -> dict[str, float]:
    """Mean errors over the validation samples of all processes, by the column names of `metrics.csv`."""
    processes = module.processes
    training = {part: part.training for part in module.modules()}
    module.eval()
    sums, count = dict[str, Tensor](), torch.zeros((), device=module.device)
    for index in range(processes.rank, max(processes.count, batches), processes.count):
        with autocast(module):
            errors, size = module.validation_step(module.validation_batch(index))
        sums = {name: sums.get(name, 0) + value * size for name, value in errors.items()}
        count += size
    for part, mode in training.items():
        part.training = mode
    total = processes.sum(count)
    return {name: float(processes.sum(value) / total) for name, value in sums.items()}


def autocast(module: TrainingModule[Any]) -> torch.autocast:
    """Context in which matrix products are in bfloat16, if the config has `precision: bf16`."""
    return torch.autocast(module.device.type, torch.bfloat16, enabled=module.config.precision == "bf16")
