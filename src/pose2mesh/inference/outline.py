"""Where the outline of a projected body should move to meet a mask: pairs of surface points and edges of the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.io.body_mask import BodyMask

Floats: TypeAlias = NDArray[np.floating]

# Largest cosine between the normal and the viewing ray at a point of the outline.
_GRAZING = 0.35
_CANDIDATES, _POINTS = 160, 96
# A point is inside the body's outline, for example of an arm before the torso, if another point of the surface lies in
# this box beyond it: from, to, and to either side, metres at the depth of the person.
_BEYOND_M, _BESIDE_M = (0.02, 0.07), 0.03
# Edges of the mask are searched along the normal, to both sides.
_STEPS_M = np.linspace(-0.15, 0.15, 25, dtype=np.float32)


@dataclass(frozen=True)
class OutlinePairs:
    """Points of the outline of `P` people, and where the mask ends nearest to them along their normals.

    Attributes:
        points: (P, N) indices into the surface points.
        normals: (P, N, 2) unit outward normals in the image.
        targets_px: (P, N, 2) the nearest edges of the mask.
        found: (P, N) 1 where there is such an edge, else 0.
    """

    points: NDArray[np.int64]
    normals: Floats
    targets_px: Floats
    found: Floats


def match_outline(
    surface: Floats,
    normals: Floats,
    pixels: Floats,
    px_per_m: Floats,
    masks: Sequence[BodyMask | None],
    distorted: Sequence[Intrinsics | None],
) -> OutlinePairs:
    """Pair the outlines of people with their masks.

    Args:
        surface: (P, S, 3) points of the surface, camera frame.
        normals: (P, S, 3) outward normals there.
        pixels: (P, S, 2) their projections without distortion.
        px_per_m: (P,) scale at the depth of each person.
        masks: One for each person, or None.
        distorted: The camera of each person whose image, and mask, is distorted, else None.
    """
    rays = surface / np.maximum(np.linalg.norm(surface, axis=-1, keepdims=True), 1e-6)
    facing = (normals * rays).sum(-1)
    facing = facing / np.maximum(np.linalg.norm(normals, axis=-1), 1e-6)
    # The derivative of the projection maps a normal that is perpendicular to the ray to the outline's normal.
    across = normals[..., :2] - surface[..., :2] / np.maximum(surface[..., 2:], 0.05) * normals[..., 2:]
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    P = len(surface)
    points = np.zeros((P, _POINTS), np.int64)
    found, targets = np.zeros((P, _POINTS), np.float32), np.zeros((P, _POINTS, 2), np.float32)
    for person, mask in enumerate(masks):
        if mask is not None:
            place_m = (pixels[person] / px_per_m[person]).astype(np.float32)
            chosen = _outline(place_m, across[person], np.abs(facing[person]))
            points[person, : len(chosen)] = chosen
            line_m = place_m[chosen, None] + _STEPS_M[:, None] * across[person, chosen, None]
            line_px = line_m * px_per_m[person]
            if (camera := distorted[person]) is not None:
                line_px = camera.project(camera.pinhole.rays(line_px))
            edges_m, exists = _edges(place_m[chosen], across[person, chosen], mask.sample(line_px) - 0.5)
            targets[person, : len(chosen)] = edges_m * px_per_m[person]
            found[person, : len(chosen)] = exists
    return OutlinePairs(points, np.take_along_axis(across, points[..., None], 1), targets, found)


def _outline(place_m: Floats, normals: Floats, grazing: Floats) -> NDArray[np.int64]:
    """Indices (≤ N,) of the points (S, 2) on the outline, of those that are seen at a grazing angle."""
    count = min(_CANDIDATES, len(place_m) - 1)
    candidates = np.argpartition(grazing, count)[:count]
    candidates = np.sort(candidates[grazing[candidates] < _GRAZING])
    normal, x, y = normals[candidates], place_m[:, 0], place_m[:, 1]
    beyond = normal @ place_m.T - (normal * place_m[candidates]).sum(-1)[:, None]
    beside = normal[:, :1] * y - normal[:, 1:] * x
    beside -= np.take_along_axis(beside, candidates[:, None], 1)
    covered = (beyond > _BEYOND_M[0]) & (beyond < _BEYOND_M[1]) & (np.abs(beside) < _BESIDE_M)
    outline = candidates[~covered.any(1)]
    return outline[:: -(-len(outline) // _POINTS)] if len(outline) > _POINTS else outline


def _edges(place_m: Floats, normals: Floats, excess: Floats) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The edge of the mask (N, 2) nearest to each point along its normal, in metres, and whether there is one.

    `excess` (N, steps) is what the mask's probability exceeds one half by, along the normals.
    """
    before, after = excess[:, :-1], excess[:, 1:]
    leaves = (before > 0) & (after <= 0)
    where = _STEPS_M[:-1] + (_STEPS_M[1] - _STEPS_M[0]) * before / np.where(leaves, before - after, 1)
    distance = np.where(leaves, np.abs(where), np.inf)
    nearest = distance.argmin(1)[:, None]
    exists = np.isfinite(np.take_along_axis(distance, nearest, 1)[:, 0])
    return place_m + np.take_along_axis(where, nearest, 1) * normals, exists
