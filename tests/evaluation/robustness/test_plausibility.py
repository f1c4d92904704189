"""Bones, proportions and feet: bodies that are wrong by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.evaluation.robustness.plausibility import PlausibilityMeter, asymmetry_percent, bone_shares, floating_mm
from pose2mesh.evaluation.robustness.predictions import PredictionSet
from pose2mesh.skeletons import COCO


@pytest.fixture(scope="module")
def meter(anny: BodyModel, synthesiser: BodySynthesiser) -> PlausibilityMeter:
    return PlausibilityMeter(anny, synthesiser)


@pytest.fixture(scope="module")
def bodies(anny: BodyModel) -> PredictionSet:
    """Twelve true bodies, z up."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        vertices = anny(ShapeConfig().sample(12, generator), sample_procedural(12, generator, tumble=0.0))
        return PredictionSet((anny.regressor(COCO) @ vertices).numpy(), vertices.numpy())


def longer_forearm(joints: np.ndarray, factor: float) -> np.ndarray:
    elbow, wrist = COCO.index("left_elbow"), COCO.index("left_wrist")
    joints = joints.copy()
    joints[:, wrist] = joints[:, elbow] + factor * (joints[:, wrist] - joints[:, elbow])
    return joints


def test_one_arm_longer_is_caught(anny: BodyModel) -> None:
    rest = (anny.regressor(COCO) @ anny.template).numpy()[None]
    assert asymmetry_percent(rest, COCO) == pytest.approx(0, abs=0.1)
    # 1.5 against 1: 0.5 over their mean of 1.25, one bone of four.
    assert asymmetry_percent(longer_forearm(rest, 1.5), COCO) == pytest.approx(10, abs=0.2)


def test_size_is_no_fault_and_proportion_is(meter: PlausibilityMeter, bodies: PredictionSet) -> None:
    as_they_are = meter(bodies)
    half = meter(PredictionSet(0.5 * bodies.joints, 0.5 * bodies.vertices))
    np.testing.assert_allclose(half.odd_bones_percent, as_they_are.odd_bones_percent)
    np.testing.assert_allclose(half.asymmetry_percent, as_they_are.asymmetry_percent, rtol=1e-4)
    assert as_they_are.odd_bones_percent.mean() < 6
    odd = meter(PredictionSet(longer_forearm(bodies.joints, 1.6), bodies.vertices))
    assert (odd.odd_bones_percent >= 100 / 8).all()
    np.testing.assert_allclose(bone_shares(bodies.joints, COCO).sum(1), 1, rtol=1e-5)


def test_true_bodies_are_plausible(meter: PlausibilityMeter, bodies: PredictionSet) -> None:
    found = meter(bodies, bodies.vertices, np.tile([0.0, 0, 1], (12, 1)))
    assert found.beyond_limits_percent.mean() < 10
    assert found.asymmetry_percent.mean() < 3
    assert np.nanmean(found.floating_mm) < 10
    assert np.isnan(meter(bodies).floating_mm).all()  # the ground is unknown


def test_a_foot_in_the_air_floats() -> None:
    """Both true feet stand; the left foot of the prediction is 60 mm up: 30 mm on average."""
    ground_truth = np.zeros((1, 4, 3))
    ground_truth[0, :, 2] = [0.0, 0.01, 1.0, 1.8]
    found = ground_truth.copy()
    found[0, :, 2] = [0.06, 0.0, 1.0, 1.8]
    feet = [np.array([True, False, False, False]), np.array([False, True, False, False])]
    up = np.array([[0.0, 0, 1]])
    assert floating_mm(found, ground_truth, up, feet)[0] == pytest.approx(30)
    assert floating_mm(ground_truth, ground_truth, up, feet)[0] == pytest.approx(5)
    assert floating_mm(found + np.array([0, 0, 5]), ground_truth, up, feet)[0] == pytest.approx(30)
    ground_truth[0, 2, 2] = -0.5  # on the knees
    assert np.isnan(floating_mm(found, ground_truth, up, feet)[0])
