"""Accuracy of a detector of 2D poses on annotated images: COCO's AP of keypoints, precision, recall, and doubles.

Written from the definition of the COCO keypoint evaluation (cocodataset.org, "Keypoint Evaluation"): a detection is
compared with a person by OKS, whose scale is the annotated area of the person; per image the 20 detections with the
best scores are matched in the order of their scores, each to the free person with the highest OKS; AP is the mean
precision at 101 recalls, averaged over the OKS thresholds 0.50, 0.55 … 0.95. People without labelled keypoints and
crowd regions are ignored: they do not count as missed, and a detection matched to one is neither right nor wrong. Its
OKS is computed from the distances of the joints to the annotated box enlarged threefold; a crowd region takes any
number of detections. On 28 images of COCO all values agree with those of pycocotools to three digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.nms import box_iou
from pose2mesh.skeletons import COCO, COCO17

Floats = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST_DETECTIONS = 20  # per image
AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # pixels²
FOUND_OKS = 0.5
SHARED_OF_SMALLER, SHARED_OF_UNION = 0.7, 0.2  # boxes of the same person
_RECALLS = np.linspace(0, 1, 101)
_VARIANCES = np.square(2 * np.array(COCO.oks_sigmas[: len(COCO17)]))


@dataclass(frozen=True, eq=False)
class AnnotatedPerson:
    """A person, or a crowd region, of an annotation file.

    Attributes:
        joints_px: (17, 2) pixels.
        labelled: (17,) bool.
        box_px: (4,) left, top, right, bottom.
        area: Area of the person's mask in pixels².
        is_crowd: Whether it is a region of several people.
    """

    joints_px: Floats
    labelled: NDArray[np.bool_]
    box_px: Floats
    area: float
    is_crowd: bool = False


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """The annotated people of an image, and the detections in it."""

    people: Sequence[AnnotatedPerson]
    detections: Sequence[Detection]


class Outcome(Enum):
    """What a detection is.

    FOUND: matched to a person with OKS of at least 0.5. IGNORED: matched to one that does not count. DOUBLE: a further
    detection of a person who has one. MISPLACED: the only detection of a person, with OKS below 0.5. FALSE: at no
    annotated person. A detection that is not matched is one of a person if its OKS with them is at least 0.5, or their
    boxes share 0.7 of the smaller one and 0.2 of their union.
    """

    FOUND = "found"
    IGNORED = "ignored"
    DOUBLE = "double"
    MISPLACED = "misplaced"
    FALSE = "false"


def oks(detections: Sequence[Detection], people: Sequence[AnnotatedPerson]) -> Floats:
    """COCO's OKS (D, G) of detections with annotated people; joints of any confidence are compared."""
    table = np.zeros((len(detections), len(people)))
    for column, person in enumerate(people):
        compared = person.labelled if person.labelled.any() else np.ones(len(COCO17), bool)
        for row, detection in enumerate(detections):
            joints = detection.joints_px.astype(np.float64)
            if person.labelled.any():
                away = joints - person.joints_px
            else:
                extent = person.box_px[2:] - person.box_px[:2]
                low, high = person.box_px[:2] - extent, person.box_px[2:] + extent
                away = np.maximum(low - joints, 0) + np.maximum(joints - high, 0)
            squared = np.square(away).sum(axis=1) / _VARIANCES / max(person.area, 1e-9) / 2
            table[row, column] = np.exp(-squared[compared]).mean()
    return table


def outcomes(image: AnnotatedImage, least_labelled: int = 1) -> tuple[list[Outcome], NDArray[np.bool_]]:
    """Classify the detections of an image at OKS 0.5; people with fewer labelled joints than given are ignored.

    Returns:
        The outcome of each detection, and (G,) whether each person is found, which only counted people can be.
    """
    similarity = oks(image.detections, image.people)
    ignored = _ignored(image.people, least_labelled)
    matches = _match(similarity, [one.score for one in image.detections], ignored, image.people, FOUND_OKS)
    boxes = np.stack([person.box_px for person in image.people]) if image.people else np.zeros((0, 4))
    found = np.zeros(len(image.people), bool)
    found[matches[matches >= 0]] = True
    taken = found.copy()
    found &= ~ignored
    result = [Outcome.FALSE] * len(image.detections)
    for row in np.argsort([-one.score for one in image.detections], kind="stable"):
        if matches[row] >= 0:
            result[row] = Outcome.IGNORED if ignored[matches[row]] else Outcome.FOUND
            continue
        person = _person_of(image.detections[row].box_px.astype(np.float64), boxes, similarity[row])
        if person is not None:
            result[row] = Outcome.DOUBLE if taken[person] else Outcome.MISPLACED
            taken[person] = True
    return result, found


