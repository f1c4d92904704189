"""Image degradations of cameras and file formats: blur, low resolution, exposure, grain, JPEG-like 8 × 8 blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pose2mesh.baselines.observation import CROP_PX

_GRAIN = 256  # side of the noise tile that grain is cut from
_BLOCK = 8


class CameraDegradations:
    """Degrades images at random, in place."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.grain = torch.randn(3, _GRAIN, _GRAIN, generator=generator)
        place = torch.arange(_BLOCK) + 0.5
        rows = [torch.cos(math.pi / _BLOCK * k * place) * math.sqrt((2 if k else 1) / _BLOCK) for k in range(_BLOCK)]
        self.cosines = torch.stack(rows)
        across = torch.arange(_BLOCK)
        self.steps = 1 + 0.8 * (across[:, None] + across)  # high frequencies are quantised most coarsely

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Degrade images (B, 3, CROP_PX, CROP_PX), about 0 to 1; the result is in [0, 1]."""
        count = len(images)

        def pick(share: float) -> Tensor:
            return (torch.rand(count, generator=generator) < share).nonzero()[:, 0]

        images = soften(images, 0.15 + 0.85 * torch.rand(count, generator=generator))
        low_resolution = pick(0.12)
        images[low_resolution] = interpolate(avg_pool2d(images[low_resolution], 2), scale_factor=2.0, mode="bilinear")
        unsharp = pick(0.1)
        for reach in (1, 2):
            images[unsharp] = soften(images[unsharp], torch.ones(len(unsharp)), reach)
        gain = 0.75 + 0.5 * torch.rand(count, 1, generator=generator)
        colour = gain * (0.92 + 0.16 * torch.rand(count, 3, generator=generator))
        shift = 0.12 * (torch.rand(count, 1, generator=generator) - 0.5) + 0.5 * (1 - colour)
        images.mul_(colour[..., None, None]).add_(shift[..., None, None])
        blocky = pick(0.3)
        images[blocky] = self._quantise(images[blocky], generator)
        self._add_grain(images, generator)
        return images.clamp_(0, 1)

    def _add_grain(self, images: Tensor, generator: torch.Generator) -> None:
        strength = (0.035 * torch.rand(len(images), generator=generator).square()).tolist()
        corner = torch.randint(_GRAIN - CROP_PX, (len(images), 2), generator=generator).tolist()
        for image, strength_here, (top, left) in zip(images, strength, corner, strict=True):
            image.add_(self.grain[:, top : top + CROP_PX, left : left + CROP_PX], alpha=strength_here)

    def _quantise(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Quantise the DCT coefficients of every block, a simplified JPEG compression."""
        blocks = images.unflatten(3, (-1, _BLOCK)).unflatten(2, (-1, _BLOCK)).transpose(3, 4)
        waves = self.cosines @ blocks @ self.cosines.T
        step = (0.01 + 0.05 * torch.rand(len(images), 1, 1, 1, 1, 1, generator=generator)) * self.steps
        waves = torch.round(waves / step) * step
        return (self.cosines.T @ waves @ self.cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def soften(images: Tensor, share: Tensor, reach: int = 1) -> Tensor:
    """Blur images in place: each pixel is mixed with the mean of its neighbours `reach` pixels away, per axis.

    `share` (B,) is 0 for no blur and 1 for the kernel 1/4, 1/2, 1/4. Border pixels are unchanged.
    """
    weight = (0.5 * share)[:, None, None, None]
    for axis in (2, 3):
        inner, before, after = (
            images.narrow(axis, start, images.shape[axis] - 2 * reach) for start in (reach, 0, 2 * reach)
        )
        softened = torch.lerp(inner, (before + after).mul_(0.5), weight)
        images.narrow(axis, reach, softened.shape[axis]).copy_(softened)
    return images
