"""Similarity of 2D poses: object keypoint similarity (OKS) and overlap of boxes (IoU), of all pairs at once."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]

# Area of a person / area of the box, as COCO's tools assume where there is no segmentation.
_FILLED = 0.53


def joint_boxes(joints_px: Floats, confidence: Floats) -> Floats:
    """Boxes (P, 4) of the detected joints (P, J, 2), no side below a quarter of the other; zeros without joints."""
    present = (confidence > 0)[..., None]
    low = np.where(present, joints_px, np.inf).min(1, initial=np.inf)
    high = np.where(present, joints_px, -np.inf).max(1, initial=-np.inf)
    nothing = ~present.any((1, 2))
    low[nothing] = high[nothing] = 0
    sides = high - low
    margin = np.maximum(0.125 * sides.max(-1, keepdims=True, initial=0) - sides / 2, 0)
    return np.concatenate([low - margin, high + margin], axis=-1)


def box_areas(boxes: Floats) -> Floats:
    """Areas (…) of boxes (…, 4)."""
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def box_overlaps(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Intersection over union (…), and over the smaller box, of boxes (…, 4), which are broadcast."""
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = box_areas(first), box_areas(second)
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-9), shared / np.maximum(np.minimum(*areas), 1e-9)


def keypoint_similarity(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], sigmas: Floats, areas: Floats
) -> Floats:
    """OKS (P, Q) over the joints that both have; 0 without such joints.

    Args:
        first: Joints (P, J, 2) and confidences (P, J).
        second: Joints (Q, J, 2) and confidences (Q, J).
        sigmas: (J,) of the joint set.
        areas: (P, Q) areas of the boxes in pixels².
    """
    both = (first[1][:, None] > 0) & (second[1] > 0)
    squared = ((first[0][:, None] - second[0]) ** 2).sum(-1)
    scale = 2 * np.maximum(_FILLED * areas, 1)[..., None] * (2 * sigmas) ** 2
    return (np.exp(-squared / scale) * both).sum(-1) / np.maximum(both.sum(-1), 1)


def similar_poses(first: tuple[Floats, Floats], second: tuple[Floats, Floats], sigmas: Floats) -> Floats:
    """Mean of OKS and IoU (P, Q) of poses, each given by joints and confidences; the OKS by the mean area of both."""
    boxes = joint_boxes(*first), joint_boxes(*second)
    areas = (box_areas(boxes[0])[:, None] + box_areas(boxes[1])) / 2
    oks = keypoint_similarity(first, second, sigmas, areas)
    return (oks + box_overlaps(boxes[0][:, None], boxes[1])[0]) / 2
