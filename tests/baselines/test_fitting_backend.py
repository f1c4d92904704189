"""Fitting baselines as backends of `Predictor`: by name, estimates, refused options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.baselines import fitting_backend
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.initial_bodies import mean_pose
from pose2mesh.baselines.fitting_backend import FittingBackend
from pose2mesh.baselines.methods.smplify import Schedule, SMPLify
from pose2mesh.cli.main import main
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from pose2mesh.model_zoo import load_model
from pose2mesh.skeletons import COCO


@pytest.fixture(scope="module")
def recovery(fitter: Fitter) -> Predictor:
    """SMPLify with few rounds."""
    return Predictor(FittingBackend(SMPLify("quick", fitter, mean_pose, Schedule(1, ((1.0, 2),))), fitter.body))


def test_people_from_pixels(recovery: Predictor, fitter: Fitter) -> None:
    keypoints = np.random.default_rng(0).uniform(100, 400, (3, 17, 2))
    people = recovery.recover(keypoints, height_m=1.9)
    assert len(people) == 3
    for person in people:
        assert person.vertices.shape == fitter.body.template.shape
        assert person.stature_m == pytest.approx(1.9)
        np.testing.assert_allclose(person.joints[COCO.root_index], 0, atol=1e-6)


def test_clips_are_evaluated(recovery: Predictor, fitter: Fitter) -> None:
    source = PoseSource(None, PoseConfig(procedural=1.0))
    results = evaluate_synthetic(recovery, source, 4, 0, "noisy", body=fitter.body)
    assert results["model"] == "quick"
    assert 0 < results["pa_mpjpe_mm"] < results["mpjpe_mm"]
    assert results["known_height_mpjpe_mm"] > 0


def test_standing_height_of_joints(recovery: Predictor, fitter: Fitter) -> None:
    phenotypes = torch.tensor([[0.5, 0.8, 0.5, 0.5, height, 0.5] for height in (0.3, 0.5, 0.7)])
    joints = fitter.body.regressor(COCO) @ fitter.body(phenotypes, torch.eye(3).expand(3, 22, 3, 3))
    told = [recovery.stature(person.numpy()) for person in joints]
    np.testing.assert_allclose(told, fitter.body.stature(phenotypes).numpy(), rtol=0.04)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--model", "smplify", "--device", "cuda"], "--device cuda: model 'smplify' runs on the cpu"),
        (["--model", "arnab", "--backend", "onnx"], "--backend onnx: model 'arnab' is run by torch"),
        (["--model", "spline"], "expected 'default', smplify, smplify-started, arnab, lassner, pavlakos"),
    ],
)
def test_refused_options(arguments: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "pose.npy", np.random.default_rng(0).uniform(0, 100, (17, 2)))
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "pose.npy"), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.thorough
def test_only_methods_for_videos_take_tracks(fitter: Fitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_backend, "default_body", lambda: fitter.body)
    assert [load_model(name).window for name in ("smplify", "arnab")] == [None, (300, 30)]


def test_the_onnx_backend_says_so() -> None:
    with pytest.raises(InputError, match="is run by torch"):
        load_model("smplify", backend="onnx")
