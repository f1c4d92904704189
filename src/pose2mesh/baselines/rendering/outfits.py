"""Random clothes, skin and hair: the colour of every visible face of the body."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pose2mesh.baselines.rendering.backgrounds import noise_tile
from pose2mesh.baselines.rendering.surface_regions import SurfaceRegions
from pose2mesh.baselines.rendering.visibility import Visibility

# sRGB from light to dark; sampled skin colours are interpolated between two neighbours.
_SKINS = ((255, 226, 204), (240, 200, 170), (214, 165, 130), (172, 122, 88), (122, 82, 58), (76, 50, 38))
_HAIRS = ((20, 17, 15), (46, 30, 22), (92, 60, 38), (140, 104, 64), (214, 184, 130), (170, 168, 166), (128, 54, 28))
_MATERIALS = 8
_SKIN, _HAIR, _TOP, _BOTTOM, _SHOE, _PRINT, _HAT, _SPOT = range(_MATERIALS)
_PLAIN, _ACROSS, _LENGTHWISE, _CHECKED, _MOTTLED = range(5)
_SHARES = (0.55, 0.14, 0.08, 0.08, 0.15)  # probability of each cloth pattern
_TILE = 64  # side of the noise tile for mottled materials and folds


class OutfitSampler:
    """Samples an outfit for each body.

    Args:
        surface: Regions of the body surface.
    """

    def __init__(self, surface: SurfaceRegions) -> None:
        self.surface = surface
        rng = np.random.default_rng(0)
        tile = sum(noise_tile(rng, _TILE, cell) for cell in (16, 8, 4)) / 2
        self.tile = torch.from_numpy(np.ascontiguousarray(tile)).flatten()
        self.noise_place = torch.stack([self._tile_place(surface.run_m + shift, surface.side_m) for shift in (0, 0.31)])

    def dress(self, view: Visibility, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Colours (N, 3) of the visible pixels, and the slopes (N, 2) of cloth folds across and along the limb."""
        material = self._materials(view, generator)
        first, second, pattern, repeats = _sample_materials(view.count, generator)
        entry = view.person * _MATERIALS + material
        mottle, other = (self.tile[place[view.face]] for place in self.noise_place)
        share = self._pattern(view.face, pattern.flatten()[entry], repeats.flatten()[entry], mottle)
        colour = torch.lerp(first.flatten(0, 1)[entry], second.flatten(0, 1)[entry], share[:, None])
        stiffness = torch.zeros(view.count, _MATERIALS)
        stiffness[:, [_TOP, _BOTTOM]] = 0.05 + 0.35 * torch.rand(view.count, 1, generator=generator)
        return colour, stiffness.flatten()[entry][:, None] * torch.stack((mottle, other), dim=1)

    def _materials(self, view: Visibility, generator: torch.Generator) -> Tensor:
        """Material index (N,) of each visible pixel, from the sampled cuts of clothes and hair."""
        cut, at, face = _sample_cuts(view.count, generator), self.surface, view.face
        cut = {name: value[view.person] for name, value in cut.items()}
        along, up = at.along[face], at.up[face]
        torso, arm, leg, head = at.torso[face], at.arm[face], at.leg[face], at.head[face]
        front, side = at.front[face] > 0, at.side_m[face].abs()

        # A neckline is deepest at the centre of the front.
        neckline = cut["neckline"] - cut["dip"] * (1 - side / 0.09).clamp_min(0) * front
        top = (torso & (along > cut["hem"]) & (along < neckline)) | (arm & (along < cut["sleeve"]))
        top |= leg & (along < cut["skirt"])
        bottom = (torso & (along < 0.25)) | (leg & (along < cut["trousers"]))
        shoe = at.foot[face] | (leg & (along > cut["boot"]))
        print_ = torso & front & (side < cut["print_width"]) & ((along - 0.7).abs() < cut["print_height"])
        hairline = torch.maximum(at.back[face] - cut["hair_back"], 0.8 * (up - cut["hair_up"]))
        hair = head & (hairline > 0) & (up > cut["hair_end"])

        material = torch.where(bottom, _BOTTOM, torch.full_like(face, _SKIN))
        material[top & ~cut["bare_chest"]] = _TOP
        material[print_ & (material == _TOP)] = _PRINT
        material[shoe & ~cut["barefoot"]] = _SHOE
        material[hair & ~cut["bald"]] = _HAIR
        material[head & (up > cut["hat"])] = _HAT
        material[at.spot[face]] = _SPOT
        return material

    def _pattern(self, face: Tensor, pattern: Tensor, repeats: Tensor, mottle: Tensor) -> Tensor:
        """Blend weight (N,) of a material's second colour at each pixel."""
        # Offset by two metres, because `frac` of a negative number is negative.
        across, lengthwise = (
            ((place[face] + 2) * repeats).frac() < 0.4 for place in (self.surface.run_m, self.surface.side_m)
        )
        share = torch.where(pattern == _ACROSS, across, lengthwise & (pattern != _PLAIN)).float()
        share = torch.where(pattern == _CHECKED, 0.5 * across + 0.5 * lengthwise, share)
        return torch.where(pattern == _MOTTLED, (0.5 + mottle).clamp(0, 1), share)

    @staticmethod
    def _tile_place(run_m: Tensor, side_m: Tensor) -> Tensor:
        """Flat index (F,) of each face in the noise tile, whose pixels are 12 mm wide."""
        row, column = (((place + 4) * 85).long() % _TILE for place in (run_m, side_m))
        return row * _TILE + column