def _person_of(box: Floats, boxes: Floats, similarity: Floats) -> int | None:
    """Index of the person of whom a detection with a box (4,) is one, given their boxes (G, 4) and OKS (G,)."""
    if not len(boxes):
        return None
    union = box_iou(box, boxes)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    area = np.prod(box[2:] - box[:2])
    shared = union / (1 + union) * (area + areas)
    same_box = (shared >= SHARED_OF_SMALLER * np.minimum(area, areas)) & (union >= SHARED_OF_UNION)
    candidates = np.flatnonzero(same_box | (similarity >= FOUND_OKS))
    likeness = np.maximum(union, similarity)[candidates]
    return int(candidates[likeness.argmax()]) if len(candidates) else None


def average_precision(
    images: Sequence[AnnotatedImage], least_labelled: int = 1, area: str = "all"
) -> tuple[Floats, Floats]:
    """AP and the highest recall, per threshold of `THRESHOLDS`: (10,) each; NaN where no person counts.

    Args:
        images: Annotated images with their detections.
        least_labelled: People with fewer labelled joints are ignored; COCO ignores those with none.
        area: A key of `AREAS`; people of other areas, and unmatched detections of other areas, are ignored.
    """
    low, high = AREAS[area]
    scores, right, wrong, people = [], [], [], 0
    for image in images:
        chosen = sorted(image.detections, key=lambda one: -one.score)[:MOST_DETECTIONS]
        areas = np.array([person.area for person in image.people])
        ignored = _ignored(image.people, least_labelled) | (areas < low) | (areas > high)
        people += int((~ignored).sum())
        similarity = oks(chosen, image.people)
        extents = np.array([np.prod(np.ptp(one.joints_px, axis=0)) for one in chosen])
        outside = (extents < low) | (extents > high)
        own_scores = [one.score for one in chosen]
        matches = np.stack([_match(similarity, own_scores, ignored, image.people, t) for t in THRESHOLDS])
        counted = np.append(~ignored, False)[matches]  # index -1, not matched, reads the last
        scores += own_scores
        right.append((matches >= 0) & counted)
        wrong.append((matches < 0) & ~outside)
    order = np.argsort(-np.array(scores), kind="stable")
    empty = np.zeros((len(THRESHOLDS), 0), bool)
    hits = np.concatenate([empty, *right], axis=1)[:, order].cumsum(axis=1)
    misses = np.concatenate([empty, *wrong], axis=1)[:, order].cumsum(axis=1)
    if not people:
        return np.full(len(THRESHOLDS), np.nan), np.full(len(THRESHOLDS), np.nan)
    curves = [_interpolated(hit, miss, people) for hit, miss in zip(hits, misses, strict=True)]
    recalls = hits[:, -1] / people if len(order) else np.zeros(len(THRESHOLDS))
    return np.array([curve.mean() for curve in curves]), recalls


def _interpolated(hits: NDArray[np.integer], misses: NDArray[np.integer], people: int) -> Floats:
    """Precision (101,) at `_RECALLS`: at each the highest precision at that or a higher recall, 0 beyond the last."""
    precision = hits / np.maximum(hits + misses, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(hits / people, _RECALLS, side="left")
    return np.append(precision, 0.0)[index]


def _ignored(people: Sequence[AnnotatedPerson], least_labelled: int) -> NDArray[np.bool_]:
    return np.array([one.is_crowd or one.labelled.sum() < max(least_labelled, 1) for one in people], bool)


def _match(
    similarity: Floats,
    scores: Sequence[float],
    ignored: NDArray[np.bool_],
    people: Sequence[AnnotatedPerson],
    threshold: float,
) -> NDArray[np.intp]:
    """Index of the person matched to each detection, (D,); -1 for none. Counted people come before ignored ones."""
    matches = np.full(len(scores), -1, np.intp)
    is_crowd = np.array([person.is_crowd for person in people], bool)
    free = np.ones(len(people), bool)
    for row in np.argsort(-np.asarray(scores), kind="stable"):
        for group in (~ignored, ignored):
            candidates = np.flatnonzero(group & (free | is_crowd) & (similarity[row] >= threshold))
            if len(candidates):
                matches[row] = candidates[similarity[row, candidates].argmax()]
                free[matches[row]] = False
                break
    return matches
