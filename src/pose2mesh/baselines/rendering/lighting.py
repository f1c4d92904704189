"""Random Lambertian lighting: ambient light, brighter from above, and two directional lights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pose2mesh.baselines.rendering.visibility import Visibility


def view_normals(view: Visibility, vertices_cam: Tensor, faces: Tensor) -> Tensor:
    """Outward unit normals (N, 3) of the visible faces, in camera axes; vertices (B, V, 3), faces (F, 3)."""
    corner = vertices_cam.flatten(0, 1)[faces[view.face] + (view.person * vertices_cam.shape[1])[:, None]]
    return normalize(torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), dim=-1)


def sample_light(view: Visibility, normals: Tensor, folds: Tensor, generator: torch.Generator) -> Tensor:
    """Sample lights and return the irradiance (N, 3) of each visible pixel in red, green and blue, about 0 to 1.5.

    Args:
        view: Visible surface of B bodies; each body has its own lights.
        normals: (N, 3) unit normals in camera axes (y down, z forward).
        folds: (N, 2) slopes added by cloth folds.
        generator: Source of all randomness.
    """
    count, person = view.count, view.person

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    bent = normals.clone()
    bent[:, :2] += folds
    bent = normalize(bent, dim=-1)
    ambient = uniform(0.3, 0.7, 1) * (1 + uniform(-0.12, 0.12, 3))
    from_above = uniform(0.05, 0.35)
    light = ambient[person] * (1 - from_above[person] * bent[:, 1])[:, None]
    for strongest in (0.9, 0.5):
        # Lights are above more often than below the person, and in front more often than behind.
        direction = torch.randn(count, 3, generator=generator) + torch.tensor([0.0, -0.8, -0.7])
        direction = normalize(direction, dim=-1)
        colour = uniform(0.15, strongest, 1) * (1 + uniform(-0.15, 0.15, 3))
        light += (bent * direction[person]).sum(-1, keepdim=True).clamp_min(0) * colour[person]
    return light
