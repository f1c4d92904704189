"""Search for the largest batch that fits into the memory of this machine."""

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
from pose2mesh.training.optimisers import build_optimiser
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pose2mesh_task import Pose2MeshTask

GROWTH_BYTES = 64 << 20  # a smaller growth of the peak from one batch to the next is noise
SHARE = 0.8  # of the available memory; the rest is for validation and other programs


def largest_batch(config: TrainConfig) -> int:
    """The largest power of two that fits as `batch_size`, with the rest of the config unchanged.

    On a GPU by trial, doubling until its memory is full; on the CPU, where that would end the process, by extrapolating
    the growth of the peak over smaller batches to the available memory.

    Raises:
        InputError: not even a batch of 2 fits.
    """
    config = replace(config, losses=replace(config.losses, edge_from_epoch=0))  # the step that needs the most memory
    module = Pose2MeshTask(config).module
    most = max(2, module.data_source.samples_per_epoch // config.accumulate)
    if torch.cuda.is_available():
        found = by_trial(one_step(module.cuda()), most)
    else:
        found = by_growth(one_step(module), peak_bytes, available_bytes(), most)
    if found < 2:
        raise InputError("batch_size: not even 2 samples fit into the memory; a smaller network is needed")
    return found


def one_step(module: Pose2MeshModule) -> Callable[[int], None]:
    """A function that runs one training step with a given batch size."""
    config = module.config
    optimiser = build_optimiser(config.optimiser, module.trained)
    kind = module.device.type

    def step(size: int) -> None:
        batch = slice_batch(module.training_batch(0, size * config.accumulate), slice(size))
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
    """Double the batch until the peak has grown twice, then extrapolate linearly.

    Args:
        step: Runs a training step with a given batch size.
        peak: Peak memory so far, bytes.
        available: Memory that is still free, bytes.
        most: Upper limit of the result.
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
            # Doubling from `size` adds twice the memory that doubling to `size` has added.
            held = float(peak())
            while held + 2 * growth <= limit and 2 * size <= most:
                growth, size = 2 * growth, 2 * size
                held += growth
            return size
        size *= 2
    return size // 2


def peak_bytes() -> int:
    """Peak memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available_bytes() -> int:
    """Memory in bytes that is free without swapping.

    Raises:
        InputError: the system does not report it.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration) as error:
        raise InputError("--find-batch: this system does not report its available memory") from error
