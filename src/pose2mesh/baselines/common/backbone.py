"""The image backbone of all methods that look at pictures or maps: a small residual network (He et al. 2016).

Sized for one core: a picture costs some 80 million multiplications. Two choices follow from that. A picture is cut to
32 × 32 by one wide convolution, since small convolutions at full size would take most of the time. And the vector keeps
where things are, as 4 × 4 places of few channels: a mean over the picture would lose it, and a network this small has
no other channels to keep it in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose2mesh.baselines.observation import CROP_PX

SIZES = (32, 16, 8, 4)  # sides of the levels
WIDTHS = (32, 64, 128, 192)
BLOCKS = (1, 1, 2, 1)
FINE = 48
_PLACES = 32  # channels of the vector at each of the places of the last level
FEATURES = _PLACES * SIZES[-1] ** 2


@dataclass(frozen=True)
class Features:
    """What a backbone finds, in float32.

    Attributes:
        levels: (B, WIDTHS[i], SIZES[i], SIZES[i]) each, the finest first.
        vector: (B, FEATURES) all of the picture.
    """

    levels: tuple[Tensor, ...]
    vector: Tensor


class Backbone(nn.Module):
    """Pictures or maps to features.

    In training it works in bfloat16 by itself, so that whoever calls it does the rest, losses above all, in float32.

    Args:
        channels: Of what it looks at.
        size: Its side in pixels: 32 times a power of two.
    """

    def __init__(self, channels: int = 3, size: int = CROP_PX) -> None:
        super().__init__()
        stride = size // SIZES[0]
        wide = 2 * stride if stride > 1 else 3
        self.stem = _unit(channels, WIDTHS[0], wide, stride)
        levels, before = [], WIDTHS[0]
        for index, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            first = _Block(before, width, stride=1 if index == 0 else 2)
            levels.append(nn.Sequential(first, *(_Block(width, width) for _ in range(blocks - 1))))
            before = width
        self.levels = nn.ModuleList(levels)
        self.places = _unit(before, _PLACES, 1)
        _channels_last(self)

    def forward(self, pictures: Tensor) -> Features:
        """Pictures (B, channels, size, size), numbers about 0 to 1."""
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.training):
            x = self.stem(pictures.contiguous(memory_format=torch.channels_last))
            levels = []
            for level in self.levels:
                x = level(x)
                levels.append(x)
            vector = self.places(x).flatten(1)
        return Features(tuple(level.float() for level in levels), vector.float())


class FineMap(nn.Module):
    """From the levels of a backbone to one map of the finest's size that knows of all: for what is told pixel by pixel.

    From the coarsest on, each level is doubled in size and added to the next (feature pyramids, Lin et al. 2017).
    """

    def __init__(self) -> None:
        super().__init__()
        self.sideways = nn.ModuleList(nn.Conv2d(width, FINE, 1) for width in WIDTHS)
        self.blend = _unit(FINE, FINE, 3)
        _channels_last(self)

    def forward(self, features: Features) -> Tensor:
        """(B, FINE, 32, 32)."""
        coarsest = features.levels[-1]
        with torch.autocast(coarsest.device.type, torch.bfloat16, enabled=self.training):
            x = self.sideways[-1](coarsest)
            for level, sideways in zip(features.levels[-2::-1], self.sideways[-2::-1], strict=True):
                x = nn.functional.interpolate(x, scale_factor=2.0) + sideways(level)
            fine: Tensor = self.blend(x)
        return fine.float()


class _Block(nn.Module):
    """Two convolutions beside a way round them."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _unit(channels, width, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.round: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.round = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.round(x) + self.second(self.first(x)))


def _channels_last(module: nn.Module) -> None:
    """Lay kernels out as the fast convolutions of CPUs want them."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _unit(channels: int, width: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU; the picture shrinks by the stride alone."""
    convolution = nn.Conv2d(channels, width, size, stride, (size - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
