"""Pose2Mesh in training: what it is shown, its losses, and its errors on validation people."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pose2mesh import metrics
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.batch import Batch, slice_batch
from pose2mesh.datasets.source import VALIDATION_BATCH, DataSource
from pose2mesh.models import losses
from pose2mesh.models.pose2mesh import Pose2Mesh, Prediction
from pose2mesh.training.lightning_module import VALIDATION_SEED, TrainingStep
from pose2mesh.training.resume import LANDMARKS

MEAN_BODY_BATCHES = 16  # of the size of validation's


class Pose2MeshModule(TrainingStep[Batch]):
    """Trains PoseNet alone (`stage: posenet`) or the whole network (`stage: pose2mesh`).

    Args:
        config: The run's.
        network: To be trained.
        supply: Of people, who are asked for the points of the surface in stage two.
        point_faces: (F, 3) triangles between the points, for the surface losses.
    """

    config: TrainConfig
    network: Pose2Mesh
    point_faces: Tensor

    def __init__(
        self,
        config: TrainConfig,
        network: Pose2Mesh,
        supply: DataSource,
        point_faces: Tensor,
    ) -> None:
        super().__init__(config, network)
        self.supply = supply
        freeze_untrained(config, network)
        self.register_buffer("point_faces", point_faces, persistent=False)

    @property
    def surface_stage(self) -> bool:
        return self.config.stage == "pose2mesh"

    @property
    def trained(self) -> nn.Module:
        return self.network if self.surface_stage else self.network.lifter

    def draw(self, step: int, count: int, epoch: int = 0) -> Batch:
        generator = torch.Generator(self.device).manual_seed(self.seed_of(step, epoch))
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.supply.training_batch(epoch, step * count, count, generator)

    def draw_validation(self, index: int) -> Batch:
        generator = torch.Generator(self.device).manual_seed(VALIDATION_SEED + index)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.supply.validation_batch(index, generator)

    def share(self, batch: Batch, people: slice) -> Batch:
        return slice_batch(batch, people)

    def on_train_start(self) -> None:
        if self.surface_stage and self.config.optimiser.posenet_factor == 0:
            self.network.lifter.eval()
        if self.config.optimiser.keep_statistics:
            for module in self.network.lifter.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # A lifter's weights mean nothing on other landmarks; see `resume.refuse_other_landmarks`.
        if self.network.landmarks is not None:
            checkpoint[LANDMARKS] = self.network.landmarks.tolist()

    def predict_batch(self, batch: Batch) -> Prediction:
        if self.surface_stage:
            return self.network(batch.joints_px, batch.confidence)
        return self.network.lift(batch.joints_px, batch.confidence)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):  # millimetres do not survive bfloat16
            return self.loss_terms(prediction, batch)

    def loss_terms(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Every loss by name, already weighted; millimetre terms in millimetres, as published."""
        weights, valid = self.config.losses, batch.surface_valid
        lifted = {"lifted_joint": losses.masked_l1(prediction.lifted.float(), batch.joints, batch.joints_valid)}
        if prediction.landmarks is not None:
            lifted["landmark"] = losses.masked_l1(prediction.landmarks, self._true_landmarks(batch), valid[:, None])
        if not self.surface_stage:
            return lifted
        assert batch.points is not None
        points = prediction.points.float()
        terms = {
            "vertex": weights.vertex * losses.masked_l1(points, batch.points, valid[:, None]),
            "mesh_joint": weights.mesh_joint
            * 1000
            * losses.masked_l1(self.network.joints(points), batch.joints, batch.joints_valid),
            "normal": weights.normal * losses.normal_loss(points, batch.points, self.point_faces, valid),
            **{name: weights.lifted_joint * 1000 * loss for name, loss in lifted.items()},
        }
        if self.current_epoch >= weights.edge_from_epoch:
            terms["edge"] = weights.edge * losses.edge_loss(points, batch.points, self.point_faces, valid)
        return terms

    def _true_landmarks(self, batch: Batch) -> Tensor:
        """(B, L, 3): in stage one nothing else of the surface is drawn."""
        assert batch.points is not None
        return batch.points[:, self.network.landmarks] if self.surface_stage else batch.points

    def validation_step(self, batch: Batch, _: int) -> None:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):
            errors = self.validation_errors(prediction, batch)
        values = {f"val/{name}_mm": 1000 * value for name, value in errors.items()}
        shared = self.trainer.world_size > 1
        self.log_dict(values, logger=False, batch_size=len(batch.joints), sync_dist=shared)

    def validation_errors(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Mean errors of the batch in metres, of what is lifted and, in stage two, the mesh's joints and points.

        `mean_body_surface` is what answering with `mean_body` would give: what a network has to beat.
        """
        results, errors = {"lifted": prediction.lifted.float()}, {}
        if self.surface_stage:
            assert batch.points is not None
            points = prediction.points.float()
            results["mesh"] = self.network.joints(points)
            errors["surface"] = metrics.mean_distance(points, batch.points).mean()
            errors["mean_body_surface"] = metrics.mean_distance(self.mean_body.expand_as(points), batch.points).mean()
        if prediction.landmarks is not None:
            errors["landmarks"] = metrics.mean_distance(prediction.landmarks, self._true_landmarks(batch)).mean()
        for name, joints in results.items():
            bodies = metrics.BodyPoints(joints), metrics.BodyPoints(batch.joints)
            each = metrics.compute_errors(*bodies, self.network.joint_set, ("mpjpe", "pa_mpjpe"))
            errors |= {f"{name}_{measure}": values.mean() for measure, values in each.items()}
        return errors

    @cached_property
    def mean_body(self) -> Tensor:
        """(R, 3) the mean surface of training people: the best answer, in squares, of who has not seen the picture."""
        batches = [self.draw(step, VALIDATION_BATCH) for step in range(MEAN_BODY_BATCHES)]
        return torch.cat([batch.points[batch.surface_valid] for batch in batches if batch.points is not None]).mean(0)


def freeze_untrained(config: TrainConfig, network: Pose2Mesh) -> None:
    """Ask for no gradient of what a run does not train: MeshNet in stage one, a lifter at rate zero in stage two."""
    if config.stage == "posenet":
        network.meshnet.requires_grad_(False)
    elif config.optimiser.posenet_factor == 0:
        network.lifter.requires_grad_(False)
