"""Non-maximum suppression of boxes by overlap (IoU) and of poses by keypoint similarity (OKS)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection
from pose2mesh.skeletons import COCO, COCO17

# Among the different people labelled in 28 images of COCO one pair is more similar (0.61), the next has 0.11.
SAME_POSE = 0.6
_LEAST_SHARED = 4  # joints
_BODY_SHARE = 0.7  # person's area / area of the box around the joints
_SIGMAS = np.array(COCO.oks_sigmas[: len(COCO17)])


def box_iou(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union (P,) of a box (4,) with boxes (P, 4); each is left, top, right, bottom."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    both = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(shared / np.maximum(both - shared, 1e-9))


def suppress_boxes(boxes: NDArray[np.floating], scores: NDArray[np.floating], most: float) -> list[int]:
    """Indices of the boxes (P, 4) to keep, best score first, so that no two overlap by more than `most` (IoU)."""
    remaining, kept = np.argsort(-scores, kind="stable"), []
    while len(remaining):
        kept.append(int(remaining[0]))
        remaining = remaining[1:][box_iou(boxes[remaining[0]], boxes[remaining[1:]]) <= most]
    return kept


def pose_similarity(first: Detection, second: Detection) -> float:
    """Object keypoint similarity (OKS, as in COCO's evaluation), 0 to 1, over the joints detected in both poses.

    The area is that of the larger pose, so that a detection of part of a person matches the detection of the whole.
    """
    common = (first.confidence > 0) & (second.confidence > 0)
    if common.sum() < _LEAST_SHARED:
        return 0.0
    area = _BODY_SHARE * max(
        float(np.prod(np.ptp(one.joints_px[one.confidence > 0], axis=0))) for one in (first, second)
    )
    squared = np.square(first.joints_px - second.joints_px).sum(axis=1)[common]
    return float(np.exp(-squared / (2 * max(area, 1.0) * np.square(2 * _SIGMAS[common]))).mean())


def remove_duplicates(people: Sequence[Detection], same: float = SAME_POSE) -> list[Detection]:
    """Keep the best-scored of detections more similar than `same` (OKS); the result is sorted, best score first."""
    kept: list[Detection] = []
    for person in sorted(people, key=lambda person: -person.score):
        if all(pose_similarity(person, other) <= same for other in kept):
            kept.append(person)
    return kept
