"""Rotations and similarity transforms of batches, in PyTorch.

Convention: rotations are active 3×3 matrices acting on column vectors; angles in radians. World frame: x to the
person's left in the rest pose, y backwards, z up (Anny's). Camera frame: x right, y down, z forward.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Rows are the camera's axes in the world frame, for a level camera that faces a person in the rest pose, along +y.
WORLD_TO_CAMERA = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


def axis_rotation(axis: int, angle_rad: Tensor) -> Tensor:
    """Rotations about the coordinate axis 0, 1 or 2. Angles (…) → (…, 3, 3)."""
    c, s = torch.cos(angle_rad), torch.sin(angle_rad)
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    rows = {
        0: (one, zero, zero, zero, c, -s, zero, s, c),
        1: (c, zero, s, zero, one, zero, -s, zero, c),
        2: (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, dim=-1).reshape(*angle_rad.shape, 3, 3)


def rotation_from_vector(vector: Tensor) -> Tensor:
    """Rodrigues' formula: rotation vectors (…, 3), unit axis times angle in radians, to matrices (…, 3, 3).

    The gradient is finite at the zero vector.
    """
    angle = vector.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    x, y, z = (vector / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).reshape(*vector.shape[:-1], 3, 3)
    angle = angle[..., None]
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + torch.sin(angle) * cross + (1 - torch.cos(angle)) * (cross @ cross)


def rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """Quaternions (…, 4), the real part first, of any length but 0, to rotations (…, 3, 3)."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*quaternion.shape[:-1], 3, 3)


def rotation_from_six(six: Tensor) -> Tensor:
    """Rotations (…, 3, 3) from the 6D representation (…, 6): two columns, made orthonormal (Zhou et al. 2019).

    The lengths of the columns do not matter, nor does the component of the second along the first.
    """
    first = torch.nn.functional.normalize(six[..., :3], dim=-1)
    across = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(across, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), dim=-1)


def six_of_rotation(rotation: Tensor) -> Tensor:
    """The 6D representation (…, 6) of rotations (…, 3, 3): their first two columns, one after the other."""
    return rotation[..., :2].mT.flatten(-2)


def rotation_between(source: Tensor, target: Tensor) -> Tensor:
    """The smallest rotations that turn directions `source` (…, 3) into `target` (…, 3), as (…, 3, 3).

    Lengths do not matter; a zero vector gives the identity. Opposite directions have no smallest rotation: half a turn
    about some perpendicular axis is returned.
    """
    source = torch.nn.functional.normalize(source, dim=-1)
    target = torch.nn.functional.normalize(target, dim=-1)
    cosine = (source * target).sum(-1, keepdim=True)
    axis = torch.linalg.cross(source, target)
    sine = axis.norm(dim=-1, keepdim=True)
    # Near half a turn the cross product is mostly rounding error, part of it along `source`: remove that component.
    axis = axis - (axis * source).sum(-1, keepdim=True) * source
    length = axis.norm(dim=-1, keepdim=True)
    least = torch.nn.functional.one_hot(source.abs().argmin(-1), 3).to(source.dtype)
    perpendicular = torch.nn.functional.normalize(torch.linalg.cross(source, least), dim=-1)
    axis = torch.where(length > 1e-15, axis / length.clamp_min(1e-15), perpendicular)
    return rotation_from_vector(axis * torch.atan2(sine, cosine))


def nearest_rotation(matrix: Tensor) -> Tensor:
    """The rotations (..., 3, 3) that are closest to matrices (..., 3, 3) in least squares; never mirrored."""
    u, _, vt = torch.linalg.svd(matrix)
    u[..., -1] = u[..., -1] * torch.linalg.det(u @ vt)[..., None]
    return u @ vt


def procrustes_align(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Align points to others by the best similarity transform (rotation, one scale, translation), after Umeyama 1991.

    Args:
        source: (B, N, 3) points to move.
        target: (B, N, 3) points to meet, in the same unit.
        weights: (B, N) or (N,) non-negative with a positive sum, or None for equal ones.

    Returns:
        (B, N, 3): `source` transformed; never mirrored. Points that all coincide go to the mean of the target.
    """
    if weights is None:
        weights = torch.ones(source.shape[:2], dtype=source.dtype, device=source.device)
    weights = (weights / weights.sum(-1, keepdim=True)).expand(source.shape[:2])[..., None]
    source_mean, target_mean = (weights * source).sum(1, keepdim=True), (weights * target).sum(1, keepdim=True)
    centred_source, centred_target = source - source_mean, target - target_mean
    covariance = (weights * centred_target).mT @ centred_source
    u, singular, vt = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[..., -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    variance = (weights * centred_source.square()).sum((1, 2))
    scale = (singular * sign).sum(-1) / variance.clamp_min(1e-12)
    return scale[:, None, None] * centred_source @ rotation.mT + target_mean


def best_scale(source: Tensor, target: Tensor) -> Tensor:
    """The scale per sample, (B, 1, 1), that brings root-relative `source` (B, N, 3) closest to `target` (B, N, 3).

    Closest in least squares: negative where the two point away from each other, and 0 where `source` is all zeros.
    """
    dot = (source * target).sum((1, 2), keepdim=True)
    return dot / source.square().sum((1, 2), keepdim=True).clamp_min(1e-12)
