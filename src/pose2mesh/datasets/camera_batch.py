"""Cameras of the samples of a data set in one batch: with intrinsics, weak-perspective, or sampled.

Camera frame: x right, y down, z forward, metres; pixels with the origin at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.camera_sampling import Cameras

NEAREST_M = 0.05  # least depth that points are projected with


@dataclass(frozen=True)
class CameraBatch:
    """A batch of cameras. Perspective: x_px = scale·x/z + offset; weak perspective: x_px = scale·x + offset.

    Attributes:
        scale: (B, 2) focal lengths in pixels, or pixels per metre; NaN where the camera is unknown.
        offset: (B, 2) principal point, or the projection of the origin, in pixels.
        perspective: (B,) which cameras are perspective.
        size_px: (B, 2) width and height of the image; infinite where unknown.
    """

    scale: Tensor
    offset: Tensor
    perspective: Tensor
    size_px: Tensor

    @classmethod
    def of_cameras(cls, cameras: Cameras) -> CameraBatch:
        """From sampled cameras."""
        scale = cameras.focal_px[:, None].expand(-1, 2)
        return cls(scale, cameras.centre_px, torch.ones_like(cameras.focal_px, dtype=torch.bool), cameras.size_px)

    def project(self, points_cam: Tensor) -> Tensor:
        """Points in the camera frame (B, N, 3) → pixels (B, N, 2)."""
        depth = points_cam[..., 2:].clamp_min(NEAREST_M)
        depth = torch.where(self.perspective[:, None, None], depth, 1.0)
        return points_cam[..., :2] / depth * self.scale[:, None] + self.offset[:, None]

    def before(self, points_cam: Tensor) -> Tensor:
        """(B, N) which points (B, N, 3) are in front of a known camera."""
        known = self.scale.isfinite().all(1)[:, None]
        return known & ((points_cam[..., 2] > 0) | ~self.perspective[:, None])

    def ray(self, pixel: Tensor) -> Tensor:
        """Viewing directions (B, 3) through pixels (B, 2), with z = 1; along the axis for weak perspective."""
        offset = (pixel - self.offset) / self.scale
        offset = torch.where(self.perspective[:, None], offset, 0.0)
        return torch.cat((offset, torch.ones_like(offset[:, :1])), dim=1)
