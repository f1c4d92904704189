"""Renders training images: background, clothed person under random light, occluders and camera degradations."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX
from pose2mesh.baselines.rendering.backgrounds import Backgrounds, recolour
from pose2mesh.baselines.rendering.camera_degradations import CameraDegradations
from pose2mesh.baselines.rendering.lighting import sample_light, view_normals
from pose2mesh.baselines.rendering.outfits import OutfitSampler
from pose2mesh.baselines.rendering.surface_regions import SurfaceRegions
from pose2mesh.baselines.rendering.visibility import Visibility
from pose2mesh.body_models.interface import BodyModel

PADDING_GREY = 0.5  # grey value of the pixels of a crop that lie outside the image


class CropRenderer:
    """Renders the RGB crops of a batch of posed bodies.

    Args:
        body: The body model whose surface is rendered.
        backgrounds: Seed of the background textures.
        accompanied: Share of crops, from 0 to 1, with a second person behind or beside the main one.
    """

    def __init__(self, body: BodyModel, backgrounds: int, accompanied: float) -> None:
        self.faces, self.accompanied = body.faces, accompanied
        self.wardrobe = OutfitSampler(SurfaceRegions.of(body))
        self.backgrounds = Backgrounds(backgrounds)
        self.faults = CameraDegradations()

    def __call__(
        self, view: Visibility, vertices_cam: Tensor, hidden: Tensor, inside: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Render crops (B, 3, CROP_PX, CROP_PX): red, green and blue in [0, 1].

        Args:
            view: Visible surface of B bodies.
            vertices_cam: (B, V, 3) in camera axes, metres.
            hidden: (B, CROP_PX, CROP_PX) whether an occluder covers the pixel.
            inside: (B, CROP_PX, CROP_PX) whether the pixel lies within the image.
            generator: Source of all randomness.
        """
        images = self.backgrounds.sample(view.count, generator)
        colour, folds = self.wardrobe.dress(view, generator)
        colour *= sample_light(view, view_normals(view, vertices_cam, self.faces), folds, generator)
        self._paint_bystanders(images, view, colour, generator)
        images[view.person, :, view.pixel // CROP_PX, view.pixel % CROP_PX] = colour
        behind = hidden.flatten(1).any(1).nonzero()[:, 0]
        things = recolour(self.backgrounds.windows(len(behind), generator), generator)
        images[behind] = torch.where(hidden[behind, None], things, images[behind])
        images = self.faults(images, generator)
        return images.masked_fill_(~inside[:, None], PADDING_GREY)

    def _paint_bystanders(self, images: Tensor, view: Visibility, colour: Tensor, generator: torch.Generator) -> None:
        """Draw the next person of the batch, shifted, into the backgrounds of a random subset of crops."""
        has_bystander = torch.rand(view.count, generator=generator) < self.accompanied
        move = (0.3 * CROP_PX * torch.randn(view.count, 2, generator=generator) * torch.tensor([1.5, 0.4])).long()
        host = (view.person - 1) % view.count
        column, row = view.pixel % CROP_PX + move[host, 0], view.pixel // CROP_PX + move[host, 1]
        in_crop = has_bystander[host] & (column >= 0) & (column < CROP_PX) & (row >= 0) & (row < CROP_PX)
        images[host[in_crop], :, row[in_crop], column[in_crop]] = colour[in_crop]
