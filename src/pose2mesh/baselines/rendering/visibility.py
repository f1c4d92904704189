"""Visible surface of bodies in their crops: the person and the mesh face at each pixel."""

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
        person: (N,) index of the crop.
        pixel: (N,) flat index of the pixel in the crop, row by row.
        face: (N,) index of the visible mesh face.
    """

    count: int
    person: Tensor
    pixel: Tensor
    face: Tensor

    @property
    def place(self) -> Tensor:
        """Flat index (N,) of the pixel in the concatenation of all crops."""
        return self.person * CROP_PX**2 + self.pixel

    def where(self, shown: Tensor) -> Visibility:
        """The visible surface restricted to a mask (B, CROP_PX, CROP_PX)."""
        kept = shown.flatten()[self.place]
        return Visibility(self.count, self.person[kept], self.pixel[kept], self.face[kept])


def crop_cameras(cameras: Cameras, crops: Crops) -> Cameras:
    """Cameras whose images are the crops, with intrinsics in crop pixels."""
    scale = CROP_PX / (2 * crops.half_px)
    corner = crops.centre_px - crops.half_px[:, None]
    return replace(
        cameras,
        focal_px=cameras.focal_px * scale,
        centre_px=(cameras.centre_px - corner) * scale[:, None],
        size_px=torch.full_like(cameras.size_px, CROP_PX),
    )


def visible_surface(rasteriser: Rasteriser, vertices_cam: Tensor, cameras: Cameras) -> Visibility:
    """Rasterise bodies with the cameras of their crops, in full perspective.

    Args:
        rasteriser: Made for the faces of the body and CROP_PX.
        vertices_cam: (B, V, 3) relative to the body's origin, in camera axes, metres.
        cameras: The result of `crop_cameras`.
    """
    vertices_px = cameras.project(vertices_cam).numpy()
    depth_m = (vertices_cam[..., 2] + cameras.position_cam[:, 2:]).numpy()
    visible = [rasteriser(*person) for person in zip(vertices_px, depth_m, strict=True)]
    person = np.repeat(np.arange(len(visible)), [len(pixels) for pixels, _ in visible])
    pixel, face = (torch.from_numpy(np.concatenate(column)) for column in zip(*visible, strict=True))
    return Visibility(len(visible), torch.from_numpy(person), pixel, face)


def inside_image(cameras: Cameras, crops: Crops) -> Tensor:
    """Mask (B, CROP_PX, CROP_PX) of the crop pixels that lie within the image of the camera."""
    middle = (torch.arange(CROP_PX) + 0.5) * (2 / CROP_PX) - 1
    place = crops.pixels(middle[None, :, None].expand(len(crops.half_px), -1, 2))
    inside = (place >= 0) & (place <= cameras.size_px[:, None])
    return inside[:, :, None, 1] & inside[:, None, :, 0]
