"""`pose2mesh robustness` as a user types it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.cli.main import main
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation.robustness import measure, pose_difficulty
from pose2mesh.evaluation.robustness.robustness_options import RobustnessOptions
from pose2mesh.skeletons import COCO
from tests.untrained import save_untrained

from .test_sample_sets import annotations


@pytest.fixture(scope="module")
def anny_bundle(anny: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small untrained network on the Anny body."""
    source = PoseSource(None, PoseConfig(procedural=1.0))
    path = tmp_path_factory.mktemp("run") / "bundle.safetensors"
    return save_untrained(path, anny, source, COCO, joint_base=True)


@pytest.mark.thorough
def test_a_report_on_a_keypoint_file(anny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = annotations(tmp_path / "a.json"), tmp_path / "new" / "report"
    arguments = ["robustness", str(anny_bundle.parent), "--keypoints", f"holiday={source}", "--out", str(out)]
    assert main([*arguments, "--samples", "3"]) == 0
    text = (out / "report.md").read_text()
    assert text.startswith("# Robustness of `untrained`\n\n**Overfitting cannot be assessed")
    assert "| measure | holiday |" in text
    assert str(tmp_path) not in text  # reports are passed on
    for name in re.findall(r"\]\((.*?)\)", text):
        with Image.open(out / name) as image:
            assert image.size[0] > 100
    assert (out / "report.html").read_text().count("data:image/") == text.count("](")
    numbers = json.loads((out / "report.json").read_text())
    assert numbers["gap"] is None
    measures = numbers["sets"][0]["measures"]
    assert measures["shift_mm"]["value"] == pytest.approx(0, abs=0.05)
    assert 0 <= measures["iou"]["value"] <= 1
    assert 0 <= measures["oks"]["low"] <= measures["oks"]["value"] <= measures["oks"]["high"] <= 1
    assert "mpjpe_mm" not in measures
    said = capsys.readouterr().out
    assert "holiday: 3 people" in said
    assert said.rstrip().endswith("report.html")


def test_a_report_on_clips(
    anny_bundle: Path,
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pose_difficulty, "BODIES", 500)
    monkeypatch.setattr(measure, "PER_CLIP", 6)
    folder, out = tmp_path / "clips", tmp_path / "report"
    folder.mkdir()
    clips = sorted((shared_data / "mocap" / "cmu_actions").glob("walking_*.bvh"))[:5]
    clips += sorted((shared_data / "mocap" / "animated_drawings").glob("*.bvh"))[:2]
    for clip in clips:
        shutil.copy(clip, folder)
    names = [clip.stem for clip in clips]
    split = tmp_path / "split.yaml"
    split.write_text(json.dumps({"train": names[:2], "validation": names[2:]}))
    arguments = ["robustness", str(anny_bundle), "--motions", str(folder), "--out", str(out), "--samples", "7"]
    assert main([*arguments, "--split", str(split)]) == 0
    numbers = json.loads((out / "report.json").read_text())
    assert numbers["gap"]["validation_clips"] == 5
    assert not numbers["gap"]["overfits"]  # it was never trained
    train, validation = numbers["sets"]
    assert (train["role"], validation["role"]) == ("train", "validation")
    assert train["measures"]["known_mpjpe_mm"]["value"] > 100
    assert train["true_bodies"]["asymmetry_percent"]["value"] < 4
    assert (out / "gap.png").is_file()
    assert numbers["verdict"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "expected --motions, --keypoints, or both"),
        (["--split", "s.yaml", "--keypoints", "a.json"], "--split s.yaml: goes with --motions"),
        (["--keypoints", "a.json", "b.json", "--images", "photos"], "--images: 1 given for 2 --keypoints"),
        (["--keypoints", "a.json", "--samples", "0"], "--samples 0: expected 1 to 5000"),
        (["--keypoints", "a.json", "--seed", "-1"], "--seed -1: expected"),
        (["--keypoints", "none.json"], "none.json: no such file"),
        (["--motions", "nowhere"], "nowhere: no such folder of BVH files"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], fault: str, anny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["robustness", str(anny_bundle), "--out", str(out), *arguments]) == 2
    said = capsys.readouterr().err
    assert fault in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_model_of_another_body_is_refused(
    bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = annotations(tmp_path / "a.json")
    assert main(["robustness", str(bundle_file), "--keypoints", str(source), "--out", str(tmp_path / "r")]) == 2
    assert "model 'small' is of body 'ellipsoid'" in capsys.readouterr().err


def test_names_of_sets(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.json"
    odd.write_text("{}")
    options = RobustnessOptions(tmp_path, keypoints=("mine=x/p.json", "y/p.json", "z/p.json", str(odd), "clips=c.json"))
    assert options.named_files() == [
        ("mine", Path("x/p.json")),
        ("p", Path("y/p.json")),
        ("p 2", Path("z/p.json")),
        ("a=b", odd),
        ("clips 2", Path("c.json")),
    ]
    with pytest.raises(InputError, match="is a file; expected a folder"):
        RobustnessOptions(odd, keypoints=("a.json",)).check()
