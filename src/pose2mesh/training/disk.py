"""Disk space that a run needs, checked before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.training.checkpoints import BEST, LAST
from pose2mesh.training.task import Task

LOG_BYTES = 4 << 20  # metrics, record, config, graphs


def needed_bytes(task: Task) -> tuple[int, int]:
    """Bytes of one checkpoint, and the largest total of a run.

    The total is two checkpoints, a third while it is written, the bundle and the log. A checkpoint holds the weights
    and per trained weight one (RMSprop) or two (Adam) numbers of the optimiser.
    """
    kept = 1 if task.config.optimiser.name == "rmsprop" else 2
    weights = _bytes(task.module.network.state_dict().values())
    trained = task.module.trained.parameters()
    checkpoint = weights + kept * _bytes(parameter for parameter in trained if parameter.requires_grad)
    return checkpoint, 3 * checkpoint + weights + task.bundle_bytes() + LOG_BYTES


def surface_bytes(surface: MeshTopology) -> int:
    """Size of a mesh topology in a bundle."""
    arrays = [*vars(surface).values(), *(vars(surface.skinned).values() if surface.skinned is not None else ())]
    return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))


def check_disk(folder: Path, task: Task) -> None:
    """Refuse a run if the disk is too small; checkpoints of the interrupted run in the folder count as free space.

    Raises:
        InputError: names the folder, the space needed and the space that is free.
    """
    checkpoint, needed = needed_bytes(task)
    there = sum(path.stat().st_size for path in (folder / LAST, folder / BEST) if path.is_file())
    exists = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(exists).free + there
    if free < needed:
        raise InputError(
            f"{folder}: the run needs {needed / 1e6:.0f} MB of disk (three checkpoints of {checkpoint / 1e6:.0f} MB, "
            f"bundle and log), {free / 1e6:.0f} MB are free"
        )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
