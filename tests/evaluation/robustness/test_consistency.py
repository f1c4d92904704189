"""Movement of predictions: zero for models with a symmetry, a known amount for models without."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.evaluation.robustness.consistency import (
    BOX_PX,
    crop_each_side,
    drop_each_joint,
    measure_consistency,
    mirror_movement,
    mirror_twins,
    without,
)
from pose2mesh.evaluation.robustness.predictions import PredictionSet, person_box_px, predict
from pose2mesh.evaluation.robustness.sample_sets import SampleSet
from pose2mesh.skeletons import COCO

from .conftest import FakePredictor, make_people

SYMMETRIC = np.array([[0.5, 0.1, 0], [-0.5, 0.1, 0], [0, 1, 0], [0, -1, 0.2]], np.float64)


def as_joints(pixels: NDArray) -> NDArray:
    """(P, J, 3) metres: pixels about their mean, over their spread, and flat."""
    centred = pixels - pixels.mean(1, keepdims=True)
    flat = centred / np.sqrt((centred**2).mean((1, 2), keepdims=True))
    return np.concatenate([flat, np.zeros_like(flat[..., :1])], -1)


def symmetric_model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
    """The template stretched by the positions of the left and right wrists, mirrored with them."""
    joints = as_joints(pixels)
    left, right = joints[:, COCO.index("left_wrist"), None], joints[:, COCO.index("right_wrist"), None]
    vertices = np.concatenate([left, right, (left + right) / 2, joints[:, :1]], 1)
    return joints, vertices


def lopsided_model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
    joints, vertices = symmetric_model(pixels, confidence)
    vertices = vertices.copy()
    vertices[:, 0, 1] += 0.04  # the left vertex 40 mm down, for every sample
    return joints, vertices


def ask(model: object) -> tuple[FakePredictor, SampleSet, PredictionSet]:
    predictor, people = FakePredictor(model, SYMMETRIC), make_people()  # type: ignore[arg-type]
    return predictor, people, predict(predictor, people)  # type: ignore[arg-type]


def test_twins_of_a_mesh() -> None:
    np.testing.assert_array_equal(mirror_twins(SYMMETRIC), [1, 0, 2, 3])
    np.testing.assert_array_equal(
        mirror_twins(SYMMETRIC + np.array([0.3, 0, 0])), [1, 0, 2, 3]
    )  # wherever the middle is
    assert mirror_twins(SYMMETRIC + np.array([[0.0, 0, 0], [0, 0.01, 0], [0, 0, 0], [0, 0, 0]])) is None


def test_a_symmetric_model_does_not_move() -> None:
    predictor, people, predictions = ask(symmetric_model)
    np.testing.assert_allclose(mirror_movement(predictor, people, predictions), 0, atol=1e-4)  # type: ignore[arg-type]


def test_an_asymmetric_model_moves_by_its_asymmetry() -> None:
    predictor, people, predictions = ask(lopsided_model)
    # The left vertex is 40 mm off in one prediction, the right one in the other: 2 of 4 vertices.
    moved = mirror_movement(predictor, people, predictions)  # type: ignore[arg-type]
    np.testing.assert_allclose(moved, 20, atol=1e-4)


def test_without_a_symmetric_mesh_joints_are_compared() -> None:
    predictor, people, predictions = ask(symmetric_model)
    predictor.template = SYMMETRIC * [1, 1, 1] + [[0, 0, 0], [0, 0.5, 0], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(mirror_movement(predictor, people, predictions), 0, atol=1e-4)  # type: ignore[arg-type]


def test_jitter_is_per_pixel_of_a_box_of_256() -> None:
    """A model whose vertices are the joints, 1 mm a pixel of that box: as far as a Gaussian error is long."""

    def model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
        joints = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1) * (0.001 * BOX_PX / box)[:, None, None]
        return joints, joints[:, :17]

    people = make_people(40)
    box = person_box_px(people.joints_px, people.confidence)
    predictor = FakePredictor(model, np.zeros((17, 3)))
    found = measure_consistency(predictor, people, predict(predictor, people), 0)  # type: ignore[arg-type]
    assert found.jitter_mm_per_px.mean() == pytest.approx(np.sqrt(np.pi / 2), rel=0.03)  # Rayleigh's mean


def test_position_and_size_do_not_matter_where_they_should_not() -> None:
    predictor, people, predictions = ask(symmetric_model)
    found = measure_consistency(predictor, people, predictions, 0)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.shift_mm, 0, atol=0.01)
    assert (found.small_mm > 0).all()


def test_a_missing_joint_moves_a_model_that_uses_it() -> None:
    nose = COCO.index("nose")

    def model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
        vertices = np.zeros((len(pixels), 4, 3))
        vertices[..., 2] = 0.1 * (confidence[:, nose, None] == 0)
        return as_joints(pixels), vertices

    predictor, people, predictions = ask(model)
    people.confidence[0, COCO.index("left_ear")] = 0  # missing already: nothing to take away
    moved = drop_each_joint(predictor, people, predictions)  # type: ignore[arg-type]
    np.testing.assert_allclose(moved[:, nose], 100)
    np.testing.assert_allclose(moved[1:, 1:17], 0)
    assert np.isnan(moved[0, COCO.index("left_ear")])
    assert np.isnan(moved[:, 17:]).all()  # pelvis and neck are not labelled


def test_crops_remove_the_joints_beyond() -> None:
    def model(pixels: NDArray, confidence: NDArray) -> tuple[NDArray, NDArray]:
        lost = (confidence[:, :17] == 0).sum(1)
        vertices = np.zeros((len(pixels), 4, 3))
        vertices[..., 0] = 0.01 * lost[:, None]
        return as_joints(pixels), vertices

    predictor, people, predictions = ask(model)
    per_joint = crop_each_side(predictor, people, predictions)  # type: ignore[arg-type]
    np.testing.assert_allclose(per_joint[np.isfinite(per_joint)], 10)
    assert np.isfinite(per_joint).mean() > 0.9


def test_derived_joints_go_with_their_sources_and_too_few_joints_are_not_measured() -> None:
    people = make_people(2)
    lost = np.zeros(people.confidence.shape, bool)
    lost[0, COCO.index("left_hip")] = True
    lost[1, :13] = True
    pixels, confidence, enough = without(people.joints_px, people.confidence, lost, COCO)
    assert confidence[0, COCO.index("pelvis")] == 0
    assert confidence[0, COCO.index("neck")] == 1
    np.testing.assert_array_equal(pixels[confidence == 0], 0)
    assert enough.tolist() == [True, False]
