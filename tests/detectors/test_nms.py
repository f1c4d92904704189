from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pose2mesh.detectors.detection import BodyMask
from pose2mesh.detectors.nms import (
    box_iou,
    mask_overlap,
    pose_similarity,
    remove_duplicates,
    same_person,
    suppress_boxes,
)


def test_overlap_is_intersection_over_union() -> None:
    box = np.array([0.0, 0.0, 10.0, 10.0])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 7, 7]], np.float64)
    np.testing.assert_allclose(box_iou(box, others), [1, 1 / 3, 0, 0.25])


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [9, 0, 19, 10]], np.float64)
    assert suppress_boxes(boxes, np.array([0.5, 0.9, 0.3, 0.8]), 0.45) == [1, 3, 2]
    assert suppress_boxes(np.zeros((0, 4)), np.zeros(0), 0.45) == []


def test_similarity_falls_with_the_distance_in_relation_to_the_size(person: Callable) -> None:
    assert pose_similarity(person(), person()) == pytest.approx(1)
    values = [pose_similarity(person(), person(shift)) for shift in (2, 10, 30, 100)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.1


def test_part_of_a_person_is_the_same_as_the_whole(person: Callable) -> None:
    assert pose_similarity(person(detected=6), person(2)) > 0.9
    assert pose_similarity(person(detected=3), person()) == 0


def test_each_person_is_kept_once_best_first(person: Callable) -> None:
    first, again, other = person(score=0.5), person(2, score=0.9), person(300, score=0.7)
    assert remove_duplicates([first, again, other]) == [again, other]
    assert remove_duplicates([]) == []


def test_people_in_the_same_box_are_one(person: Callable) -> None:
    other_pose = replace(person(), joints_px=person().joints_px[::-1])
    assert pose_similarity(person(), other_pose) < 0.3
    assert same_person(person(), other_pose)
    assert not same_person(person(), replace(other_pose, box_px=other_pose.box_px + 60))


def test_a_part_of_a_person_within_the_whole_is_the_same(person: Callable) -> None:
    upper = replace(person(detected=3), box_px=np.array([2, 0, 98, 100], np.float32))
    assert same_person(person(), upper)
    child = replace(person(detected=3), box_px=np.array([60, 120, 98, 198], np.float32))
    assert not same_person(person(), child)


def silhouette(left: float, scale: float = 2.0) -> BodyMask:
    """A disc of radius 20 px, 40 px to the right of `left`."""
    side = round(80 / scale)
    y, x = np.mgrid[:side, :side] * scale
    probability = (np.hypot(x - 40, y - 40) < 20).astype(np.float32)
    return BodyMask(probability, np.array([[scale, 0, left], [0, scale, 0]]))


def test_silhouettes_overlap_whatever_their_resolution() -> None:
    assert mask_overlap(silhouette(0), silhouette(0, scale=1.0)) > 0.9
    assert mask_overlap(silhouette(0), silhouette(10)) == pytest.approx(0.685, abs=0.06)
    assert mask_overlap(silhouette(0), silhouette(60)) == 0
    turned = BodyMask(silhouette(0).probability, np.array([[0, 2.0, 0], [2.0, 0, 0]]))
    assert mask_overlap(silhouette(0), turned) > 0.9


def test_people_with_the_same_silhouette_are_one(person: Callable) -> None:
    first = replace(person(), mask=silhouette(0))
    second = replace(person(60), joints_px=first.joints_px[::-1], mask=silhouette(2))
    assert same_person(first, second)
    assert not same_person(first, replace(second, mask=silhouette(60)))
