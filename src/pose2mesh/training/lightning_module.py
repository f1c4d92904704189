"""One training step, whatever is trained: drawing, what is refused, the optimiser and its schedule."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Generic, Literal, Protocol, TypeVar

import lightning as L
import torch
from torch import Tensor, nn

from pose2mesh.config.train_config import OptimiserConfig
from pose2mesh.models.network_config import LIFTER_PREFIX
from pose2mesh.training.callbacks.prefetch import Prefetcher

VALIDATION_SEED = 987_654_321
_Batch = TypeVar("_Batch")


class NonFiniteLoss(Exception):
    """A loss or a gradient that is no number. The step was not taken: the weights are those before it."""


class RunConfig(Protocol):
    """What the config of every run says; see `config.train_config.TrainConfig`."""

    name: str
    epochs: int
    seed: int
    optimiser: OptimiserConfig
    checkpoint_minutes: float
    tensorboard: bool

    @property
    def batch_size(self) -> int: ...

    @property
    def accumulate(self) -> int: ...

    @property
    def precision(self) -> Literal["fp32", "bf16"]: ...


class TrainingStep(L.LightningModule, Generic[_Batch]):
    """The Lightning wrapper of a network that knows nothing of it.

    The loader yields indices; a batch is made here, on the device, from (seed, epoch, step) alone, and so is dropout:
    a resumed run draws what the interrupted one would have drawn. The people of a step are drawn all at once, and each
    process and each accumulated batch takes its share of them: however a step is divided, they are the same people.
    Divided among processes, BatchNorm sees all of them; divided into accumulated batches it sees one batch at a time,
    so that the step is that of the large batch up to BatchNorm's statistics.

    Args:
        config: The run's.
        network: To be trained, or a part of it.
    """

    config: RunConfig
    network: nn.Module

    def __init__(self, config: RunConfig, network: nn.Module) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.drawing_s = 0.0  # time spent waiting for batches
        self._ahead = Prefetcher[tuple[int, int, int], _Batch](lambda step: self.draw(*step))
        self._norms_before: list[Tensor] = []

    @property
    def trained(self) -> nn.Module:
        """What the optimiser is given."""
        return self.network

    @abstractmethod
    def draw(self, step: int, count: int, epoch: int = 0) -> _Batch:
        """The `count` training people of a step of an epoch."""

    @abstractmethod
    def draw_validation(self, index: int) -> _Batch:
        """One of the batches of validation people."""

    @abstractmethod
    def share(self, batch: _Batch, people: slice) -> _Batch:
        """Some people of a batch."""

    @abstractmethod
    def terms(self, batch: _Batch) -> dict[str, Tensor]:
        """Every loss of a training batch by name, already weighted."""

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> _Batch:
        index = int(batch[0])
        if not self.trainer.training:
            return self.draw_validation(index)
        started = time.perf_counter()
        step, part = divmod(index, self.config.accumulate)
        world = self.trainer.world_size
        if part == 0:
            self._drawn = self._people_of(step)
        first = (part * world + self.trainer.global_rank) * self.config.batch_size
        share = self.share(self._drawn, slice(first, first + self.config.batch_size))
        self.drawing_s += time.perf_counter() - started
        return share

    def _people_of(self, step: int) -> _Batch:
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

    def seed_of(self, index: int, epoch: int | None = None) -> int:
        """What a step draws from."""
        return (self.config.seed << 40) + ((self.current_epoch if epoch is None else epoch) << 20) + index

    def origin(self, step: int) -> str:
        """What the people of a step are drawn from, in words."""
        return f"seed {self.seed_of(step)}"

    def on_train_batch_start(self, batch: _Batch, batch_idx: int) -> None:
        # Dropout draws from the global state, to which a resumed run does not come by the same way; and it must not
        # draw the numbers again that the people were drawn from.
        torch.manual_seed(self.seed_of(batch_idx * self.trainer.world_size + self.trainer.global_rank) + (1 << 39))
        if batch_idx % self.config.accumulate == 0:
            self._norms_before = [tensor.clone() for tensor in self._norm_statistics()]

    def _norm_statistics(self) -> list[Tensor]:
        norms = [module for module in self.network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
        return [buffer for norm in norms for buffer in norm.buffers()]

    def take_back(self) -> None:
        """Undo what a step that failed has done to the network: BatchNorm has seen its batch."""
        for tensor, before in zip(self._norm_statistics(), self._norms_before, strict=True):
            tensor.copy_(before)

    def training_step(self, batch: _Batch, index: int) -> dict[str, Any]:
        terms = self.terms(batch)
        total = torch.stack(list(terms.values())).sum()
        broken = not bool(torch.isfinite(total))
        # All processes stop together, or the others would wait for this one.
        if self.trainer.strategy.reduce_boolean_decision(broken, all=False):
            found = ", ".join(f"{name} is {value.item():g}" for name, value in terms.items() if not value.isfinite())
            raise NonFiniteLoss(self._where(index, f"the loss {found or 'of another process is not finite'}"))
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=self.config.batch_size)
        return {"loss": total, "terms": {name: value.detach() for name, value in terms.items()}}

    def _where(self, index: int, fault: str) -> str:
        step = index // self.config.accumulate
        return f"{fault} in epoch {self.current_epoch}, step {step} (drawn from {self.origin(step)})"

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here and not in the trainer, which refuses fused optimisers for the loss scaling of float16.
        trained = [parameter for parameter in self.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        if not torch.isfinite(norm):
            raise NonFiniteLoss(
                self._where(self.trainer.fit_loop.batch_idx, f"the norm of the gradient is {float(norm):g}")
            )
        if self.config.optimiser.clip:
            nn.utils.clip_grads_with_norm_(trained, self.config.optimiser.clip, norm)

    def configure_optimizers(self) -> Any:
        config = self.config.optimiser
        optimiser = build_optimiser(config, self.trained)
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


def build_optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that a config names; biases and norms are not decayed, PoseNet may learn at a rate of its own."""
    groups = []
    for of_posenet in (True, False) if config.posenet_factor else (False,):
        for is_matrix in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if name.startswith(LIFTER_PREFIX) == of_posenet and (parameter.ndim > 1) == is_matrix
            ]
            if chosen:
                rate = config.learning_rate * (config.posenet_factor if of_posenet else 1.0)
                decay = config.weight_decay if is_matrix and config.name == "adamw" else 0.0
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    if config.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=config.learning_rate)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.name](groups, lr=config.learning_rate, fused=True)  # a third of the time of the looped update
