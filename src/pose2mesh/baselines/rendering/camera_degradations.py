"""What a camera and a file format do to a picture: blur, few pixels, exposure, grain, blocks of 8 × 8 pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pose2mesh.baselines.observation import CROP_PX

_GRAIN = 256  # side of the tile of noise that grain is cut from
_BLOCK = 8


class CameraDegradations:
    """Spoils pictures at random, in place."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.grain = torch.randn(3, _GRAIN, _GRAIN, generator=generator)
        place = torch.arange(_BLOCK) + 0.5
        rows = [torch.cos(math.pi / _BLOCK * k * place) * math.sqrt((2 if k else 1) / _BLOCK) for k in range(_BLOCK)]
        self.cosines = torch.stack(rows)
        across = torch.arange(_BLOCK)
        self.steps = 1 + 0.8 * (across[:, None] + across)  # high frequencies are kept the least

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures (B, 3, CROP_PX, CROP_PX), about 0 to 1; returned in [0, 1]."""
        count = len(pictures)

        def some(share: float) -> Tensor:
            return (torch.rand(count, generator=generator) < share).nonzero()[:, 0]

        pictures = soften(pictures, 0.15 + 0.85 * torch.rand(count, generator=generator))
        few = some(0.12)
        pictures[few] = interpolate(avg_pool2d(pictures[few], 2), scale_factor=2.0, mode="bilinear")
        unsharp = some(0.1)
        for reach in (1, 2):
            pictures[unsharp] = soften(pictures[unsharp], torch.ones(len(unsharp)), reach)
        gain = 0.75 + 0.5 * torch.rand(count, 1, generator=generator)
        colour = gain * (0.92 + 0.16 * torch.rand(count, 3, generator=generator))
        shift = 0.12 * (torch.rand(count, 1, generator=generator) - 0.5) + 0.5 * (1 - colour)
        pictures.mul_(colour[..., None, None]).add_(shift[..., None, None])
        blocky = some(0.3)
        pictures[blocky] = self._quantise(pictures[blocky], generator)
        self._add_grain(pictures, generator)
        return pictures.clamp_(0, 1)

    def _add_grain(self, pictures: Tensor, generator: torch.Generator) -> None:
        strength = (0.035 * torch.rand(len(pictures), generator=generator).square()).tolist()
        corner = torch.randint(_GRAIN - CROP_PX, (len(pictures), 2), generator=generator).tolist()
        for picture, strong, (top, left) in zip(pictures, strength, corner, strict=True):
            picture.add_(self.grain[:, top : top + CROP_PX, left : left + CROP_PX], alpha=strong)

    def _quantise(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """As JPEG does, without its finer points: the cosines of every block rounded to steps."""
        blocks = pictures.unflatten(3, (-1, _BLOCK)).unflatten(2, (-1, _BLOCK)).transpose(3, 4)
        waves = self.cosines @ blocks @ self.cosines.T
        step = (0.01 + 0.05 * torch.rand(len(pictures), 1, 1, 1, 1, 1, generator=generator)) * self.steps
        waves = torch.round(waves / step) * step
        return (self.cosines.T @ waves @ self.cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def soften(pictures: Tensor, share: Tensor, reach: int = 1) -> Tensor:
    """Every pixel mixed with the mean of its neighbours `reach` pixels away, in rows and in columns, in place.

    `share` (B,) is 0 for none and 1 for the kernel 1/4, 1/2, 1/4. Borders stay.
    """
    weight = (0.5 * share)[:, None, None, None]
    for axis in (2, 3):
        inner, before, after = (
            pictures.narrow(axis, start, pictures.shape[axis] - 2 * reach) for start in (reach, 0, 2 * reach)
        )
        softened = torch.lerp(inner, (before + after).mul_(0.5), weight)
        pictures.narrow(axis, reach, softened.shape[axis]).copy_(softened)
    return pictures
