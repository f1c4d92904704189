"""`pose2mesh evaluate` on configs and folders of clips: the report as a file and as printed lines."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.cli.main import main
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_sources import clip_poses
from pose2mesh.evaluation.evaluate_options import EvaluateOptions
from pose2mesh.evaluation.evaluator import evaluate_model
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO
from tests.untrained import save_untrained

MEASURES = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")


@pytest.fixture(scope="module")
def anny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = PoseSource(None, PoseConfig(procedural=1.0))
    return save_untrained(tmp_path_factory.mktemp("run") / "bundle.safetensors", default_body(), source, COCO)


def test_a_report_of_a_config(anny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run folder, a training config without clips, and the report as a file and as lines."""
    config = tmp_path / "config.yaml"
    config.write_text("data: {synthetic: {poses: {procedural: 1.0}}}\n")
    report = tmp_path / "report.json"
    arguments = ["evaluate", str(anny_bundle.parent), "--data", str(config), "--samples", "8", "--seed", "2"]
    assert main([*arguments, "--report", str(report)]) == 0
    document = json.loads(report.read_text())
    assert {"samples": 8, "seed": 2, "input": "gt"}.items() <= document.items()
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines.keys() == document.keys()
    for name in MEASURES:
        assert float(lines[name]) == pytest.approx(document[name], abs=0.06)


def test_clips_of_a_folder(shared_data: Path, anny_bundle: Path, tmp_path: Path) -> None:
    clip = sorted((shared_data / "mocap" / "cmu").glob("*.bvh"))[0]
    shutil.copy(clip, tmp_path)
    poses = clip_poses(tmp_path)
    frames = poses.frames
    assert frames is not None
    samples = poses.sample(6, torch.Generator().manual_seed(0))
    # Every pose is an unchanged frame of the clip.
    assert all((frames - pose).abs().amax((1, 2, 3)).min() < 1e-6 for pose in samples)
    results = evaluate_model(
        Predictor.load(anny_bundle), EvaluateOptions(motions=tmp_path, samples=4), lambda line: None
    )
    assert results["samples"] == 4
    assert math.isfinite(results["mpvpe_mm"])
