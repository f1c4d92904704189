"""Learned baselines in training: the pictures they are shown, their losses, and their errors on validation people."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.benchmark.method_benchmark import MEASURES, body_errors_mm
from pose2mesh.baselines.interface import Chunks, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.training.lightning_module import TrainingStep

Pictures: TypeAlias = tuple[Observation, GroundTruth]


class BaselineModule(TrainingStep[Pictures]):
    """Trains a learned baseline.

    Args:
        config: The run's.
        network: To be trained.
        training, validation: Pictures of people by number.
    """

    config: BaselineConfig
    network: LearnedBaseline

    def __init__(self, config: BaselineConfig, network: LearnedBaseline, training: Chunks, validation: Chunks) -> None:
        super().__init__(config, network)
        self.training_pictures, self.validation_pictures = training, validation

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.config.samples_per_epoch // self.config.batch_size

    def draw(self, step: int, count: int, epoch: int = 0) -> Pictures:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.training_pictures(epoch * self.steps + step)

    def draw_validation(self, index: int) -> Pictures:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.validation_pictures(index)

    def share(self, batch: Pictures, people: slice) -> Pictures:
        return batch[0][people], batch[1][people]

    def origin(self, step: int) -> str:
        return f"seed {self.config.seed}, chunk {self.current_epoch * self.steps + step}"

    def terms(self, batch: Pictures) -> dict[str, Tensor]:
        return self.network.losses(*batch, self._progress())

    def _progress(self) -> float:
        return self.trainer.global_step / max(1, int(self.trainer.estimated_stepping_batches))

    def validation_step(self, batch: Pictures, _: int) -> None:
        if self.network.predicts_bodies:
            seen, truth = batch
            assert truth.vertices is not None
            with torch.autocast(self.device.type, enabled=False):
                found = self.network.estimate(seen)
                errors_mm = body_errors_mm(found.joints, found.vertices, truth.joints, truth.vertices).mean(0)
            values = {f"val/{name}_mm": error for name, error in zip(MEASURES, errors_mm, strict=False)}
        else:
            values = {f"val/{name}": value for name, value in self.network.losses(*batch, 1.0).items()}
        self.log_dict(values, logger=False, batch_size=len(batch[1].joints))
