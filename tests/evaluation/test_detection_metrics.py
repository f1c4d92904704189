"""COCO's AP of keypoints, and what detections are: made up people, and counts that can be done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.detection import Detection
from pose2mesh.evaluation.detection_metrics import (
    AnnotatedImage,
    AnnotatedPerson,
    Outcome,
    average_precision,
    oks,
    outcomes,
)
from pose2mesh.skeletons import COCO

POSE = np.random.default_rng(0).uniform(0, 1, (17, 2)) * (40, 100)


def annotated(x: float, labelled: int = 17, is_crowd: bool = False) -> AnnotatedPerson:
    box = np.array([x, 0, x + 40, 100], float)
    return AnnotatedPerson(POSE + np.array([x, 0]), np.arange(17) < labelled, box, 2800.0, is_crowd)


def detected(x: float, score: float = 0.9, size: float = 1.0) -> Detection:
    joints = (POSE * size + (x, 0)).astype(np.float32)
    box = np.concatenate([joints.min(axis=0), joints.max(axis=0)])
    return Detection(joints, np.ones(17, np.float32), box, score)


def test_oks_is_the_mean_of_cocos_gaussians_over_labelled_joints() -> None:
    sigmas = np.array(COCO.oks_sigmas[:17])
    expected = np.exp(-(3.0**2) / (2 * 2800 * (2 * sigmas) ** 2))
    assert oks([detected(3)], [annotated(0)])[0, 0] == pytest.approx(expected.mean(), abs=1e-5)
    assert oks([detected(3)], [annotated(0, labelled=5)])[0, 0] == pytest.approx(expected[:5].mean(), abs=1e-5)


def test_oks_with_a_person_without_labels_is_the_distance_to_the_threefold_box() -> None:
    person = annotated(0, labelled=0)
    assert oks([detected(0), detected(39)], [person])[:, 0].tolist() == [1, 1]
    assert oks([detected(400)], [person])[0, 0] < 0.01


def test_outcomes_of_detections() -> None:
    image = AnnotatedImage(
        [annotated(0), annotated(200), annotated(400, is_crowd=True), annotated(600, labelled=0), annotated(2000)],
        [
            detected(0, 0.9), detected(1, 0.8),  # found, and again
            detected(205, 0.7, size=0.75), detected(205, 0.6, size=0.7),  # at the person, but not their pose
            detected(400, 0.5), detected(402, 0.5), detected(600, 0.5), detected(1000, 0.4),
        ],
    )  # fmt: skip
    kinds, found = outcomes(image)
    assert [kind.name for kind in kinds] == [
        "FOUND", "DOUBLE", "MISPLACED", "DOUBLE", "IGNORED", "IGNORED", "IGNORED", "FALSE",
    ]  # fmt: skip
    assert found.tolist() == [True, False, False, False, False]


def test_people_with_few_labels_are_ignored_on_request() -> None:
    image = AnnotatedImage([annotated(0, labelled=7), annotated(200, labelled=8)], [detected(0), detected(200)])
    kinds, found = outcomes(image, least_labelled=8)
    assert kinds == [Outcome.IGNORED, Outcome.FOUND]
    assert found.tolist() == [False, True]


def test_the_better_score_is_matched_first() -> None:
    image = AnnotatedImage([annotated(0)], [detected(4, 0.5), detected(0, 0.4)])
    assert outcomes(image)[0] == [Outcome.FOUND, Outcome.DOUBLE]


def test_average_precision_by_hand() -> None:
    # Two people; the detections in the order of their scores: right, wrong, right. Precision is 1 up to a recall of a
    # half, and two thirds above: 51 and 50 of the 101 recalls.
    image = AnnotatedImage([annotated(0), annotated(200)], [detected(0, 0.9), detected(900, 0.8), detected(200, 0.7)])
    precisions, recalls = average_precision([image])
    assert precisions == pytest.approx(np.full(10, (51 + 50 * 2 / 3) / 101))
    assert recalls == pytest.approx(np.ones(10))


def test_the_order_of_scores_counts_across_images_and_misses_lower_the_recall() -> None:
    right = AnnotatedImage([annotated(0), annotated(200)], [detected(0, 0.3)])
    wrong = AnnotatedImage([], [detected(0, 0.8)])
    precisions, recalls = average_precision([right, wrong])
    assert precisions == pytest.approx(np.full(10, 51 * 0.5 / 101))
    assert recalls == pytest.approx(np.full(10, 0.5))


def test_a_less_exact_pose_counts_at_low_thresholds_only() -> None:
    image = AnnotatedImage([annotated(0)], [detected(5)])
    similarity = oks(image.detections, image.people)[0, 0]
    precisions, _ = average_precision([image])
    assert 0.5 < similarity < 0.95
    assert precisions.tolist() == [1.0 if similarity >= t else 0.0 for t in np.linspace(0.5, 0.95, 10)]


def test_areas_and_images_without_people_or_detections() -> None:
    image = AnnotatedImage([annotated(0)], [detected(0)])
    assert average_precision([image], area="medium")[0] == pytest.approx(np.ones(10))
    assert np.isnan(average_precision([image], area="large")[0]).all()
    assert average_precision([AnnotatedImage([annotated(0)], [])])[0].tolist() == [0.0] * 10
    assert np.isnan(average_precision([AnnotatedImage([], [])])[0]).all()
    assert outcomes(AnnotatedImage([], []))[0] == []
