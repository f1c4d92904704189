"""The largest batch that the memory of this machine holds."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.batch import slice_batch
from pose2mesh.errors import InputError
from pose2mesh.training.lightning_module import build_optimiser
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pose2mesh_task import Pose2MeshTask

GROWTH_BYTES = 64 << 20  # of the peak between two batches, for a difference that is more than chance
SHARE = 0.8  # of the available memory: the rest is for validation and for others


def largest_batch(config: TrainConfig) -> int:
    """The largest power of two that fits as `batch_size`, with everything else as the config says.

    On a GPU by trial, doubling until its memory is full; on the CPU, where that would end the process, from the growth
    of the peak over smaller batches against the available memory.

    Raises:
        InputError: not even a batch of 2 fits.
    """
    config = replace(config, losses=replace(config.losses, edge_from_epoch=0))  # the fullest step of the run
    module = Pose2MeshTask(config).module
    most = max(2, module.supply.samples_per_epoch // config.accumulate)
    if torch.cuda.is_available():
        found = by_trial(one_step(module.cuda()), most)
    else:
        found = by_growth(one_step(module), peak_bytes, available_bytes(), most)
    if found < 2:
        raise InputError("batch_size: not even 2 people fit into the memory; a smaller network is needed")
    return found


def one_step(module: Pose2MeshModule) -> Callable[[int], None]:
    """A function that takes one training step with a batch of so many people."""
    config = module.config
    optimiser = build_optimiser(config.optimiser, module.trained)
    kind = module.device.type

    def step(size: int) -> None:
        batch = slice_batch(module.draw(0, size * config.accumulate), slice(size))
        with torch.autocast(kind, torch.bfloat16, enabled=config.precision == "bf16"):
            prediction = module.predict_batch(batch)
        torch.stack(list(module.loss_terms(prediction, batch).values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def by_trial(step: Callable[[int], None], most: int) -> int:
    """Double the batch until the GPU's memory is full; 0 where nothing fits."""
    fits, size = 0, 2
    while size <= most:
        try:
            step(size)
        except torch.cuda.OutOfMemoryError:
            break
        fits, size = size, 2 * size
    return fits


def by_growth(step: Callable[[int], None], peak: Callable[[], int], available: int, most: int) -> int:
    """Double the batch until the peak has grown twice, and go on along the line through these two.

    Args:
        step: Takes a step with so many people.
        peak: The most memory ever held so far, bytes.
        available: Memory that is free beyond what is held, bytes.
        most: No batch is larger.
    """
    start, size, grown = peak(), 2, 0
    limit = start + SHARE * available
    while size <= most:
        before = peak()
        step(size)
        growth = peak() - before
        grown = grown + 1 if growth >= GROWTH_BYTES else 0
        if peak() > limit:
            return size // 2
        if grown >= 2:
            # A doubling from `size` costs twice what the doubling to it did.
            held = float(peak())
            while held + 2 * growth <= limit and 2 * size <= most:
                growth, size = 2 * growth, 2 * size
                held += growth
            return size
        size *= 2
    return size // 2


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available_bytes() -> int:
    """Memory that could be taken without swapping.

    Raises:
        InputError: the system does not tell.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration) as error:
        raise InputError("--find-batch: this system does not tell its available memory") from error