def _sample_cuts(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Sample where clothes and hair end, (count,) each in the units of `SurfaceRegions`, and which are absent."""

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def happens(share: float) -> Tensor:
        return uniform() < share

    hem = uniform(-0.15, 0.2) - 0.4 * happens(0.2)
    nowhere = torch.full((count,), torch.inf)
    return {
        "hem": hem,
        "neckline": uniform(0.92, 1.12),
        "dip": uniform(0, 0.2),
        "sleeve": torch.where(happens(0.45), uniform(0.15, 0.5), uniform(0.85, 1.0)) - happens(0.12).float(),
        # A dress reaches down the legs, and so does a long top; `along` measures the leg in halves there.
        "skirt": torch.where(happens(0.12), uniform(0.2, 0.6), -1.2 * hem - 0.05),
        "trousers": torch.where(happens(0.7), uniform(0.85, 1.05), uniform(0.15, 0.65)),
        "boot": uniform(0.85, 1.2),
        "print_width": uniform(0.03, 0.12) * happens(0.25),
        "print_height": uniform(0.05, 0.2),
        "hair_back": uniform(-0.02, 0.04),
        "hair_up": uniform(0.05, 0.075),
        "hair_end": uniform(-0.16, -0.02),
        "hat": torch.where(happens(0.12), uniform(0.04, 0.07), nowhere),
        "bare_chest": happens(0.05),
        "barefoot": happens(0.15),
        "bald": happens(0.08),
    }


def _sample_materials(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sample for every material two colours (count, M, 3), their pattern (count, M) and its repeats per metre."""
    shares = torch.tensor(_SHARES).expand(count, -1)
    pattern = torch.full((count, _MATERIALS), _PLAIN)
    for cloth in (_TOP, _BOTTOM):
        pattern[:, cloth] = torch.multinomial(shares, 1, generator=generator)[:, 0]
    repeats = 6 + 24 * torch.rand(count, _MATERIALS, generator=generator)
    first, second = (_paints(count, generator) for _ in range(2))
    skin, hair = _between(_SKINS, count, generator), _between(_HAIRS, count, generator)
    pattern[:, [_SKIN, _HAIR]] = _MOTTLED
    first[:, _SKIN], second[:, _SKIN] = 0.95 * skin, 1.05 * skin
    first[:, _HAIR], second[:, _HAIR] = 0.7 * hair, 1.3 * hair
    first[:, _SPOT] = 0.45 * skin
    return first, second, pattern, repeats


def _paints(count: int, generator: torch.Generator) -> Tensor:
    """Random cloth colours (count, M, 3), from greys to saturated colours."""
    grey = 0.04 + 0.9 * torch.rand(count, _MATERIALS, 1, generator=generator)
    paint = torch.rand(count, _MATERIALS, 3, generator=generator)
    strength = 0.9 * torch.rand(count, _MATERIALS, 1, generator=generator)
    return torch.lerp(grey.expand(-1, -1, 3), paint, strength)


def _between(palette: tuple[tuple[int, int, int], ...], count: int, generator: torch.Generator) -> Tensor:
    """Colours (count, 3) interpolated between neighbours of a palette, with a small random offset."""
    colours = torch.tensor(palette) / 255
    place = torch.rand(count, 1, generator=generator) * (len(colours) - 1)
    lower = place.long().clamp_max(len(colours) - 2)
    mixed = torch.lerp(colours[lower[:, 0]], colours[lower[:, 0] + 1], place - lower)
    return mixed * (1 + 0.05 * torch.randn(count, 3, generator=generator))
