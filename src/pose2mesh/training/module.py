"""The Lightning wrapper: what one training step and one validation step are. The networks know nothing of it."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from pose2mesh import losses, metrics
from pose2mesh.config import OptimiserConfig, TrainConfig
from pose2mesh.data.samples import Batch, slice_batch
from pose2mesh.data.supply import VALIDATION_BATCH, Supply
from pose2mesh.models.pose2mesh import Pose2Mesh, Prediction
from pose2mesh.training.ahead import DrawnAhead

VALIDATION_SEED = 987_654_321
MEAN_BODY_BATCHES = 16  # of the size of validation's


class NotFinite(Exception):
    """A loss or a gradient that is no number. The step was not taken: the weights are those before it."""


class TrainingModule(L.LightningModule):
    """Trains PoseNet alone (`stage: posenet`) or the whole network (`stage: pose2mesh`).

    The loader yields indices; a batch is made here, on the device, from (seed, epoch, step) alone, and so is dropout:
    a resumed run draws what the interrupted one would have drawn. The people of a step are drawn all at once, and each
    process and each accumulated batch takes its share of them: however a step is divided, they are the same people.
    Divided among processes, BatchNorm sees all of them; divided into accumulated batches it sees one batch at a time,
    so that the step is that of the large batch up to BatchNorm's statistics.

    Args:
        config: The run's.
        network: To be trained.
        supply: Of people, who are asked for the points of the surface in stage two.
        point_faces: (F, 3) triangles between the points, for the surface losses.
    """

    point_faces: Tensor

    def __init__(
        self,
        config: TrainConfig,
        network: Pose2Mesh,
        supply: Supply,
        point_faces: Tensor,
    ) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.supply = supply
        self.drawing_s = 0.0  # time spent waiting for batches
        self._ahead = DrawnAhead[tuple[int, int, int], Batch](lambda step: self.draw(*step))
        self._norms_before: list[Tensor] = []
        freeze_untrained(config, network)
        self.register_buffer("point_faces", point_faces, persistent=False)

    @property
    def surface_stage(self) -> bool:
        return self.config.stage == "pose2mesh"

    def draw(self, step: int, count: int, epoch: int = 0) -> Batch:
        """The `count` training people of a step of an epoch."""
        generator = torch.Generator(self.device).manual_seed(self._seed(step, epoch))
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.supply.train(epoch, step * count, count, generator)

    def draw_validation(self, index: int) -> Batch:
        """One of the batches of validation people."""
        generator = torch.Generator(self.device).manual_seed(VALIDATION_SEED + index)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.supply.validate(index, generator)

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Batch:
        index = int(batch[0])
        if not self.trainer.training:
            return self.draw_validation(index)
        started = time.perf_counter()
        step, part = divmod(index, self.config.accumulate)
        world = self.trainer.world_size
        if part == 0:
            self._drawn = self._people_of(step)
        first = (part * world + self.trainer.global_rank) * self.config.batch_size
        share = slice_batch(self._drawn, slice(first, first + self.config.batch_size))
        self.drawing_s += time.perf_counter() - started
        return share

    def _people_of(self, step: int) -> Batch:
        """The people of a step of this epoch, those of the next step drawn from then on. On a GPU, where drawing only
        queues up work, nothing is gained by that.
        """
        if self.device.type != "cpu":
            return self.draw(step, self.people_a_step, self.current_epoch)
        last = (step + 1) * self.config.accumulate >= self.trainer.num_training_batches
        following = None if last else (step + 1, self.people_a_step, self.current_epoch)
        return self._ahead.take((step, self.people_a_step, self.current_epoch), following)

    @property
    def people_a_step(self) -> int:
        return self.config.batch_size * self.config.accumulate * self.trainer.world_size

    def _seed(self, index: int, epoch: int | None = None) -> int:
        return (self.config.seed << 40) + ((self.current_epoch if epoch is None else epoch) << 20) + index

    def on_train_start(self) -> None:
        if self.surface_stage and self.config.optimiser.posenet_factor == 0:
            self.network.posenet.eval()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from the global state, to which a resumed run does not come by the same way; and it must not
        # draw the numbers again that the people were drawn from.
        torch.manual_seed(self._seed(batch_idx * self.trainer.world_size + self.trainer.global_rank) + (1 << 39))
        if batch_idx % self.config.accumulate == 0:
            self._norms_before = [tensor.clone() for tensor in self._norm_statistics()]

    def _norm_statistics(self) -> list[Tensor]:
        norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm1d)]
        return [buffer for norm in norms for buffer in norm.buffers()]

    def take_back(self) -> None:
        """Undo what a step that failed has done to the network: BatchNorm has seen its batch."""
        for tensor, before in zip(self._norm_statistics(), self._norms_before, strict=True):
            tensor.copy_(before)

    def predict_batch(self, batch: Batch) -> Prediction:
        if self.surface_stage:
            return self.network(batch.joints_px, batch.confidence)
        x = self.network.normalise(batch.joints_px, batch.confidence)
        return Prediction(self.network.posenet(x), x.new_zeros(0))

    def training_step(self, batch: Batch, index: int) -> dict[str, Any]:
        prediction = self.predict_batch(batch)
        with torch.autocast(self.device.type, enabled=False):  # millimetres do not survive bfloat16
            terms = self.loss_terms(prediction, batch)
        total = torch.stack(list(terms.values())).sum()
        broken = not bool(torch.isfinite(total))
        # All processes stop together, or the others would wait for this one.
        if self.trainer.strategy.reduce_boolean_decision(broken, all=False):
            found = ", ".join(f"{name} is {value.item():g}" for name, value in terms.items() if not value.isfinite())
            raise NotFinite(self._where(index, f"the loss {found or 'of another process is not finite'}"))
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=self.config.batch_size)
        return {"loss": total, "terms": {name: value.detach() for name, value in terms.items()}}

    def _where(self, index: int, fault: str) -> str:
        step = index // self.config.accumulate
        return f"{fault} in epoch {self.current_epoch}, step {step} (drawn from seed {self._seed(step)})"

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here and not in the trainer, which refuses fused optimisers for the loss scaling of float16.
        trained = [parameter for parameter in self.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        if not torch.isfinite(norm):
            raise NotFinite(
                self._where(self.trainer.fit_loop.batch_idx, f"the norm of the gradient is {float(norm):g}")
            )
        if self.config.optimiser.clip:
            nn.utils.clip_grads_with_norm_(trained, self.config.optimiser.clip, norm)

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
        shared = self.trainer.world_size > 1
        self.log_dict(values, logger=False, batch_size=len(batch.joints), sync_dist=shared)

    def validation_errors(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Mean errors of the batch in metres, of the lifted joints and, in stage two, the mesh's joints and points.

        `mean_body_surface` is what answering with `mean_body` would give: what a network has to beat.
        """
        chosen, root = self.network.joint_set.evaluation_indices, self.network.joint_set.root_index
        results, errors = {"lifted": prediction.lifted.float()}, {}
        if self.surface_stage:
            assert batch.points is not None
            points = prediction.points.float()
            results["mesh"] = self.network.joints(points)
            errors["surface"] = metrics.mean_distance(points, batch.points).mean()
            errors["mean_body_surface"] = metrics.mean_distance(self.mean_body.expand_as(points), batch.points).mean()
        for name, joints in results.items():
            predicted, truth = (joints - joints[:, root, None])[:, chosen], batch.joints[:, chosen]
            errors[f"{name}_mpjpe"] = metrics.mean_distance(predicted, truth).mean()
            errors[f"{name}_pa_mpjpe"] = metrics.procrustes_distance(predicted, truth).mean()
        return errors

    @cached_property
    def mean_body(self) -> Tensor:
        """(R, 3) the mean surface of training people: the best answer, in squares, of who has not seen the picture."""
        batches = [self.draw(step, VALIDATION_BATCH) for step in range(MEAN_BODY_BATCHES)]
        return torch.cat([batch.points[batch.surface_valid] for batch in batches if batch.points is not None]).mean(0)

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


def freeze_untrained(config: TrainConfig, network: Pose2Mesh) -> None:
    """Ask for no gradient of what a run does not train: MeshNet in stage one, a lifter at rate zero in stage two."""
    if config.stage == "posenet":
        network.meshnet.requires_grad_(False)
    elif config.optimiser.posenet_factor == 0:
        network.posenet.requires_grad_(False)


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
