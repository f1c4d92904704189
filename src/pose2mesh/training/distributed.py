"""Data-parallel training: the processes that torchrun starts, and BatchNorm over the samples of all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """The processes of a data-parallel run, as torchrun starts them.

    Collective operations are those of `torch.distributed`, and do nothing in a single process. As a context manager, it
    leaves the process group at the end, whose threads must not outlive the interpreter.

    Attributes:
        count: Number of processes on all nodes.
        rank: Number of this process, from 0.
        nodes: Number of machines, each with `count / nodes` processes.
    """

    count: int = 1
    rank: int = 0
    nodes: int = 1

    @classmethod
    def found(cls) -> Processes:
        """Read from torchrun's environment variables; without them, a single process."""
        count = int(os.environ.get("WORLD_SIZE", 1))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        return cls(count, int(os.environ.get("RANK", 0)), max(1, count // here))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def join(self, accelerator: str) -> torch.device:
        """Choose the device of this process and join the others.

        Args:
            accelerator: `cpu`, or `auto` for a GPU where there is one.
        """
        device = torch.device("cpu")
        if accelerator != "cpu" and torch.cuda.is_available():
            device = torch.device("cuda", self.rank % (self.count // self.nodes))
            torch.cuda.set_device(device)
        elif accelerator != "cpu" and torch.backends.mps.is_available():
            device = torch.device("mps")
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return device

    def sum(self, value: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        return self._reduce(value, dist.ReduceOp.SUM)

    def max(self, value: int, device: torch.device) -> int:
        """Largest value of all processes."""
        return value if self.count == 1 else int(self._reduce(torch.tensor(value, device=device), dist.ReduceOp.MAX))

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether it is true in any process."""
        return bool(self.max(int(value), device))

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.count > 1:
            dist.barrier()

    def _reduce(self, value: Tensor, operation: Any) -> Tensor:
        if self.count == 1:
            return value
        reduced = value.clone()
        dist.all_reduce(reduced, operation)
        return reduced


def parallel(module: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """The module itself, or with several processes its wrapper that averages their gradients."""
    if processes.count == 1:
        return module
    # Buffers are the same in every process: they are built from one seed, and norms are synchronised.
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm whose statistics in training are of the samples of all processes, the same as of one large batch.

    `torch.nn.SyncBatchNorm` supports CUDA alone; this one also gloo on the CPU. All processes must have equally many
    samples.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        world = dist.get_world_size()
        x = input.float()
        over = [dim for dim in range(x.ndim) if dim != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = world * x.numel() // x.shape[1]
        mean = SumOverProcesses.apply(x.mean(over)) / world
        centred = x - mean.reshape(shape)
        # Mean first, then variance: this avoids the difference of large numbers.
        variance = SumOverProcesses.apply(centred.square().mean(over)) / world
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.reshape(shape) + self.bias.reshape(shape)).to(input.dtype)


def synchronise_norms(network: nn.Module) -> None:
    """Replace every `BatchNorm1d` of a network, in place, by a synchronised one with the same parameters."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm1d:
                synced = SyncedBatchNorm1d(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                synced.weight, synced.bias = child.weight, child.bias  # the same tensors: frozen ones stay frozen
                synced.train(child.training)
                setattr(module, name, synced)
