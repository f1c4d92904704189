"""Procedural background textures: rooms, landscapes, clutter and noise.

A bank of textures is generated once. Each background is one or two random windows of it, mirrored, recoloured and
mixed, so that no two backgrounds are the same while sampling costs little more than copying.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX

TEXTURES = 64
_MIXED = 0.35  # share of backgrounds that blend two windows of textures
_SIDE = 256  # side of a texture in pixels, larger than a crop so that windows differ


class Backgrounds:
    """A bank of textures.

    Args:
        seed: Seed of the bank.
    """

    def __init__(self, seed: int) -> None:
        self.bank = _bank(seed)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample backgrounds (count, 3, CROP_PX, CROP_PX) in [0, 1]."""
        images = self.windows(count, generator)
        mixed = (torch.rand(count, generator=generator) < _MIXED).nonzero()[:, 0]
        share = torch.rand(len(mixed), 1, 1, 1, generator=generator)
        images[mixed] = torch.lerp(images[mixed], self.windows(len(mixed), generator), share)
        return recolour(images, generator)

    def windows(self, count: int, generator: torch.Generator) -> Tensor:
        """Random windows (count, 3, CROP_PX, CROP_PX) of the textures in [0, 255], half of them mirrored."""
        texture = torch.randint(TEXTURES, (count,), generator=generator).tolist()
        corner = torch.randint(_SIDE - CROP_PX, (count, 2), generator=generator).tolist()
        mirrored = (torch.rand(count, generator=generator) < 0.5).tolist()
        windows = torch.empty(count, 3, CROP_PX, CROP_PX)
        for window, index, (top, left), flip in zip(windows, texture, corner, mirrored, strict=True):
            part = self.bank[index, :, top : top + CROP_PX, left : left + CROP_PX]
            window.copy_(part.flip(2) if flip else part)
        return windows


@lru_cache(maxsize=2)  # one bank for training, one for evaluation
def _bank(seed: int) -> Tensor:
    """The textures (TEXTURES, 3, _SIDE, _SIDE) as bytes."""
    rng = np.random.default_rng(seed)
    textures = np.stack([_texture(rng) for _ in range(TEXTURES)])
    return torch.from_numpy(textures).permute(0, 3, 1, 2).contiguous()


def recolour(textures: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] from textures in [0, 255]: random channel order, saturation and brightness."""
    count = len(textures)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    order = torch.rand(count, 3, generator=generator).argsort(1)
    pale = uniform(0, 1, 1, 1).square_()
    mix = (1 - pale) * torch.nn.functional.one_hot(order, 3).float() + pale / 3
    gain, shift = uniform(0.5, 1.2, 1), uniform(-0.15, 0.25, 1) + uniform(-0.08, 0.08, 3)
    # Contrast about mid-grey and the channel permutation in one matrix product.
    mixed = (mix * gain[..., None] / 255) @ textures.flatten(2)
    return mixed.add_((shift + 0.5 * (1 - gain))[..., None]).clamp_(0, 1).reshape(textures.shape)


def noise_tile(rng: np.random.Generator, side: int, cell: int) -> NDArray[np.float32]:
    """Smooth periodic noise (side, side), about −1 to 1, with features `cell` pixels wide."""
    coarse = rng.uniform(-1, 1, (side // cell, side // cell)).astype(np.float32)
    padded = np.pad(coarse, 2, mode="wrap")
    large = Image.fromarray(padded).resize((len(padded) * cell,) * 2, Image.Resampling.BICUBIC)
    return np.asarray(large)[2 * cell : 2 * cell + side, 2 * cell : 2 * cell + side]


def _texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One texture (_SIDE, _SIDE, 3) of a random kind."""
    kind = int(rng.choice(4, p=(0.35, 0.2, 0.3, 0.15)))
    image = Image.fromarray((_room, _landscape, _clutter, _noise)[kind](rng))
    if rng.random() < 0.5:  # out of focus
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 5)))
    return np.asarray(image)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """A random colour, mostly desaturated, as in real scenes."""
    grey, strength = rng.uniform(20, 240), rng.uniform(0, 1) ** 2 * 110
    return tuple(np.clip(grey + strength * rng.uniform(-1, 1, 3), 0, 255).astype(int).tolist())


