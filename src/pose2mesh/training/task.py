"""`Task`, the interface of the training loop to a trainable model: Pose2Mesh or a learned baseline."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose2mesh.training.training_module import RunConfig, TrainingModule


class Task(ABC):
    """A model to train: its network and losses, its pretrained weights, and the bundle that is written at the end.

    Attributes:
        config: Config of the run.
        module: The network with its batches and losses.
        monitored: Column of `metrics.csv` whose smallest value selects the best epoch; None selects the last epoch.
        accelerator: Device to train on: `auto` or `cpu`.
        samples_per_epoch: Training samples of an epoch.
        validation_batches: Number of validation batches.
    """

    config: RunConfig
    module: TrainingModule[Any]
    monitored: str | None
    accelerator: str = "auto"
    samples_per_epoch: int
    validation_batches: int

    @abstractmethod
    def start(self, say: Callable[[str], None]) -> None:
        """Load the pretrained weights that the config names, if any; not called on a resumed run.

        Raises:
            InputError: they are missing or do not fit.
        """

    def fit(self, say: Callable[[str], None]) -> bool:
        """Fit a method that is trained without gradient steps.

        Returns:
            Whether it was fitted; if not, the training loop follows.
        """
        return False

    @abstractmethod
    def bundle_bytes(self) -> int:
        """Size of the bundle without the weights."""

    @abstractmethod
    def finish(self, bundle: Path) -> None:
        """Evaluate the trained network, write its bundle and further files beside it."""


def seed_generators(seed: int) -> None:
    """Seed the global random generators of Python, NumPy and torch, which initialise the weights."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries use the global one)
    torch.manual_seed(seed)
