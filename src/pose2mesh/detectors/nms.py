"""Non-maximum suppression of boxes by overlap (IoU), and of people by their joints, boxes and silhouettes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import BodyMask, Detection
from pose2mesh.skeletons import COCO, COCO17

# Among the 608 pairs of people annotated in the same of 28 images of COCO one has an OKS of 0.61, the next 0.11, and no
# two boxes have an IoU above 0.46; a box within another one has at most 0.36 of it.
SAME_POSE = 0.4
SAME_BOX = 0.6
_CONTAINED, _CONTAINED_IOU = 0.9, 0.45  # share of the smaller box, and IoU, of a person detected in part and whole
SAME_MASK = 0.75  # share of the smaller silhouette
_MASK_SAMPLES = 48  # a side
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


def same_person(first: Detection, second: Detection, same_pose: float = SAME_POSE) -> bool:
    """Whether two detections are of one person: by the joints detected in both, the boxes, or the silhouettes."""
    if pose_similarity(first, second) > same_pose:
        return True
    overlap = float(box_iou(first.box_px, second.box_px[None])[0])
    areas = [float(np.prod(one.box_px[2:] - one.box_px[:2])) for one in (first, second)]
    shared = overlap / (1 + overlap) * sum(areas)
    if overlap > SAME_BOX or (shared > _CONTAINED * min(areas) and overlap > _CONTAINED_IOU):
        return True
    if first.mask is None or second.mask is None or not shared:
        return False
    return mask_overlap(first.mask, second.mask) > SAME_MASK


def mask_overlap(first: BodyMask, second: BodyMask) -> float:
    """Share of the smaller silhouette, in [0, 1], that lies within the larger one."""
    seen, areas = [], []
    for one, other in ((first, second), (second, first)):
        height, width = one.probability.shape
        x, y = (np.linspace(0, side - 1, min(side, _MASK_SAMPLES)) for side in (width, height))
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        inside = _sample(one, grid @ one.to_image[:, :2].T + one.to_image[:, 2])
        shared = np.minimum(inside, _sample(other, grid @ one.to_image[:, :2].T + one.to_image[:, 2]))
        sample_px = abs(float(np.linalg.det(one.to_image[:, :2]))) * height * width / len(grid)
        areas.append(float(inside.sum()) * sample_px)
        seen.append(float(shared.sum()) / max(float(inside.sum()), 1e-9))
    return seen[int(np.argmin(areas))]


def _sample(mask: BodyMask, points_px: NDArray[np.floating]) -> NDArray[np.floating]:
    """Probabilities (N,) of a silhouette at pixels (N, 2) of the image; 0 outside the mask."""
    inverse = np.linalg.inv(mask.to_image[:, :2])
    cells = np.rint((points_px - mask.to_image[:, 2]) @ inverse.T).astype(int)
    height, width = mask.probability.shape
    inside = ((cells >= 0) & (cells < (width, height))).all(axis=1)
    values = np.zeros(len(cells))
    values[inside] = mask.probability[cells[inside, 1], cells[inside, 0]]
    return values


def remove_duplicates(people: Sequence[Detection], same_pose: float = SAME_POSE) -> list[Detection]:
    """Keep the best-scored detection of each person (`same_person`); the result is sorted, best score first."""
    kept: list[Detection] = []
    for person in sorted(people, key=lambda person: -person.score):
        if not any(same_person(person, other, same_pose) for other in kept):
            kept.append(person)
    return kept
