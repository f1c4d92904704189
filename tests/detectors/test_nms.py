from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pose2mesh.detectors.nms import box_iou, pose_similarity, remove_duplicates, suppress_boxes


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
