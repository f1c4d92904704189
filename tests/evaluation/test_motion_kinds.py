"""Validation clips by kind of motion and by patterns of names; errors by kind as `pose2mesh evaluate` prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.cli.main import main
from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.errors import InputError
from pose2mesh.evaluation.motion_kinds import validation_clips
from pose2mesh.evaluation.synthetic_chunks import SyntheticTest
from pose2mesh.evaluation.synthetic_evaluator import evaluate_kinds, evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO
from tests.datasets.synthetic.test_mocap import write_bvh
from tests.untrained import save_untrained

PLAIN = PoseConfig(procedural=1.0)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def predictor(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path = tmp_path_factory.mktemp("run") / "bundle.safetensors"
    return Predictor.load(save_untrained(path, body, PoseSource(None, PLAIN), COCO))


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Five clips in two folders and a split by kind: two waving clips and a squat are for validation."""
    for name, bone in (
        ("old/a", "LeftArm"), ("new/a", "LeftArm"), ("new/c", "RightArm"), ("new/b", "LeftLeg"), ("old/b", "LeftLeg"),
    ):  # fmt: skip
        file = tmp_path / "clips" / f"{name}.bvh"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bvh(file, [{bone: (30, 0, 0)}] * 3)
    split = tmp_path / "split.yaml"
    split.write_text(
        "kinds:\n  wave: {train: [old/a], validation: [new/a, new/c]}\n  squat: {train: [new/b], validation: [old/b]}\n"
    )
    return DataConfig(motions=str(tmp_path / "clips"), split=str(split))


def names(data: DataConfig, *patterns: str) -> dict[str, list[str]]:
    return {kind: [clip.name for clip in clips] for kind, clips in validation_clips(data, patterns).items()}


def test_clips_by_kind(data: DataConfig) -> None:
    assert names(data) == {"wave": ["new/a", "new/c"], "squat": ["old/b"]}
    assert names(data, "new/*") == {"wave": ["new/a", "new/c"]}
    assert names(data, "*/b", "*/c") == {"wave": ["new/c"], "squat": ["old/b"]}


def test_clips_of_a_plain_split(data: DataConfig, tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text("train: [old/a]\nvalidation: [new/a, old/b]\n")
    data.split = str(plain)
    assert names(data) == {"": ["new/a", "old/b"]}
    assert names(data, "old/*") == {"": ["old/b"]}


def test_patterns_that_match_nothing(data: DataConfig) -> None:
    with pytest.raises(InputError, match=r"--clips old/a: matches none of the 3 validation clips of .*split\.yaml"):
        validation_clips(data, ["new/*", "old/a"])
    with pytest.raises(InputError, match=r"no data\.motions with a data\.split"):
        validation_clips(DataConfig(), ["new/*"])


@pytest.mark.thorough
def test_one_kind_without_a_name_is_no_table(predictor: Predictor, body: BodyModel) -> None:
    source = PoseSource(None, PLAIN)
    results = evaluate_kinds(predictor, {"": source}, SyntheticTest(5, 3, "gt"), body)
    assert results == evaluate_synthetic(predictor, source, 5, 3, "gt", body=body)
    assert "kinds" not in results


@pytest.mark.thorough
def test_samples_of_a_kind_do_not_depend_on_other_kinds(predictor: Predictor, body: BodyModel) -> None:
    source = PoseSource(None, PLAIN)
    three = evaluate_kinds(predictor, dict.fromkeys("abc", source), SyntheticTest(11, 3, "noisy"), body)
    two = evaluate_kinds(predictor, dict.fromkeys("cb", source), SyntheticTest(7, 3, "noisy"), body)
    assert [three["kinds"][kind]["samples"] for kind in "abc"] == [4, 4, 3]
    assert [two["kinds"][kind]["samples"] for kind in "cb"] == [4, 3]
    assert three["kinds"]["a"]["mpjpe_mm"] != three["kinds"]["b"]["mpjpe_mm"]
    again = evaluate_kinds(predictor, {"b": source}, SyntheticTest(4, 3, "noisy"), body)
    assert again["kinds"]["b"] == three["kinds"]["b"]
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "thin_limbs_70", "edge_error_mm"):
        weighted = sum(figures["samples"] * figures[name] for figures in three["kinds"].values())
        assert three[name] == pytest.approx(weighted / 11, rel=1e-5)


def test_fewer_samples_than_kinds(predictor: Predictor, body: BodyModel) -> None:
    sources = dict.fromkeys("abc", PoseSource(None, PLAIN))
    with pytest.raises(InputError, match="--samples 2: expected at least one for each of 3 kinds of motion"):
        evaluate_kinds(predictor, sources, SyntheticTest(2, 3, "gt"), body)


def test_the_report_and_its_table(data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_untrained(tmp_path / "bundle.safetensors", default_body(), PoseSource(None, PLAIN), COCO)
    config, report = tmp_path / "config.yaml", tmp_path / "report.json"
    config.write_text(f"data: {{motions: {data.motions}, split: {data.split}}}\n")
    arguments = ["evaluate", str(model), "--data", str(config), "--samples", "6", "--report", str(report)]
    assert main(arguments) == 0
    document = json.loads(report.read_text())
    assert document["samples"] == 6
    kinds = document["kinds"]
    assert {kind: figures["samples"] for kind, figures in kinds.items()} == {"wave": 3, "squat": 3}
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells] == ["kind", "---", "wave", "squat", "all"]
    assert cells[0][1:4] == ["samples", "MPJPE", "PA-MPJPE"]
    assert float(cells[2][2]) == pytest.approx(kinds["wave"]["mpjpe_mm"], abs=0.06)
    assert float(cells[4][2]) == pytest.approx(document["mpjpe_mm"], abs=0.06)
    assert float(cells[3][6]) == pytest.approx(100 * kinds["squat"]["thin_limbs_70"], abs=0.06)

    assert main(["evaluate", str(model), "--motions", str(data.motions), "--clips", "new/*"]) == 2
    assert "--clips: goes with --data, which is not given" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_plain_split_gives_the_samples_of_the_validation_poses(
    predictor: Predictor, data: DataConfig, tmp_path: Path, body: BodyModel
) -> None:
    plain, config, report = tmp_path / "plain.yaml", tmp_path / "config.yaml", tmp_path / "report.json"
    plain.write_text("train: [old/a]\nvalidation: [new/a, old/b]\n")
    config.write_text(f"data: {{motions: {data.motions}, split: {plain}}}\n")
    model = save_untrained(tmp_path / "bundle.safetensors", body, PoseSource(None, PLAIN), COCO)
    assert main(["evaluate", str(model), "--data", str(config), "--samples", "5", "--report", str(report)]) == 0
    source = pose_sources(DataConfig(motions=data.motions, split=str(plain)))[1]
    expected = evaluate_synthetic(Predictor.load(model), source, 5, 7, "gt", body=body)
    document = json.loads(report.read_text())
    assert document.keys() == expected.keys()
    for name in ("mpjpe_mm", "pa_mpvpe_mm", "limb_radius_median"):
        assert document[name] == pytest.approx(expected[name], abs=1e-3)
