"""Data source of a training run: the interface between the training loop and its data, synthetic or of data sets."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.body_models.shape_basis import ShapeBasis
from pose2mesh.datasets.batch import Batch

# Validation batches have a size of their own, so that validation samples do not depend on the training batch size.
VALIDATION_BATCH = 64


class ValidationSample(NamedTuple):
    """Validation samples with their complete ground truth, to visualise predictions beside it.

    Attributes:
        batch: The input of the network, with every true joint.
        vertices: (B, V, 3) true vertices in metres, relative to the root joint regressed from them, in the axes of
            `batch`; None where they were not requested.
    """

    batch: Batch
    vertices: Tensor | None


class DataSource(Protocol):
    """Training and validation samples and their body model: synthetic (`datasets.synthetic_source`) or of data sets
    (`datasets.dataset_source`).

    Attributes:
        body_name: Name of the body model in a bundle.
        samples_per_epoch: Training samples in an epoch.
        validation_batches: Number of validation batches, each of at most `VALIDATION_BATCH` samples.
    """

    body_name: str
    samples_per_epoch: int
    validation_batches: int

    @property
    def body(self) -> BodyMesh:
        """Body model whose mesh the network predicts."""

    def describe(self) -> str:
        """One line about the data."""

    def licence(self) -> str:
        """Terms of the data's owners for a model trained on it."""

    def posed_bodies(self, count: int, generator: torch.Generator) -> np.ndarray:
        """(count, V, 3) vertices of training bodies in metres, to fit the landmarks and upsampling of the mesh to."""

    def prepare(self, points: Tensor | None, shape_basis: ShapeBasis | None = None) -> None:
        """Choose what batches contain, before any batch: the vertices (R,), or None for joints alone; and the shape's
        coefficients in a basis, where samples have a known one.
        """

    def training_batch(self, epoch: int, first: int, count: int, generator: torch.Generator) -> Batch:
        """Training samples from position `first` of an epoch on; made on the generator's device, from its state."""

    def validation_batch(self, index: int, generator: torch.Generator) -> Batch:
        """One batch of validation samples, which have every label that is evaluated."""

    def validation_samples(self, count: int, vertices: bool, generator: torch.Generator) -> ValidationSample:
        """Validation samples on the CPU, to visualise predictions; the same for the same generator state."""
