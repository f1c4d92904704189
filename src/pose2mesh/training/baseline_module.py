"""`TrainingModule` of learned baselines: rendered observations, losses and validation errors."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.benchmark.method_benchmark import MEASURES, body_errors_mm
from pose2mesh.baselines.interface import Chunks, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.training.training_module import TrainingModule

Samples: TypeAlias = tuple[Observation, GroundTruth]


class BaselineModule(TrainingModule[Samples]):
    """Trains a learned baseline.

    Args:
        config: Config of the run.
        network: Network to train.
        training, validation: Functions that return the chunk of samples with a given number; a chunk is a batch.
    """

    config: BaselineConfig
    network: LearnedBaseline

    def __init__(self, config: BaselineConfig, network: LearnedBaseline, training: Chunks, validation: Chunks) -> None:
        super().__init__(config, network)
        self.training_chunks, self.validation_chunks = training, validation

    @property
    def steps(self) -> int:
        """Steps of an epoch; each takes one chunk."""
        return self.config.samples_per_epoch // self.config.batch_size

    def training_batch(self, step: int, count: int, epoch: int = 0) -> Samples:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.training_chunks(epoch * self.steps + step)

    def validation_batch(self, index: int) -> Samples:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.validation_chunks(index)

    def slice_samples(self, batch: Samples, samples: slice) -> Samples:
        return batch[0][samples], batch[1][samples]

    def describe_seed(self, step: int) -> str:
        return f"seed {self.config.seed}, chunk {self.epoch * self.steps + step}"

    def terms(self, batch: Samples) -> dict[str, Tensor]:
        return self.network.losses(*batch, self._progress())

    def _progress(self) -> float:
        return self.finished_steps / self.total_steps

    def validation_step(self, batch: Samples) -> tuple[dict[str, Tensor], int]:
        if self.network.predicts_bodies:
            observation, ground_truth = batch
            assert ground_truth.vertices is not None
            with torch.autocast(self.device.type, enabled=False):
                found = self.network.estimate(observation)
                true_body = ground_truth.joints, ground_truth.vertices
                errors_mm = body_errors_mm(found.joints, found.vertices, *true_body).mean(0)
            values = {f"val/{name}_mm": error for name, error in zip(MEASURES, errors_mm, strict=False)}
        else:
            values = {f"val/{name}": value for name, value in self.network.losses(*batch, 1.0).items()}
        return values, len(batch[1].joints)