def _noise(rng: np.random.Generator, strength: float = 1.0) -> NDArray[np.uint8]:
    """Two colours mixed by multi-scale noise: walls, grass, foliage."""
    value = np.zeros((_SIDE, _SIDE), np.float32)
    for cell in (64, 32, 16, 8, 4, 2):
        value += rng.uniform(0, 1) * noise_tile(rng, _SIDE, cell)
    share = (0.5 + 0.5 * strength * np.tanh(value))[..., None]
    return np.clip(share * _colour(rng) + (1 - share) * _colour(rng), 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator, height: int) -> NDArray[np.float32]:
    across, down = np.meshgrid(np.linspace(0, 1, _SIDE), np.linspace(0, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    share = np.clip(0.5 + (across - 0.5) * np.cos(angle) + (down - 0.5) * np.sin(angle), 0, 1)[..., None]
    return (share * _colour(rng) + (1 - share) * _colour(rng)).astype(np.float32)


def _room(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A wall and a floor with rectangles as furniture and wall decoration."""
    edge = int(_SIDE * rng.uniform(0.45, 0.85))
    ground = np.concatenate((_gradient(rng, edge), _gradient(rng, _SIDE - edge)))
    grain = _noise(rng, 0.5).astype(np.float32) - 128
    image = Image.fromarray(np.clip(ground + rng.uniform(0, 0.3) * grain, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.5:  # floorboards, which run to a vanishing point
        vanishing = rng.uniform(0, _SIDE)
        for foot in np.arange(-_SIDE, 2 * _SIDE, rng.uniform(12, 50)):
            pen.line((vanishing + 0.3 * (foot - vanishing), edge, foot, _SIDE), fill=_colour(rng), width=1)
    for _ in range(rng.integers(2, 10)):
        left, width = rng.uniform(-30, _SIDE), rng.uniform(10, 90)
        top = rng.uniform(0, edge)
        bottom = rng.uniform(edge - 10, _SIDE) if rng.random() < 0.5 else top + rng.uniform(10, 80)
        pen.rectangle((left, top, left + width, max(bottom, top)), fill=_colour(rng), outline=_colour(rng))
    return np.asarray(image)


def _landscape(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sky over ground, with hills and tree trunks."""
    edge = int(_SIDE * rng.uniform(0.3, 0.7))
    ground = np.concatenate((_gradient(rng, edge), _noise(rng, 0.6)[edge:].astype(np.float32)))
    image = Image.fromarray(ground.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 5)):
        middle, reach, height = rng.uniform(0, _SIDE), rng.uniform(20, 120), rng.uniform(10, 80)
        pen.ellipse((middle - reach, edge - height, middle + reach, edge + height), fill=_colour(rng))
    for _ in range(rng.integers(0, 12)):
        foot, lean, width = rng.uniform(0, _SIDE), rng.normal(0, 8), rng.integers(1, 14)
        line = (foot, rng.uniform(edge, _SIDE), foot + lean, rng.uniform(0, edge))
        pen.line(line, fill=_colour(rng), width=int(width))
    return np.asarray(image)


def _clutter(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Overlapping shapes and bars, some as thick and as long as limbs."""
    image = Image.fromarray(_gradient(rng, _SIDE).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(8, 50)):
        x, y, size, angle = *rng.uniform(0, _SIDE, 2), rng.uniform(5, 60), rng.uniform(0, 2 * np.pi)
        shape = rng.integers(4)
        if shape == 0:
            pen.ellipse((x - size, y - size / 2, x + size, y + size / 2), fill=_colour(rng))
        elif shape == 1:
            corners = angle + np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            pen.polygon([(x + size * np.cos(at), y + size * np.sin(at)) for at in corners], fill=_colour(rng))
        else:
            end = (x + 2 * size * np.cos(angle), y + 2 * size * np.sin(angle))
            pen.line((x, y, *end), fill=_colour(rng), width=int(rng.integers(1, 16)))
    return np.asarray(image)
