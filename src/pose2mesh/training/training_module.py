"""`TrainingModule`, the base class of trained models: batches from seeds, losses of a step and their checks."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from pose2mesh.config.train_config import OptimiserConfig
from pose2mesh.training.distributed import Processes
from pose2mesh.training.prefetch import Prefetcher

VALIDATION_SEED = 987_654_321
_Batch = TypeVar("_Batch")


class NonFiniteLoss(Exception):
    """A loss or gradient is NaN or infinite. The optimiser step was not taken: the weights are unchanged."""


class RunConfig(Protocol):
    """Keys that the configs of all runs share; see `config.train_config.TrainConfig`."""

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


class StepLosses(TypedDict):
    """Losses of a batch: the sum to differentiate, and every weighted term by name, detached."""

    loss: Tensor
    terms: dict[str, Tensor]


class TrainingModule(nn.Module, Generic[_Batch]):
    """A network with its batches, losses and validation errors; the network itself has no training code.

    A batch depends on (seed, epoch, step) alone, and so does dropout, so that a resumed run continues with the same
    random numbers. All samples of an optimiser step are made at once, and each process and each accumulated batch takes
    its slice: the samples do not depend on how a step is divided. With several processes, BatchNorm's statistics are
    those of the samples of all; with accumulated batches, those of one batch at a time, so that a step equals that of
    one large batch up to BatchNorm's statistics.

    Args:
        config: Config of the run.
        network: Network to train, wholly or in part.

    Attributes:
        processes: Processes of the run, set by the loop.
        epoch: Current epoch, from 0, set by the loop.
        finished_steps, total_steps: Optimiser steps so far, and of the whole run, set by the loop.
        data_wait_s: Time spent waiting for training samples.
    """

    config: RunConfig
    network: nn.Module

    def __init__(self, config: RunConfig, network: nn.Module) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.processes = Processes()
        self.epoch = self.finished_steps = 0
        self.steps_per_epoch = self.total_steps = 1
        self.data_wait_s = 0.0
        self._prefetcher = Prefetcher[tuple[int, int, int], _Batch](lambda step: self.training_batch(*step))
        self._norms_before: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device

    @property
    def trained(self) -> nn.Module:
        """The part of the network whose parameters the optimiser updates."""
        return self.network

    @property
    def samples_per_step(self) -> int:
        """Samples of an optimiser step over all accumulated batches and processes."""
        return self.config.batch_size * self.config.accumulate * self.processes.count

    @abstractmethod
    def training_batch(self, step: int, count: int, epoch: int = 0) -> _Batch:
        """The `count` training samples of a step of an epoch, on the network's device."""

    @abstractmethod
    def validation_batch(self, index: int) -> _Batch:
        """Validation batch `index`, on the network's device."""

    @abstractmethod
    def slice_samples(self, batch: _Batch, samples: slice) -> _Batch:
        """The samples of a batch in a slice."""

    @abstractmethod
    def terms(self, batch: _Batch) -> dict[str, Tensor]:
        """Every loss of a training batch by name, already weighted."""

    @abstractmethod
    def validation_step(self, batch: _Batch) -> tuple[dict[str, Tensor], int]:
        """Mean errors of a validation batch, by the column names of `metrics.csv`, and its number of samples."""

    def checkpoint_extras(self) -> dict[str, Any]:
        """Entries of a checkpoint that this module needs beside its weights."""
        return {}

    def begin_training(self) -> None:
        """Put parts of the network that are not trained into evaluation mode, before the first step."""

    def samples_of_step(self, step: int) -> _Batch:
        """All samples of a step of the current epoch. On the CPU those of the next step are prefetched; on a GPU, where
        making samples only queues kernels, prefetching gains nothing.
        """
        started = time.perf_counter()
        key = step, self.samples_per_step, self.epoch
        if self.device.type == "cpu":
            following = (step + 1, *key[1:]) if step + 1 < self.steps_per_epoch else None
            samples = self._prefetcher.take(key, following)
        else:
            samples = self.training_batch(*key)
        self.data_wait_s += time.perf_counter() - started
        return samples

    def batch_of_process(self, samples: _Batch, part: int) -> _Batch:
        """This process's share of accumulated batch `part` of a step's samples."""
        first = (part * self.processes.count + self.processes.rank) * self.config.batch_size
        return self.slice_samples(samples, slice(first, first + self.config.batch_size))

    def seed_of(self, index: int, epoch: int | None = None) -> int:
        """Seed of the samples of step `index` of an epoch, by default the current one."""
        return (self.config.seed << 40) + ((self.epoch if epoch is None else epoch) << 20) + index

    def describe_seed(self, step: int) -> str:
        """The seed of a step's samples, for error messages."""
        return f"seed {self.seed_of(step)}"

    def seed_dropout(self, index: int) -> None:
        """Seed the global generator for batch `index` of the epoch.

        Dropout uses the global generator, whose state differs in a resumed run. The offset gives it other random
        numbers than the samples have.
        """
        torch.manual_seed(self.seed_of(index * self.processes.count + self.processes.rank) + (1 << 39))

    def forward(self, batch: _Batch, index: int) -> StepLosses:
        """`training_step`, under the name that `DistributedDataParallel` calls."""
        return self.training_step(batch, index)

    def training_step(self, batch: _Batch, index: int) -> StepLosses:
        """Losses of batch `index` of the epoch.

        Raises:
            NonFiniteLoss: the sum is not finite, in this process or another.
        """
        terms = self.terms(batch)
        total = torch.stack(list(terms.values())).sum()
        # All processes stop together, or the others would wait for this one.
        if self.processes.any(not bool(torch.isfinite(total)), self.device):
            found = ", ".join(f"{name} is {value.item():g}" for name, value in terms.items() if not value.isfinite())
            step = index // self.config.accumulate
            raise NonFiniteLoss(self._locate(step, f"the loss {found or 'of another process is not finite'}"))
        return {"loss": total, "terms": {name: value.detach() for name, value in terms.items()}}

    def _locate(self, step: int, fault: str) -> str:
        return f"{fault} in epoch {self.epoch}, step {step} (sampled from {self.describe_seed(step)})"

    def check_and_clip_gradient(self, step: int) -> None:
        """Clip the norm of the whole gradient to `optimiser.clip`, if that is not 0.

        Raises:
            NonFiniteLoss: the norm is not finite.
        """
        with_gradient = [parameter for parameter in self.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm([value.grad for value in with_gradient if value.grad is not None])
        if not torch.isfinite(norm):
            raise NonFiniteLoss(self._locate(step, f"the norm of the gradient is {float(norm):g}"))
        if self.config.optimiser.clip:
            nn.utils.clip_grads_with_norm_(with_gradient, self.config.optimiser.clip, norm)

    def remember_norms(self) -> None:
        """Copy BatchNorm's statistics before a step, for `restore_norms`."""
        self._norms_before = [tensor.clone() for tensor in self._norm_statistics()]

    def restore_norms(self) -> None:
        """Restore BatchNorm's statistics after a failed step, whose forward pass has changed them."""
        for tensor, before in zip(self._norm_statistics(), self._norms_before, strict=True):
            tensor.copy_(before)

    def _norm_statistics(self) -> list[Tensor]:
        norms = [module for module in self.network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
        return [buffer for norm in norms for buffer in norm.buffers()]
