"""Paints pictures: a background, a dressed person under random light, things in front, and the camera's faults."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.pictures.backgrounds import Backgrounds, recolour
from pose2mesh.baselines.pictures.camera_faults import CameraFaults
from pose2mesh.baselines.pictures.lighting import draw_light, view_normals
from pose2mesh.baselines.pictures.outfits import Wardrobe
from pose2mesh.baselines.pictures.surface import Surface
from pose2mesh.baselines.pictures.view import View
from pose2mesh.body.anny import AnnyBody

BEYOND = 0.5  # the grey of what lies beyond the border of the picture that a crop is from


class Painter:
    """Paints crops of people.

    Args:
        body: Whose surface is seen.
        backgrounds: Seed of the textures.
    """

    def __init__(self, body: AnnyBody, backgrounds: int) -> None:
        self.faces = body.faces
        self.wardrobe = Wardrobe(Surface.of(body))
        self.backgrounds = Backgrounds(backgrounds)
        self.faults = CameraFaults()

    def __call__(
        self, view: View, vertices_cam: Tensor, hidden: Tensor, inside: Tensor, generator: torch.Generator
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
        light = draw_light(view, view_normals(view, vertices_cam, self.faces), folds, generator)
        pictures[view.person, :, view.pixel // hidden.shape[1], view.pixel % hidden.shape[1]] = colour * light
        behind = hidden.flatten(1).any(1).nonzero()[:, 0]
        things = recolour(self.backgrounds.windows(len(behind), generator), generator)
        pictures[behind] = torch.where(hidden[behind, None], things, pictures[behind])
        pictures = self.faults(pictures, generator)
        return pictures.masked_fill_(~inside[:, None], BEYOND)
