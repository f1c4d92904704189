"""Whether two boxes or two poses are of one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.registry import Detection
from pose2mesh.skeletons import COCO, COCO17

# Of the different people labelled in 28 photos of COCO one pair is more alike (0.61), and the next is so by 0.11.
SAME_POSE = 0.6
_LEAST_SHARED = 4  # joints
_BODY_SHARE = 0.7  # of the box around the joints
_SIGMAS = np.array(COCO.oks_sigmas[: len(COCO17)])


def overlap(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of a box (4,) with boxes (P, 4), (P,); left, top, right, bottom."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    both = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(shared / np.maximum(both - shared, 1e-9))


def suppress_boxes(boxes: NDArray[np.floating], scores: NDArray[np.floating], most: float) -> list[int]:
    """The boxes (P, 4) to keep, best score first, so that no two overlap by more than `most`."""
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        kept.append(int(left[0]))
        left = left[1:][overlap(boxes[left[0]], boxes[left[1:]]) <= most]
    return kept


def similarity(first: Detection, second: Detection) -> float:
    """Keypoint similarity (OKS, as COCO's evaluation has it) of two poses over the joints that both have, 0 to 1.

    The area is that of the larger one's joints, so that part of a person is found to be the same as the whole.
    """
    seen = (first.confidence > 0) & (second.confidence > 0)
    if seen.sum() < _LEAST_SHARED:
        return 0.0
    area = _BODY_SHARE * max(
        float(np.prod(np.ptp(one.joints_px[one.confidence > 0], axis=0))) for one in (first, second)
    )
    squared = np.square(first.joints_px - second.joints_px).sum(axis=1)[seen]
    return float(np.exp(-squared / (2 * max(area, 1.0) * np.square(2 * _SIGMAS[seen]))).mean())


def remove_duplicates(people: Sequence[Detection], same: float = SAME_POSE) -> list[Detection]:
    """Everyone once, best score first: of poses more alike than `same` the one with the best score."""
    kept: list[Detection] = []
    for person in sorted(people, key=lambda person: -person.score):
        if all(similarity(person, other) <= same for other in kept):
            kept.append(person)
    return kept
