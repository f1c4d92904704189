"""Orientations in which a body rests on a floor, whatever its pose."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.body_points import centre_of_mass, surface_spheres
from pose2mesh.datasets.synthetic.pose_tree import random_rotations
from pose2mesh.geometry.rotations import rotation_between

_DIRECTIONS = 100  # some 20° from one to the next
_NEIGHBOURS = 5
_SPREAD_RAD = 0.08


def sample_rest_rotations(pose: Tensor, temperature_m: float, generator: torch.Generator) -> Tensor:
    """Rotations (B, 3, 3) after which the bodies rest on a floor: lying, sitting, kneeling, on hands and knees.

    For an upward direction u the height of the centre of mass above the floor is E(u) = c·u − min (xᵢ·u − rᵢ), over
    spheres at xᵢ of radius rᵢ on the body's surface. Where E has a local minimum, the body does not tip over. One of
    the minima among 100 directions is sampled with probability ∝ exp(−E / temperature), and changed a little.

    Args:
        pose: (B, 22, 3, 3).
        temperature_m: The larger, the more often a body rests with its centre of mass high above the floor.
        generator: All randomness.
    """
    directions, neighbours = _sphere(pose.device)
    directions = directions @ random_rotations(1, generator)[0].mT  # else the same 100 for every batch
    centres, radii = surface_spheres(pose)
    # Directions last: the minimum over the spheres runs over contiguous memory.
    lowest = (centres.mT @ directions.T - radii[:, None]).amin(1)
    height = centre_of_mass(pose) @ directions.T - lowest
    around = height.index_select(1, neighbours.flatten()).unflatten(1, neighbours.shape).amin(1)
    logits = (-height / temperature_m).masked_fill(height > around, -torch.inf)
    chosen = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    noise = torch.randn(len(pose), 3, generator=generator, device=pose.device)
    up = directions[chosen] + _SPREAD_RAD * noise
    return rotation_between(up, up.new_tensor([0.0, 0.0, 1.0]).expand_as(up))


@cache
def _sphere(device: torch.device) -> tuple[Tensor, Tensor]:
    """Unit vectors (100, 3) evenly over the sphere, on a Fibonacci spiral, and the five nearest of each (5, 100)."""
    number = np.arange(_DIRECTIONS) + 0.5
    z = 1 - 2 * number / _DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * number
    radius = np.sqrt(1 - z**2)
    unit = torch.tensor(np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1), dtype=torch.float32)
    nearest = (unit @ unit.T).topk(_NEIGHBOURS + 1, dim=1).indices[:, 1:].T.contiguous()
    return unit.to(device), nearest.to(device)
