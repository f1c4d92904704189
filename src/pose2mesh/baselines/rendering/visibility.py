"""What is seen of the surface of people in their crops: which person's which face, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX, Crops
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.datasets.synthetic.camera_sampling import Cameras


@dataclass(frozen=True)
class Visibility:
    """`N` pixels of the crops of `B` people, CROP_PX × CROP_PX each, that show a person.

    Attributes:
        count: B.
        person: (N,) whose crop.
        pixel: (N,) flat index of the pixel, row by row.
        face: (N,) the face of the body seen there.
    """

    count: int
    person: Tensor
    pixel: Tensor
    face: Tensor

    @property
    def place(self) -> Tensor:
        """(N,) flat index of the pixel in all crops, one after the other."""
        return self.person * CROP_PX**2 + self.pixel

    def where(self, shown: Tensor) -> Visibility:
        """What is left where only some pixels (B, CROP_PX, CROP_PX) are shown."""
        kept = shown.flatten()[self.place]
        return Visibility(self.count, self.person[kept], self.pixel[kept], self.face[kept])


def crop_cameras(cameras: Cameras, crops: Crops) -> Cameras:
    """Cameras that take nothing but the crops, in pixels of these."""
    scale = CROP_PX / (2 * crops.half_px)
    corner = crops.centre_px - crops.half_px[:, None]
    return replace(
        cameras,
        focal_px=cameras.focal_px * scale,
        centre_px=(cameras.centre_px - corner) * scale[:, None],
        size_px=torch.full_like(cameras.size_px, CROP_PX),
    )


def look(rasteriser: Rasteriser, vertices_cam: Tensor, cameras: Cameras) -> Visibility:
    """See people through cameras that take their crops, in full perspective.

    Args:
        rasteriser: For the faces of the body, and CROP_PX.
        vertices_cam: (B, V, 3) about the body's origin, in camera axes.
        cameras: As `crop_cameras` gives them.
    """
    vertices_px = cameras.project(vertices_cam).numpy()
    depth_m = (vertices_cam[..., 2] + cameras.position_cam[:, 2:]).numpy()
    seen = [rasteriser(*person) for person in zip(vertices_px, depth_m, strict=True)]
    person = np.repeat(np.arange(len(seen)), [len(pixels) for pixels, _ in seen])
    pixel, face = (torch.from_numpy(np.concatenate(column)) for column in zip(*seen, strict=True))
    return Visibility(len(seen), torch.from_numpy(person), pixel, face)


def within_picture(cameras: Cameras, crops: Crops) -> Tensor:
    """(B, CROP_PX, CROP_PX) which pixels of the crops lie within the pictures that the cameras took."""
    middle = (torch.arange(CROP_PX) + 0.5) * (2 / CROP_PX) - 1
    place = crops.pixels(middle[None, :, None].expand(len(crops.half_px), -1, 2))
    inside = (place >= 0) & (place <= cameras.size_px[:, None])
    return inside[:, :, None, 1] & inside[:, None, :, 0]
