"""More than one process: how many there are, and BatchNorm over the people of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes of a data-parallel run, as torchrun starts them.

    Attributes:
        count: On all nodes.
        rank: Of this one, from 0.
        nodes: Machines, each with `count / nodes` processes.
    """

    count: int = 1
    rank: int = 0
    nodes: int = 1

    @classmethod
    def found(cls) -> Processes:
        """What torchrun has put into the environment; one process where it was not used."""
        count = int(os.environ.get("WORLD_SIZE", 1))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        return cls(count, int(os.environ.get("RANK", 0)), max(1, count // here))

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0


class Indices:
    """(1,) tensors 0, 1, … `count` − 1: what the loop iterates over, as the batches are drawn on the device.

    Its state is not where the iteration is but where it ought to go on: the loop's own counters tell that.
    """

    def __init__(self, count: int, first: int = 0, step: int = 1) -> None:
        self._range = range(first, count, step)
        self._skip = 0

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[Tensor]:
        skip, self._skip = self._skip, 0
        for index in self._range[skip:]:
            yield torch.tensor([index])

    def skip_once(self, count: int) -> None:
        """Leave out the first `count` in the next iteration, of an epoch that is resumed."""
        self._skip = count


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; what it is worth to any of them flows back to each."""

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
    """BatchNorm whose statistics, in training, are of the people of all processes: the same as of one large batch.

    `torch.nn.SyncBatchNorm` does so on CUDA alone; this one also over gloo on the CPU. Every process must have as many
    people as the others.
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
        variance = (
            SumOverProcesses.apply(centred.square().mean(over)) / world
        )  # in two passes: no difference of large numbers
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.reshape(shape) + self.bias.reshape(shape)).to(input.dtype)


def synchronise_norms(network: nn.Module) -> None:
    """Make every BatchNorm of a network one over all processes."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm1d:
                synced = SyncedBatchNorm1d(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                synced.weight, synced.bias = child.weight, child.bias  # the same ones, frozen where they were
                synced.train(child.training)
                setattr(module, name, synced)
