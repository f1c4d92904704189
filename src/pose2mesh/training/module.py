"""The Lightning wrapper: what one training step and one validation step are. The networks know nothing of it."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from pose2mesh import losses, metrics
from pose2mesh.config import OptimiserConfig, TrainConfig
from pose2mesh.data.poses import PoseSource
from pose2mesh.data.samples import Batch
from pose2mesh.data.synthetic import BodySynthesiser, detect, draw_people
from pose2mesh.models.pose2mesh import Pose2Mesh, Prediction

VALIDATION_SEED = 987_654_321


class TrainingModule(L.LightningModule):
    """Trains PoseNet alone (`stage: posenet`) or the whole network (`stage: pose2mesh`).

    The loader yields indices; a batch is drawn here, on the device, from (seed, epoch, index) alone, and so is dropout:
    a resumed run draws what the interrupted one would have drawn.

    Args:
        config: The run's.
        network: To be trained.
        synthesiser: Poses the joints, and the points of the surface in stage two.
        train_poses, validation_poses: Disjoint by clip.
        point_faces: (F, 3) triangles between the points, for the surface losses.
    """

    point_faces: Tensor

    def __init__(
        self,
        config: TrainConfig,
        network: Pose2Mesh,
        synthesiser: BodySynthesiser,
        train_poses: PoseSource,
        validation_poses: PoseSource,
        point_faces: Tensor,
    ) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.sources = {"train": train_poses, "validation": validation_poses}
        self._synthesiser = [synthesiser]  # in a list: no part of the network's state
        self.register_buffer("point_faces", point_faces, persistent=False)

    @property
    def surface_stage(self) -> bool:
        return self.config.stage == "pose2mesh"

    def draw(self, part: str, seed: int, count: int) -> Batch:
        """A batch of `count` people of the training or validation clips; the seed decides everything."""
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            synthesiser = self._synthesiser[0].to(self.device)
            data = self.config.data.synthetic
            people = draw_people(count, self.sources[part], synthesiser, data, generator)
            return detect(people, self.network.joint_set, data.noise, generator)

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Batch:
        index = int(batch[0])
        if self.trainer.training:
            return self.draw("train", self._seed(index), self.config.batch_size)
        return self.draw("validation", VALIDATION_SEED + index, self.config.batch_size)

    def _seed(self, index: int) -> int:
        return (self.config.seed << 40) + (self.current_epoch << 20) + index

    def on_train_epoch_start(self) -> None:
        if self.surface_stage and self.config.optimiser.posenet_factor == 0:
            self.network.posenet.eval()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from the global state, to which a resumed run does not come by the same way; and it must not
        # draw the numbers again that the people were drawn from.
        torch.manual_seed(self._seed(batch_idx) + (1 << 39))

    def predict_batch(self, batch: Batch) -> Prediction:
        if self.surface_stage:
            return self.network(batch.joints_px, batch.confidence)
        x = self.network.normalise(batch.joints_px, batch.confidence)
        return Prediction(self.network.posenet(x), x.new_zeros(0))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):  # millimetres do not survive bfloat16
            terms = self.loss_terms(prediction, batch)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            found = ", ".join(f"{name} {float(value)}" for name, value in terms.items())
            raise FloatingPointError(f"the loss is not finite: {found}")
        size = self.config.batch_size
        values = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=size)
        self.log("loss", total.detach(), prog_bar=True, on_step=True, on_epoch=False, logger=False, batch_size=size)
        return total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here and not in the trainer, which refuses fused optimisers for the loss scaling of float16.
        if self.config.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.config.optimiser.clip)

    def loss_terms(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Every loss by name, already weighted; millimetre terms in millimetres, as published."""
        weights = self.config.losses
        lifted = losses.masked_l1(prediction.lifted.float(), batch.joints, batch.joints_valid)
        if not self.surface_stage:
            return {"lifted_joint": lifted}
        assert batch.points is not None
        points, valid = prediction.points.float(), batch.surface_valid
        terms = {
            "vertex": weights.vertex * losses.masked_l1(points, batch.points, valid[:, None]),
            "mesh_joint": weights.mesh_joint
            * 1000
            * losses.masked_l1(self.network.joints(points), batch.joints, batch.joints_valid),
            "normal": weights.normal * losses.normal_loss(points, batch.points, self.point_faces, valid),
            "lifted_joint": weights.lifted_joint * 1000 * lifted,
        }
        if self.current_epoch >= weights.edge_from_epoch:
            terms["edge"] = weights.edge * losses.edge_loss(points, batch.points, self.point_faces, valid)
        return terms

    def validation_step(self, batch: Batch, _: int) -> None:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):
            errors = self.validation_errors(prediction, batch)
        values = {f"val/{name}_mm": 1000 * value for name, value in errors.items()}
        self.log_dict(values, prog_bar=True, batch_size=self.config.batch_size)

    def validation_errors(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Mean errors of the batch in metres, of the lifted joints and, in stage two, the mesh's joints and points."""
        chosen, root = self.network.joint_set.evaluation_indices, self.network.joint_set.root_index
        results, errors = {"lifted": prediction.lifted.float()}, {}
        if self.surface_stage:
            assert batch.points is not None
            points = prediction.points.float()
            results["mesh"] = self.network.joints(points)
            errors["surface"] = metrics.mean_distance(points, batch.points).mean()
        for name, joints in results.items():
            predicted, truth = (joints - joints[:, root, None])[:, chosen], batch.joints[:, chosen]
            errors[f"{name}_mpjpe"] = metrics.mean_distance(predicted, truth).mean()
            errors[f"{name}_pa_mpjpe"] = metrics.procrustes_distance(predicted, truth).mean()
        return errors

    def configure_optimizers(self) -> Any:
        config = self.config.optimiser
        trained = self.network if self.surface_stage else self.network.posenet
        optimiser = build_optimiser(config, trained)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        if config.schedule == "step":
            scheduler: Any = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(config.milestones), config.decay)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}
        warm = max(1, int(config.warmup * steps))

        def share(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            progress = (step - warm) / max(1, steps - warm)
            return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, progress)))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def build_optimiser(config: OptimiserConfig, network: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser that a config names; biases and norms are not decayed, PoseNet may learn at a rate of its own."""
    groups = []
    for of_posenet in (True, False) if config.posenet_factor else (False,):
        for is_matrix in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if name.startswith("posenet.") == of_posenet and (parameter.ndim > 1) == is_matrix
            ]
            if chosen:
                rate = config.learning_rate * (config.posenet_factor if of_posenet else 1.0)
                decay = config.weight_decay if is_matrix and config.name == "adamw" else 0.0
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    if config.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=config.learning_rate)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.name](groups, lr=config.learning_rate, fused=True)  # a third of the time of the looped update
