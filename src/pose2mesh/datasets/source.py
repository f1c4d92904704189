"""What a training run asks of its data and of its body, whatever they are: one small interface, two implementations."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.datasets.batch import Batch

VALIDATION_BATCH = 64  # whatever the batch size is, for the people to be the same


class ValidationSample(NamedTuple):
    """Validation people with all that is known of them.

    Attributes:
        batch: As a network sees them; true joints for all.
        vertices: (B, V, 3) true vertices, relative to the root joint regressed from them, in the axes of `batch`; None
            where they were not asked for.
    """

    batch: Batch
    vertices: Tensor | None


class DataSource(Protocol):
    """Training and validation samples and their body model: synthetic (`datasets.synthetic_source`) or of data sets
    (`datasets.dataset_source`).

    Attributes:
        body: Whose mesh the network predicts.
        body_name: What a bundle calls it.
        people: How many an epoch of training has.
        validation_batches: How many there are, of at most `VALIDATION_BATCH` people.
    """

    body_name: str
    people: int
    validation_batches: int

    @property
    def body(self) -> BodyMesh: ...

    def describe(self) -> str:
        """What the people are, in one line."""

    def licence(self) -> str:
        """What the data's owners allow to be done with a model trained on them."""

    def posed_bodies(self, count: int, generator: torch.Generator) -> np.ndarray:
        """(count, V, 3) training bodies in metres, for what a surface is fitted to."""

    def prepare(self, points: Tensor | None) -> None:
        """Say which vertices (R,) of the surface are wanted, or None for joints alone; before anybody is drawn."""

    def train(self, epoch: int, first: int, count: int, generator: torch.Generator) -> Batch:
        """The training people from position `first` of an epoch on, on the generator's device, which draws the rest."""

    def validate(self, index: int, generator: torch.Generator) -> Batch:
        """One of the batches of validation people; nothing that is evaluated is missing of them."""

    def show(self, count: int, vertices: bool, generator: torch.Generator) -> ValidationSample:
        """Validation people to look at, on the CPU; the same for the same generator."""
