"""`TrainingModule` of Pose2Mesh: its batches, weighted losses and validation errors."""

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
from pose2mesh.training.checkpoints import LANDMARKS
from pose2mesh.training.training_module import VALIDATION_SEED, TrainingModule

MEAN_BODY_BATCHES = 16  # of `VALIDATION_BATCH` samples


class Pose2MeshModule(TrainingModule[Batch]):
    """Trains PoseNet alone (`stage: posenet`) or the whole network (`stage: pose2mesh`).

    Args:
        config: Config of the run.
        network: Network to train.
        data_source: Samples, with the points of the surface in stage two.
        point_faces: (F, 3) triangles between the points, for the surface losses.
        shape_size_m: (S,) size of the coefficients of the body's shape (`ShapeBasis.size_m`), for a network that
            predicts them.
    """

    config: TrainConfig
    network: Pose2Mesh
    point_faces: Tensor
    shape_size_m: Tensor

    def __init__(
        self,
        config: TrainConfig,
        network: Pose2Mesh,
        data_source: DataSource,
        point_faces: Tensor,
        shape_size_m: Tensor | None = None,
    ) -> None:
        super().__init__(config, network)
        self.data_source = data_source
        freeze_untrained(config, network)
        self.register_buffer("point_faces", point_faces, persistent=False)
        self.register_buffer("shape_size_m", point_faces.new_zeros(0) if shape_size_m is None else shape_size_m, False)

    @property
    def surface_stage(self) -> bool:
        return self.config.stage == "pose2mesh"

    @property
    def trained(self) -> nn.Module:
        return self.network if self.surface_stage else self.network.lifter

    def training_batch(self, step: int, count: int, epoch: int = 0) -> Batch:
        generator = torch.Generator(self.device).manual_seed(self.seed_of(step, epoch))
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.data_source.training_batch(epoch, step * count, count, generator)

    def validation_batch(self, index: int) -> Batch:
        generator = torch.Generator(self.device).manual_seed(VALIDATION_SEED + index)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.data_source.validation_batch(index, generator)

    def slice_samples(self, batch: Batch, samples: slice) -> Batch:
        return slice_batch(batch, samples)

    def begin_training(self) -> None:
        if self.surface_stage and self.config.optimiser.posenet_factor == 0:
            self.network.lifter.eval()
        if self.config.optimiser.keep_statistics:
            for module in self.network.lifter.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()

    def checkpoint_extras(self) -> dict[str, Any]:
        # A lifter's weights are valid for its own landmarks only; see `resume.refuse_other_landmarks`.
        return {} if self.network.landmarks is None else {LANDMARKS: self.network.landmarks.tolist()}

    def predict_batch(self, batch: Batch) -> Prediction:
        """Prediction of the current stage: joints and landmarks alone, or the mesh too."""
        if self.surface_stage:
            return self.network(batch.joints_px, batch.confidence)
        return self.network.lift(batch.joints_px, batch.confidence)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 cannot represent millimetres
            return self.loss_terms(prediction, batch)

    def loss_terms(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Every loss by name, already weighted; millimetre terms in millimetres, as published."""
        weights, valid = self.config.losses, batch.surface_valid
        lifted = {"lifted_joint": losses.masked_l1(prediction.lifted.float(), batch.joints, batch.joints_valid)}
        if prediction.landmarks is not None:
            lifted["landmark"] = losses.masked_l1(prediction.landmarks, self._true_landmarks(batch), valid[:, None])
        if prediction.shape is not None and batch.shape is not None:
            lifted["shape"] = losses.shape_loss(prediction.shape.float(), batch.shape, self.shape_size_m, valid)
        if prediction.log_errors is not None:
            lifted["expected_error"] = weights.expected_error * self._expected_error_loss(prediction, batch)
        if not self.surface_stage:
            return lifted
        assert batch.points is not None
        terms = {name: weights.lifted_joint * 1000 * loss for name, loss in lifted.items()}
        points = prediction.points.float()
        if self.network.skinning is not None:
            terms["point"] = weights.point * losses.masked_l1(points, batch.points, valid[:, None])
            points = self.network.skinned_points(prediction)
        joints = self.network.joints(points)
        terms |= {
            "vertex": weights.vertex * losses.masked_l1(points, batch.points, valid[:, None]),
            "mesh_joint": weights.mesh_joint * 1000 * losses.masked_l1(joints, batch.joints, batch.joints_valid),
        }
        if weights.normal:
            terms["normal"] = weights.normal * losses.normal_loss(points, batch.points, self.point_faces, valid)
        if weights.edge and self.epoch >= weights.edge_from_epoch:
            terms["edge"] = weights.edge * losses.edge_loss(points, batch.points, self.point_faces, valid)
        return terms

    def _expected_error_loss(self, prediction: Prediction, batch: Batch) -> Tensor:
        """`losses.expected_error_loss` of the lifted joints, across and along the view, and of the shape."""
        assert prediction.log_errors is not None
        difference = (prediction.lifted.float() - batch.joints).abs()
        errors = torch.stack((difference[..., :2].mean(-1), difference[..., 2]), dim=-1).flatten(1)
        valid = batch.joints_valid.repeat_interleave(2, dim=1)
        if prediction.shape is not None:
            shape = prediction.shape if batch.shape is None else batch.shape
            errors = torch.cat((errors, (prediction.shape.float() - shape).abs()), dim=1)
            has_shape = batch.surface_valid & (batch.shape is not None)
            valid = torch.cat((valid, has_shape[:, None].expand_as(shape)), dim=1)
        return losses.expected_error_loss(prediction.log_errors.float(), errors, valid)

    def _true_landmarks(self, batch: Batch) -> Tensor:
        """True landmarks (B, L, 3); in stage one they are the only points of a batch."""
        assert batch.points is not None
        return batch.points[:, self.network.landmarks] if self.surface_stage else batch.points

    def validation_step(self, batch: Batch) -> tuple[dict[str, Tensor], int]:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):
            errors = self.validation_errors(prediction, batch)
        return {f"val/{name}_mm": 1000 * value for name, value in errors.items()}, len(batch.joints)

    def validation_errors(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Mean errors of the batch in metres: of the lifted joints and, in stage two, of the mesh's joints and points.

        `mean_body_surface` is the error of the constant prediction `mean_body`, a baseline.
        """
        results, errors = {"lifted": prediction.lifted.float()}, {}
        if self.surface_stage:
            assert batch.points is not None
            points = prediction.points.float()
            if self.network.skinning is not None:
                points = self.network.skinned_points(prediction)
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
        """Mean surface (R, 3) of the training bodies: the constant prediction with the least squared error, a baseline
        for validation.
        """
        batches = [self.training_batch(step, VALIDATION_BATCH) for step in range(MEAN_BODY_BATCHES)]
        return torch.cat([batch.points[batch.surface_valid] for batch in batches if batch.points is not None]).mean(0)


def freeze_untrained(config: TrainConfig, network: Pose2Mesh) -> None:
    """Disable gradients of frozen parts: MeshNet in stage one, a lifter with learning rate 0 in stage two."""
    if config.stage == "posenet":
        network.meshnet.requires_grad_(False)
    elif config.optimiser.posenet_factor == 0:
        network.lifter.requires_grad_(False)
