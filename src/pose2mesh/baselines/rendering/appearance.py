"""Paints pictures: a background, a dressed person under random light, things in front, and the camera's faults."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX
from pose2mesh.baselines.rendering.backgrounds import Backgrounds, recolour
from pose2mesh.baselines.rendering.camera_degradations import CameraDegradations
from pose2mesh.baselines.rendering.lighting import draw_light, view_normals
from pose2mesh.baselines.rendering.outfits import Wardrobe
from pose2mesh.baselines.rendering.surface_regions import SurfaceRegions
from pose2mesh.baselines.rendering.visibility import Visibility
from pose2mesh.body_models.interface import BodyModel

BEYOND = 0.5  # the grey of what lies beyond the border of the picture that a crop is from


class Painter:
    """Paints crops of people.

    Args:
        body: Whose surface is seen.
        backgrounds: Seed of the textures.
        accompanied: Share of people with somebody else behind or beside them.
    """

    def __init__(self, body: BodyModel, backgrounds: int, accompanied: float) -> None:
        self.faces, self.accompanied = body.faces, accompanied
        self.wardrobe = Wardrobe(SurfaceRegions.of(body))
        self.backgrounds = Backgrounds(backgrounds)
        self.faults = CameraDegradations()

    def __call__(
        self, view: Visibility, vertices_cam: Tensor, hidden: Tensor, inside: Tensor, generator: torch.Generator
    ) -> Tensor:
        """(B, 3, CROP_PX, CROP_PX) red, green and blue in [0, 1].

        Args:
            view: What is seen of B people.
            vertices_cam: (B, V, 3) camera axes.
            hidden: (B, CROP_PX, CROP_PX) where something stands in front of them.
            inside: (B, CROP_PX, CROP_PX) what lies within the border of the picture.
            generator: All randomness.
        """
        pictures = self.backgrounds.draw(view.count, generator)
        colour, folds = self.wardrobe.dress(view, generator)
        colour *= draw_light(view, view_normals(view, vertices_cam, self.faces), folds, generator)
        self._paint_company(pictures, view, colour, generator)
        pictures[view.person, :, view.pixel // CROP_PX, view.pixel % CROP_PX] = colour
        behind = hidden.flatten(1).any(1).nonzero()[:, 0]
        things = recolour(self.backgrounds.windows(len(behind), generator), generator)
        pictures[behind] = torch.where(hidden[behind, None], things, pictures[behind])
        pictures = self.faults(pictures, generator)
        return pictures.masked_fill_(~inside[:, None], BEYOND)

    def _paint_company(self, pictures: Tensor, view: Visibility, colour: Tensor, generator: torch.Generator) -> None:
        """Paint the next person of the batch, moved aside, into some people's backgrounds."""
        has_company = torch.rand(view.count, generator=generator) < self.accompanied
        move = (0.3 * CROP_PX * torch.randn(view.count, 2, generator=generator) * torch.tensor([1.5, 0.4])).long()
        host = (view.person - 1) % view.count
        column, row = view.pixel % CROP_PX + move[host, 0], view.pixel // CROP_PX + move[host, 1]
        shown = has_company[host] & (column >= 0) & (column < CROP_PX) & (row >= 0) & (row < CROP_PX)
        pictures[host[shown], :, row[shown], column[shown]] = colour[shown]
