"""What people wear, their skin and their hair: the colour of every face of the body that is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose2mesh.baselines.pictures.backgrounds import noise_tile
from pose2mesh.baselines.pictures.surface import Surface
from pose2mesh.baselines.pictures.view import View

# From light to dark, sRGB; a person's skin lies between two neighbours.
_SKINS = ((255, 226, 204), (240, 200, 170), (214, 165, 130), (172, 122, 88), (122, 82, 58), (76, 50, 38))
_HAIRS = ((20, 17, 15), (46, 30, 22), (92, 60, 38), (140, 104, 64), (214, 184, 130), (170, 168, 166), (128, 54, 28))
_PLAIN, _ACROSS, _LENGTHWISE, _CHECKED, _MOTTLED = range(5)
_TILE = 64  # side of the tile of noise for mottled cloth and folds


@dataclass(frozen=True)
class _Cloth:
    """Of `B` people: two colours (B, 3), the pattern (B,) they make, and how many times a metre it repeats."""

    first: Tensor
    second: Tensor
    pattern: Tensor
    repeats: Tensor

    @classmethod
    def draw(cls, count: int, generator: torch.Generator) -> _Cloth:
        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *shape, generator=generator)

        shares = torch.tensor([0.55, 0.14, 0.08, 0.08, 0.15])
        pattern = torch.multinomial(shares, count, replacement=True, generator=generator)
        return cls(_colours(count, generator), _colours(count, generator), pattern, uniform(6, 30))

    def at(self, who: Tensor, run_m: Tensor, side_m: Tensor, mottle: Tensor) -> Tensor:
        """(N, 3) the colour at places of people `who` (N,)."""
        repeats, pattern = self.repeats[who], self.pattern[who]
        across, lengthwise = ((place * repeats).frac().abs() < 0.4 for place in (run_m + 2, side_m + 2))
        share = torch.where(pattern == _ACROSS, across, lengthwise & (pattern != _PLAIN)).float()
        share = torch.where(pattern == _CHECKED, 0.5 * across + 0.5 * lengthwise, share)
        share = torch.where(pattern == _MOTTLED, (0.5 + mottle).clamp(0, 1), share)
        return torch.lerp(self.first[who], self.second[who], share[:, None])


class Wardrobe:
    """Dresses people at random.

    Args:
        surface: Of the body.
    """

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        rng = np.random.default_rng(0)
        tile = sum(noise_tile(rng, _TILE, cell) for cell in (16, 8, 4)) / 2
        self.tile = torch.from_numpy(np.ascontiguousarray(tile)).flatten()

    def dress(self, view: View, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Colours (N, 3) of what a view shows, and how much cloth folds there (N, 2): slopes across and along."""
        count, who, at = view.count, view.person, self.surface

        def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        face = view.face
        along, run, side, part_up, back = at.along[face], at.run_m[face], at.side_m[face], at.up[face], at.back[face]
        torso, arm, leg, foot, head = at.torso[face], at.arm[face], at.leg[face], at.foot[face], at.head[face]
        mottle = self._noise(run, side, 90.0, uniform()[who])

        skin, hair = _between(_SKINS, count, generator), _between(_HAIRS, count, generator)
        colour = skin[who] * (1 + 0.06 * mottle[:, None])
        bare_chest, bald = uniform() < 0.05, uniform() < 0.08
        sleeve = _either(uniform() < 0.45, uniform(0.15, 0.5), uniform(0.85, 1.0)) - (uniform() < 0.12).float()
        hem = uniform(-0.15, 0.2) - 0.4 * (uniform() < 0.2).float()
        neckline = uniform(0.92, 1.12)
        legs = _either(uniform() < 0.7, uniform(0.85, 1.05), uniform(0.15, 0.65))
        dress = uniform() < 0.12
        shod = uniform() < 0.85

        # A neckline is deeper at the middle of the front.
        dip = (uniform(0, 0.2)[who] * (1 - side.abs() / 0.09).clamp_min(0)) * (at.front[face] > 0)
        top = (torso & (along > hem[who]) & (along < neckline[who] - dip)) | (arm & (along < sleeve[who]))
        # The hem of a long top, and a dress, lie on the thighs; `along` counts half a leg's length there.
        top |= leg & (along < torch.where(dress, uniform(0.2, 0.6), -1.2 * hem - 0.05)[who])
        top &= ~bare_chest[who]
        bottom = ~top & ((torso & (along < 0.25)) | (leg & (along < legs[who])))
        shoe = shod[who] & (foot | (leg & (along > uniform(0.85, 1.2)[who])))

        bottom_cloth, top_cloth = _Cloth.draw(count, generator), _Cloth.draw(count, generator)
        colour = torch.where(bottom[:, None], bottom_cloth.at(who, run, side, mottle), colour)
        colour = torch.where(top[:, None], top_cloth.at(who, run, side, mottle), colour)
        print_ = top & torso & (at.front[face] > 0) & (side.abs() < uniform(0.03, 0.12)[who])
        print_ &= (uniform() < 0.25)[who] & ((along - 0.7).abs() < uniform(0.05, 0.2)[who])
        colour = torch.where(print_[:, None], _colours(count, generator)[who], colour)
        colour = torch.where(shoe[:, None], _colours(count, generator)[who], colour)

        line = torch.maximum(back - uniform(-0.02, 0.04)[who], 0.8 * (part_up - uniform(0.05, 0.075)[who]))
        haired = head & (line > 0) & (part_up > uniform(-0.16, -0.02)[who]) & ~bald[who]
        colour = torch.where(haired[:, None], hair[who] * (1 + 0.35 * mottle[:, None]), colour)
        hat = head & (part_up > uniform(0.04, 0.07)[who]) & (uniform() < 0.12)[who]
        colour = torch.where(hat[:, None], _colours(count, generator)[who], colour)
        colour = torch.where(at.spot[face][:, None], colour * 0.45, colour)

        crease = (uniform(0.05, 0.4)[who] * (top | bottom))[:, None]
        return colour, crease * torch.stack((self._noise(run, side, 70.0), self._noise(side, run, 70.0)), dim=1)

    def _noise(self, run_m: Tensor, side_m: Tensor, per_m: float, shift: Tensor | float = 0.0) -> Tensor:
        """(N,) the tile's value, about −1 to 1, with so many of its pixels a metre."""
        row, column = (((place + shift + 4) * per_m).long() % _TILE for place in (run_m, side_m))
        return self.tile[row * _TILE + column]


def _either(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(chosen, one, other)


def _colours(count: int, generator: torch.Generator) -> Tensor:
    """(count, 3) colours of cloth, from white over paint to black."""
    grey = 0.04 + 0.9 * torch.rand(count, 1, generator=generator)
    paint = torch.rand(count, 3, generator=generator)
    return torch.lerp(grey.expand(-1, 3), paint, torch.rand(count, 1, generator=generator).square() * 0.9)


def _between(palette: tuple[tuple[int, int, int], ...], count: int, generator: torch.Generator) -> Tensor:
    """(count, 3) colours between neighbours of a palette, each a little off."""
    colours = torch.tensor(palette) / 255
    place = torch.rand(count, 1, generator=generator) * (len(colours) - 1)
    lower = place.long().clamp_max(len(colours) - 2)
    mixed = torch.lerp(colours[lower[:, 0]], colours[lower[:, 0] + 1], place - lower)
    return mixed * (1 + 0.05 * torch.randn(count, 3, generator=generator))
