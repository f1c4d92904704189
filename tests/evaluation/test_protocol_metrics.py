"""Errors under a protocol, worked out by hand; by action; over sequences with gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pose2mesh.evaluation.protocol_metrics import (
    by_action,
    means,
    person_errors,
    sequence_errors,
    stretches,
)
from pose2mesh.evaluation.protocols import PROTOCOLS
from pose2mesh.metrics import BodyPoints

P2, HANDS = PROTOCOLS["human36m-p2"], PROTOCOLS["freihand"]


def people(count: int = 2, joints: int = 17, vertices: int = 30, seed: int = 0) -> BodyPoints:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, joints + vertices, 3, generator=generator)
    return BodyPoints(points[:, :joints], points[:, joints:], points[:, 0])


def test_evaluated_joints_relative_to_the_root() -> None:
    ground_truth = people()
    joints = ground_truth.joints.clone() + 5  # all bodies moved
    joints[:, 9] += 1  # the nose is not evaluated
    joints[:, 3, 0] += 0.07  # an ankle, one of 14
    joints[1, 10, 2] += 0.14
    errors = person_errors(P2, BodyPoints(joints), BodyPoints(ground_truth.joints))
    assert errors["mpjpe_mm"].tolist() == pytest.approx([5, 15], abs=1e-3)
    assert "mpvpe_mm" not in errors
    moved_root = ground_truth.joints.clone()
    moved_root[:, 0, 1] += 0.01  # all 14 are then off by that
    assert person_errors(P2, BodyPoints(moved_root), ground_truth)["mpjpe_mm"].tolist() == pytest.approx(
        [10, 10], abs=1e-3
    )


def test_the_surface_relative_to_its_own_root() -> None:
    ground_truth = people()
    assert ground_truth.vertices is not None
    assert ground_truth.mesh_root is not None
    found = BodyPoints(
        ground_truth.joints, ground_truth.vertices + 2, ground_truth.mesh_root + torch.tensor([2, 2, 2.003])
    )
    errors = person_errors(P2, found, ground_truth)
    assert errors["mpvpe_mm"].tolist() == pytest.approx([3, 3], abs=1e-3)
    assert errors["pa_mpvpe_mm"].tolist() == pytest.approx([0, 0], abs=1e-3)
    assert "f_score_5mm" not in errors


def test_f_scores_of_aligned_vertices() -> None:
    ground_truth = people(joints=21)
    assert ground_truth.vertices is not None
    errors = person_errors(
        HANDS,
        BodyPoints(ground_truth.joints, 3 * ground_truth.vertices + 1, 3 * ground_truth.joints[:, 0]),
        ground_truth,
    )
    assert errors["f_score_5mm"].tolist() == errors["f_score_15mm"].tolist() == [1, 1]
    other = people(joints=21, seed=1)
    assert person_errors(HANDS, other, ground_truth)["f_score_15mm"].max() < 0.5


def test_means_leave_out_missing_errors() -> None:
    found = means(
        {"mpjpe_mm": np.array([1.0, 3.0]), "mpvpe_mm": np.array([np.nan, 4.0]), "none": np.array([np.nan] * 2)}
    )
    assert found == {"mpjpe_mm": 2, "mpvpe_mm": 4}


def test_by_action() -> None:
    errors = {"mpjpe_mm": np.array([1.0, 2.0, 6.0, 9.0])}
    table = by_action(P2, errors, np.array([16, 2, 16, 99]))
    assert table == {
        "Directions": {"samples": 1, "mpjpe_mm": 2},
        "WalkTogether": {"samples": 2, "mpjpe_mm": 3.5},
    }
    assert list(table) == ["Directions", "WalkTogether"]


def test_stretches_end_at_gaps_people_and_sequences() -> None:
    sequence = np.array([0, 0, 0, 0, 0, 1, 0])
    person = np.array([0, 0, 0, 1, 0, 0, 1])
    frame = np.array([2, 0, 1, 0, 5, 6, 1])
    assert [run.tolist() for run in stretches(sequence, person, frame)] == [[1, 2, 0], [4], [3, 6], [5]]


def test_errors_over_time() -> None:
    ground_truth = np.zeros((9, 2, 3))
    found = ground_truth.copy()
    found[:5:2, 0, 2] = 0.001  # one of two joints jitters by a millimetre: 2 mm/frame² for it
    found[5:, :, 0] = 0.010  # off, but steady
    results = sequence_errors(found, ground_truth, [np.arange(5), np.arange(5, 9), np.array([0, 1])], fps=30)
    assert (results["sequences"], results["frames"]) == (2, 9)
    # Three second differences of 1 mm on average in the first stretch, two of nothing in the second.
    assert results["acceleration_mm"] == pytest.approx(0.6)
    for way in ("filtered", "smoothed"):
        assert 0 < results[f"{way}_acceleration_mm"] < 0.6
        assert results[f"{way}_mpjpe_mm"] == pytest.approx(4 * 10 / 9, abs=0.5)
    assert results["smoothed_acceleration_mm"] < results["filtered_acceleration_mm"]


def test_no_stretch_is_long_enough() -> None:
    joints = np.zeros((4, 2, 3))
    assert sequence_errors(joints, joints, [np.array([0, 1]), np.array([2, 3])], fps=30) == {}


def test_identical_bodies_have_no_error() -> None:
    ground_truth = people()
    for name, values in person_errors(P2, ground_truth, ground_truth).items():
        assert values.max() < 1e-2, name
        assert not math.isnan(values.sum())
