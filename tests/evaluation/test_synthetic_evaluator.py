"""Errors on synthetic samples: correct for known predictions, decided by the seed, refused for another body."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, sample_people
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation import synthetic_chunks
from pose2mesh.evaluation.synthetic_chunks import drop_random_joints
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO, HUMAN36, SMPL, JointSet
from tests.untrained import save_untrained

SAMPLES, SEED = 24, 3
MEASURES = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def source() -> PoseSource:
    return PoseSource(None, PoseConfig(procedural=1.0))


@pytest.fixture(scope="module")
def anny_bundle(anny: BodyModel, source: PoseSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("run") / "bundle.safetensors", anny, source, COCO)


class Known:
    """Model double that predicts the ground truth of the first samples of `evaluate_synthetic`, times a factor."""

    joint_set, needs_image = COCO, False

    def __init__(self, anny: BodyModel, source: PoseSource, factor: float) -> None:
        generator = torch.Generator().manual_seed(SEED)
        people = sample_people(SAMPLES, source, BodySynthesiser(anny, COCO, None), SyntheticConfig(views=1), generator)
        vertices = people.cameras.to_camera(anny(people.phenotypes, people.orientations))
        joints = anny.regressor(COCO) @ vertices
        root = joints[:, COCO.root_index, None]
        self.joints, self.vertices = (factor * (joints - root)).numpy(), (factor * (vertices - root)).numpy()
        self.template, self.info = anny.template, SimpleNamespace(name="known", body="anny")
        self.statures = 2 * (factor * anny.stature(people.phenotypes)).tolist()  # without and with cameras
        self.calls: list[Any] = []

    def run(
        self, pixels: np.ndarray, confidence: np.ndarray, intrinsics: Any = None, pictures: None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append((pixels, confidence, intrinsics))
        return self.joints, self.vertices

    def stature(self, joints: np.ndarray) -> float:
        return self.statures.pop(0)


def test_refinement_leaves_the_ground_truth(anny: BodyModel, source: PoseSource) -> None:
    """Bodies whose joints are where they are seen stay, with the true camera; without one they come near."""
    known = Known(anny, source, 1.0)
    known.stature = lambda joints: float("nan")  # type: ignore[method-assign]
    results = evaluate_synthetic(known, source, SAMPLES, SEED, "gt", refine=True)  # type: ignore[arg-type]
    assert results["refined"] is True
    assert results["known_camera_mpjpe_mm"] < 2
    assert results["known_camera_pa_mpvpe_mm"] < 2
    assert 2 < results["mpjpe_mm"] < 200


def test_the_ground_truth_has_no_error(anny: BodyModel, source: PoseSource) -> None:
    known = Known(anny, source, 1.0)
    results = evaluate_synthetic(known, source, SAMPLES, SEED, "gt")  # type: ignore[arg-type]
    for name, value in results.items():
        if name.endswith("_mm"):
            assert value == pytest.approx(0, abs=0.02), name
    assert {
        "nominal_camera_mpvpe_mm",
        "known_camera_mpjpe_mm",
        "known_height_mpvpe_mm",
        "known_both_mpjpe_mm",
        "scaled_mpjpe_mm",
    } < results.keys()


@pytest.mark.parametrize("camera", ["known", "nominal", "none"])
def test_the_errors_without_a_prefix_are_those_of_the_camera(
    anny: BodyModel, source: PoseSource, camera: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(anny, source, 1.0)
    order = {"none": 1.1, "nominal": 1.2, "known": 1.3}  # in the order of the calls
    factors = iter(order.values())
    plain = known.run

    def run(*given: Any) -> tuple[np.ndarray, np.ndarray]:
        factor = next(factors)
        return tuple(factor * each for each in plain(*given))  # type: ignore[return-value]

    monkeypatch.setattr(known, "run", run)
    known.statures = [1.0] * 4 * SAMPLES
    results = evaluate_synthetic(known, source, SAMPLES, SEED, "gt", camera=camera)  # type: ignore[arg-type]
    assert results["camera"] == camera
    prefix = {"known": "known_camera_", "nominal": "nominal_camera_", "none": "no_camera_"}[camera]
    for name in MEASURES:
        assert results[name] == results[prefix + name]
    extent = results["no_camera_mpjpe_mm"] / 0.1
    assert results["nominal_camera_mpjpe_mm"] == pytest.approx(0.2 * extent, rel=1e-2)
    assert results["known_camera_mpjpe_mm"] == pytest.approx(0.3 * extent, rel=1e-2)
    assert "known_height_mpjpe_mm" in results
    assert "known_both_mpjpe_mm" in results


def test_a_wrong_size_is_distinguished_from_a_wrong_pose(anny: BodyModel, source: PoseSource) -> None:
    known = Known(anny, source, 0.5)
    results = evaluate_synthetic(known, source, SAMPLES, SEED, "gt")  # type: ignore[arg-type]
    columns = COCO.evaluation_indices
    assert results["mpjpe_mm"] == pytest.approx(
        1000 * np.linalg.norm(known.joints[:, columns], axis=-1).mean(), rel=1e-3
    )
    assert results["mpvpe_mm"] == pytest.approx(1000 * np.linalg.norm(known.vertices, axis=-1).mean(), rel=1e-3)
    assert results["known_camera_mpjpe_mm"] == pytest.approx(results["mpjpe_mm"])
    for name in ("pa_mpjpe_mm", "pa_mpvpe_mm", "scaled_mpjpe_mm", "scaled_mpvpe_mm", "known_height_mpjpe_mm"):
        assert results[name] == pytest.approx(0, abs=0.05), name


def test_input_of_the_model(anny: BodyModel, source: PoseSource) -> None:
    known = Known(anny, source, 1.0)
    evaluate_synthetic(known, source, SAMPLES, SEED, "gt", drop_joints=5)  # type: ignore[arg-type]
    (pixels, confidence, no_cameras), (_, _, nominal), (_, _, cameras) = known.calls
    assert no_cameras is None
    assert len(cameras) == len(nominal) == SAMPLES
    for guessed, true in zip(nominal, cameras, strict=True):
        assert (guessed.cx, guessed.cy) == pytest.approx((true.cx, true.cy), abs=0.5)
        assert guessed.fx == pytest.approx(1200, abs=1)  # images are 1000 pixels long
    np.testing.assert_array_equal((confidence[:, :17] == 0).sum(1), 5)
    np.testing.assert_array_equal(pixels[confidence == 0], 0)
    assert set(confidence[confidence > 0].tolist()) == {1.0}  # true joints have full confidence
    # The pixels are the true joints projected by the cameras: given the position of the root, they agree.
    camera = cameras[0]
    present = confidence[0] > 0
    rays = camera.rays(pixels[0, present].astype(float))
    joints = known.joints[0, present].astype(float)
    rows = np.concatenate([np.eye(3)[None, axis] - rays[:, axis, None] * np.eye(3)[None, 2] for axis in (0, 1)])
    goals = np.concatenate([rays[:, axis] * joints[:, 2] - joints[:, axis] for axis in (0, 1)])
    root = np.linalg.lstsq(rows, goals, rcond=None)[0]
    np.testing.assert_allclose(camera.project(joints + root), pixels[0, present], atol=0.5)


@pytest.mark.thorough
def test_noise_reaches_the_model(anny: BodyModel, source: PoseSource) -> None:
    true, noisy = Known(anny, source, 1.0), Known(anny, source, 1.0)
    evaluate_synthetic(true, source, SAMPLES, SEED, "gt")  # type: ignore[arg-type]
    evaluate_synthetic(noisy, source, SAMPLES, SEED, "noisy")  # type: ignore[arg-type]
    distance = np.linalg.norm(true.calls[0][0] - noisy.calls[0][0], axis=-1)
    assert 0 < np.median(distance) < 100
    assert len(np.unique(noisy.calls[0][1])) > 10
    milder = Known(anny, source, 1.0)
    evaluate_synthetic(milder, source, SAMPLES, SEED, "noisy", noise_scale=0.25)  # type: ignore[arg-type]
    rest = np.linalg.norm(true.calls[0][0] - milder.calls[0][0], axis=-1)
    assert np.median(rest) == pytest.approx(0.25 * np.median(distance), rel=0.3)


@pytest.mark.thorough
def test_a_seed_decides_everything(anny_bundle: Path, source: PoseSource, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(anny_bundle)
    monkeypatch.setattr(synthetic_chunks, "CHUNK", 16)
    first = evaluate_synthetic(predictor, source, 24, 5, "noisy", drop_joints=2)
    assert first == evaluate_synthetic(predictor, source, 24, 5, "noisy", drop_joints=2)
    other = evaluate_synthetic(predictor, source, 24, 6, "noisy", drop_joints=2)
    assert other["mpjpe_mm"] != first["mpjpe_mm"]
    assert {
        "model": "untrained",
        "samples": 24,
        "seed": 5,
        "input": "noisy",
        "dropped_joints": 2,
        "noise_scale": 1.0,
    }.items() <= first.items()
    assert all(math.isfinite(first[name]) and first[name] > 0 for name in MEASURES)
    assert first["pa_mpjpe_mm"] <= first["scaled_mpjpe_mm"] <= first["mpjpe_mm"]
    assert 0 < first["spread_mm"] < first["mpjpe_mm"]
    assert "known_height_mpjpe_mm" not in first  # the model does not predict heights
    assert "known_camera_mpjpe_mm" in first


def test_one_person_has_no_spread(anny_bundle: Path, source: PoseSource) -> None:
    results = evaluate_synthetic(Predictor.load(anny_bundle), source, 1, 5, "gt")
    assert "spread_mm" not in results
    assert all(math.isfinite(value) for value in results.values() if isinstance(value, float))


@pytest.mark.parametrize("count", [13, 17, 1000])
def test_too_many_joints_to_drop(anny_bundle: Path, source: PoseSource, count: int) -> None:
    with pytest.raises(InputError, match=f"--drop-joints {count}: expected at most 12 for joint set 'coco'"):
        evaluate_synthetic(Predictor.load(anny_bundle), source, 4, 0, "gt", drop_joints=count)


def test_another_body_is_refused(bundle_file: Path, source: PoseSource) -> None:
    with pytest.raises(InputError, match="model 'small' is of body 'ellipsoid'"):
        evaluate_synthetic(Predictor.load(bundle_file), source, 4, 0, "gt")


@pytest.mark.parametrize("joint_set", [COCO, HUMAN36, SMPL])
@pytest.mark.parametrize("count", [1, 7])
def test_dropping_joints(joint_set: JointSet, count: int) -> None:
    J = len(joint_set)
    pixels, confidence = np.full((200, J, 2), 9.0), np.full((200, J), 0.8)
    fewer_px, fewer = drop_random_joints(pixels, confidence, count, 0, joint_set)
    assert (pixels == 9).all()  # the arguments are not changed
    assert (confidence == 0.8).all()
    derived = [joint_set.index(name) for name, _ in joint_set.derived]
    labelled = [index for index in range(J) if index not in derived]
    np.testing.assert_array_equal((fewer[:, labelled] == 0).sum(1), count)
    assert (fewer[:, labelled] == 0).any(0).all()  # every joint is dropped at some point
    for name, parts in joint_set.derived:
        lost = (fewer[:, [joint_set.index(part) for part in parts]] == 0).any(1)
        np.testing.assert_array_equal(fewer[:, joint_set.index(name)] == 0, lost)
    np.testing.assert_array_equal(fewer_px[fewer == 0], 0)
    np.testing.assert_array_equal(fewer_px[fewer > 0], 9)
    np.testing.assert_array_equal(fewer, drop_random_joints(pixels, confidence, count, 0, joint_set)[1])
    assert not np.array_equal(fewer, drop_random_joints(pixels, confidence, count, 1, joint_set)[1])
