"""Learned baselines in training: the pictures they are shown, their losses, and their errors on validation people."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from pose2mesh import metrics
from pose2mesh.baselines.config import BaselineConfig
from pose2mesh.baselines.people import Chunks
from pose2mesh.baselines.seen import LearnedBaseline, Seen, Truth
from pose2mesh.training.step import StepModule

Pictures: TypeAlias = tuple[Seen, Truth]


class BaselineModule(StepModule[Pictures]):
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
        if self.network.gives_bodies:
            with torch.autocast(self.device.type, enabled=False):
                errors = person_errors(self.network, *batch)
            values = {f"val/{name}_mm": 1000 * value.mean() for name, value in errors.items()}
        else:
            values = {f"val/{name}": value for name, value in self.network.losses(*batch, 1.0).items()}
        self.log_dict(values, logger=False, batch_size=len(batch[1].joints))


def person_errors(network: LearnedBaseline, seen: Seen, truth: Truth) -> dict[str, Tensor]:
    """Each person's (B,) mean errors in metres, root-aligned, by the names that reports have for them."""
    found = network.estimate(seen)
    root = network.joint_set.root_index
    chosen = network.joint_set.evaluation_indices
    origin = found.joints[:, root, None]
    joints, vertices = (found.joints - origin)[:, chosen], found.vertices - origin
    return {
        "mpjpe": metrics.mean_distance(joints, truth.joints[:, chosen]),
        "pa_mpjpe": metrics.procrustes_distance(joints, truth.joints[:, chosen]),
        "mpvpe": metrics.mean_distance(vertices, truth.vertices),
    }
