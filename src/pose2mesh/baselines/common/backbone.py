"""The backbone of all methods that take images or maps: a small residual network (He et al. 2016).

It is sized for one core: an image costs some 80 million multiplications. Two choices follow. One wide convolution
reduces the image to 32 × 32, since small convolutions at full resolution would take most of the time. The feature
vector keeps positions, as 4 × 4 cells of few channels: average pooling would lose them, and a network this small has no
other channels that could encode them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose2mesh.baselines.observation import CROP_PX

SIZES = (32, 16, 8, 4)  # sides of the levels
WIDTHS = (32, 64, 128, 192)
BLOCKS = (1, 1, 2, 1)
FINE = 48  # channels of `FineMap`
_PLACES = 32  # channels of the vector at each cell of the last level
FEATURES = _PLACES * SIZES[-1] ** 2


@dataclass(frozen=True)
class Features:
    """Features of a backbone, in float32.

    Attributes:
        levels: (B, WIDTHS[i], SIZES[i], SIZES[i]) each, the finest first.
        vector: (B, FEATURES) of the whole image.
    """

    levels: tuple[Tensor, ...]
    vector: Tensor


class Backbone(nn.Module):
    """Images or maps to features.

    In training it switches to bfloat16 itself, so that the rest of a method, above all its losses, stays in float32.

    Args:
        channels: Channels of the input.
        size: Side of the input in pixels: 32 times a power of two.
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

    def forward(self, images: Tensor) -> Features:
        """Features of images (B, channels, size, size) with values of about 0 to 1."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.training):
            x = self.stem(images.contiguous(memory_format=torch.channels_last))
            levels = []
            for level in self.levels:
                x = level(x)
                levels.append(x)
            vector = self.places(x).flatten(1)
        return Features(tuple(level.float() for level in levels), vector.float())


class FineMap(nn.Module):
    """Merges the levels of a backbone into one map of the finest resolution, for predictions at every pixel.

    From the coarsest level on, each is upsampled by two and added to the next (feature pyramids, Lin et al. 2017).
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
    """A residual block of two convolutions."""

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
    """Store the kernels in the channels-last layout, which the fast convolutions on CPUs expect."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _unit(channels: int, width: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU; padded, so that only the stride reduces the size."""
    convolution = nn.Conv2d(channels, width, size, stride, (size - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
