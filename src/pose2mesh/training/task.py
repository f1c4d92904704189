"""What a run asks of that which it trains: one small interface, for Pose2Mesh and for the baselines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pose2mesh.training.lightning_module import RunConfig, TrainingStep


class Task(ABC):
    """A network in its wrapper, made fresh, where it starts from, and what becomes of it.

    Attributes:
        config: The run's.
        module: The wrapper.
        monitored: The column of `metrics.csv` whose smallest value makes an epoch the best; None for the last one.
        accelerator: What the trainer runs on.
        people: How many an epoch has.
        validation_batches: How many there are.
    """

    config: RunConfig
    module: TrainingStep[Any]
    monitored: str | None
    accelerator: str = "auto"
    people: int
    validation_batches: int

    @abstractmethod
    def start(self, say: Callable[[str], None]) -> None:
        """Fill the network with what it starts from, where the config names something; not called on a resumed run.

        Raises:
            InputError: that is missing, or does not fit.
        """

    def fit(self, say: Callable[[str], None]) -> bool:
        """Learn without steps, where what is trained can only do that; returns whether it did."""
        return False

    @abstractmethod
    def bundle_bytes(self) -> int:
        """How much the bundle holds beside the weights."""

    @abstractmethod
    def finish(self, bundle: Path) -> None:
        """Measure the trained network and write its bundle, and what else belongs beside it."""
