"""Sampling of virtual cameras: viewpoint, field of view, and the place of the person in the image.

Camera frame: x right, y down, z forward, metres; pixels with the origin at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation


@dataclass
class CameraConfig:
    """Distribution of virtual cameras.

    Attributes:
        pitch_deg: Mean and standard deviation of the downward tilt; cameras are held level or a little high.
        steep: Share of cameras with a uniform tilt of up to `steep_deg` either way: from a balcony, from the ground.
        steep_deg: The largest such tilt.
        roll_deg: Standard deviation of the roll.
        view_deg: Smallest and largest field of view across the longer side, uniform in focal length: 20° is a
            short tele lens, 80° a phone's widest usual camera.
        fill: Smallest and largest share of the image's shorter side that the standing person would take; above 1
            the person is cut by the border.
        image_px: Longer side of the images.
        known, nominal: Shares of the training samples that are turned to the person by their true intrinsics, and by
            nominal ones, as at inference (`assumed_camera`); the others keep their pixels, as where the size of the
            image is unknown.
    """

    pitch_deg: tuple[float, float] = (4.0, 9.0)
    steep: float = 0.2
    steep_deg: float = 45.0
    roll_deg: float = 4.0
    view_deg: tuple[float, float] = (20.0, 80.0)
    fill: tuple[float, float] = (0.2, 1.3)
    image_px: float = 1000.0
    known: float = 0.0
    nominal: float = 0.0


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras.

    Attributes:
        rotation: (B, 3, 3) from the world (z up) to the camera's axes.
        position_cam: (B, 3) position of the body's origin (the hips) in camera axes, metres.
        focal_px: (B,) focal length.
        centre_px: (B, 2) principal point.
        size_px: (B, 2) width and height of the image.
    """

    rotation: Tensor
    position_cam: Tensor
    focal_px: Tensor
    centre_px: Tensor
    size_px: Tensor

    def intrinsics(self) -> list[Intrinsics]:
        """The intrinsics of each camera."""
        centres = self.centre_px.tolist()
        return [
            Intrinsics(focal, focal, *centre) for focal, centre in zip(self.focal_px.tolist(), centres, strict=True)
        ]

    def __getitem__(self, which: slice | Tensor) -> Cameras:
        return Cameras(*(getattr(self, item.name)[which] for item in fields(self)))

    def repeated(self, times: int) -> Cameras:
        """Each camera `times` times in a row."""
        return Cameras(*(getattr(self, item.name).repeat_interleave(times, dim=0) for item in fields(self)))

    def to_camera(self, points: Tensor) -> Tensor:
        """World points about any origin (B, N, 3) → camera axes, about the same origin."""
        return points @ self.rotation.mT

    def project(self, points_cam: Tensor) -> Tensor:
        """Points about the body's origin, in camera axes (B, N, 3) → pixels (B, N, 2)."""
        absolute = points_cam + self.position_cam[:, None]
        depth = absolute[..., 2:].clamp_min(0.05)  # least depth that points are projected with
        return absolute[..., :2] / depth * self.focal_px[:, None, None] + self.centre_px[:, None]

    def ray(self, pixel: Tensor) -> Tensor:
        """Viewing directions (B, 3) through pixels (B, 2), with z = 1."""
        offset = (pixel - self.centre_px) / self.focal_px[:, None]
        return torch.cat((offset, torch.ones_like(offset[:, :1])), dim=1)


def sample_cameras(count: int, stature_m: Tensor | float, config: CameraConfig, generator: torch.Generator) -> Cameras:
    """Sample cameras around people of height `stature_m` (count,): any yaw, the rest from `config`."""
    device = generator.device

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    def normal(mean: float, spread: float) -> Tensor:
        return mean + spread * torch.randn(count, generator=generator, device=device)

    steep = uniform() < config.steep
    pitch = torch.where(steep, uniform(-config.steep_deg, config.steep_deg), normal(*config.pitch_deg))
    roll = normal(0, config.roll_deg)
    level = torch.tensor(WORLD_TO_CAMERA, device=device)
    rotation = (
        axis_rotation(2, torch.deg2rad(roll))
        @ axis_rotation(0, torch.deg2rad(pitch))
        @ level
        @ axis_rotation(2, uniform(0, 2 * torch.pi))
    )

    low, high = (0.5 / torch.tan(torch.deg2rad(torch.tensor(angle)) / 2) for angle in config.view_deg[::-1])
    focal = uniform(float(low), float(high)) * config.image_px
    aspect = uniform(0.55, 1.0)
    wide = uniform() < 0.5
    long_side = torch.full_like(aspect, config.image_px)
    size = torch.stack(
        (torch.where(wide, long_side, aspect * long_side), torch.where(wide, aspect * long_side, long_side)), dim=1
    )
    return place_cameras(rotation, focal, size, stature_m, config, generator)


def place_cameras(
    rotation: Tensor,
    focal: Tensor,
    size: Tensor,
    stature_m: Tensor | float,
    config: CameraConfig,
    generator: torch.Generator,
) -> Cameras:
    """Sample the places of people of height `stature_m` (B,) in images of cameras that are otherwise known.

    Args:
        rotation: (B, 3, 3) from the world to the cameras' axes.
        focal, size: (B,) focal lengths, and (B, 2) widths and heights, pixels.
        stature_m: (B,) metres.
        config: Its `fill`.
        generator: Random numbers.
    """
    count, device = len(focal), generator.device
    low, high = (float(torch.log(torch.tensor(share))) for share in config.fill)
    fill = torch.exp(low + (high - low) * torch.rand(count, generator=generator, device=device))
    person_px = fill * size.amin(dim=1)
    # Nearer than a person's height a body would reach behind the camera.
    depth = (focal * stature_m / person_px).clamp_min(1.3)
    # The root is anywhere the person still fits, or near the middle where the person does not; photographers aim at
    # people, so the middle is likelier than the border (the mean of two uniforms).
    slack = (size - 0.7 * person_px[:, None]).clamp_min(0.15 * size)
    shift = (torch.rand(count, 2, 2, generator=generator, device=device).mean(-1) - 0.5) * slack
    position = torch.cat((shift / focal[:, None] * depth[:, None], depth[:, None]), dim=1)
    return Cameras(rotation, position, focal, size / 2, size)
