"""`evaluate` gives the same errors, up to rounding, for the same frames as motion clips and as a 3DPW on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.gendered import BodyConfig, open_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.cli.main import main
from pose2mesh.datasets.readers.pw3d import read_pw3d
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    ShapeConfig,
    SyntheticConfig,
    SyntheticSamples,
    sample_people,
)
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_sources import clip_poses
from pose2mesh.evaluation.dataset_evaluator import evaluate_records
from pose2mesh.evaluation.protocols import plain_protocol
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.inference.predictor import Predictor
from pose2mesh.motion.body_motion import BodyMotion
from pose2mesh.motion.bvh_writer import write_bvh
from pose2mesh.skeletons import COCO, HUMAN36, JointSet
from tests.anny_as_smpl import smpl_parameters, write_anny, write_people
from tests.untrained import save_untrained

SAMPLES, SEED = 16, 5
# Validation clips of configs/mocap_split.yaml.
VALIDATION_CLIPS = ("cartwheel", "dance_b", "getup_faceup", "kick")
MEASURES = (
    "mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm", "known_camera_mpjpe_mm", "known_camera_mpvpe_mm", "spread_mm",
)  # fmt: skip
ROUNDING_MM = 0.01


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def models(anny: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_anny(folder, anny)
    return folder


@pytest.fixture(scope="module")
def written_clips(anny: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BVH file of 30 poses from the joint limits, two a second."""
    poses = PoseSource(None, PoseConfig(procedural=1.0)).sample(30, torch.Generator().manual_seed(0))
    seen = (torch.tensor(WORLD_TO_CAMERA) @ poses).numpy()
    motion = BodyMotion("poses", anny.mean_phenotypes.numpy(), seen, 0 * seen[:, 0, 0], fps=2)
    folder = tmp_path_factory.mktemp("clips")
    write_bvh(folder / "poses.bvh", anny, motion)
    return folder


@pytest.fixture(autouse=True)
def one_shape(anny: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample has the mean shape, the only one of the model file."""

    def sample(self: ShapeConfig, count: int, generator: torch.Generator) -> Tensor:
        return anny.mean_phenotypes.repeat(count, 1)

    monkeypatch.setattr(ShapeConfig, "sample", sample)


def drawn(anny: BodyModel, joint_set: JointSet, clips: Path) -> SyntheticSamples:
    """Samples of `evaluate --motions` from a folder of clips, for a model of a joint set."""
    generator = torch.Generator().manual_seed(SEED)
    synthesiser = BodySynthesiser(anny, joint_set, None)
    return sample_people(SAMPLES, clip_poses(clips), synthesiser, SyntheticConfig(views=1), generator)


def test_both_bodies_are_posed_alike(anny: BodyModel, models: Path, written_clips: Path) -> None:
    people = drawn(anny, HUMAN36, written_clips)
    pose, translation = (torch.from_numpy(array).float() for array in smpl_parameters(anny, people))
    body = open_body(BodyConfig("smpl", str(models))).main
    found = body(pose, torch.zeros(SAMPLES, 10), translation)
    expected = people.cameras.to_camera(anny(people.phenotypes, people.orientations))
    expected = expected + people.cameras.position_cam[:, None]
    assert expected.std(0).mean() > 0.1  # different poses in different places
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_commands_agree(anny: BodyModel, models: Path, written_clips: Path, tmp_path: Path) -> None:
    """A network of Human3.6M's joints, by the protocol of 3DPW and on clips."""
    source = PoseSource(None, PoseConfig(procedural=1.0))
    bundle = save_untrained(tmp_path / "bundle.safetensors", anny, source, HUMAN36)
    write_people(tmp_path / "PW3D", anny, drawn(anny, HUMAN36, written_clips))
    data = {
        "folder": str(tmp_path),
        "cache": str(tmp_path / "cache"),
        "body": {"model": "smpl", "folder": str(models)},
        "sets": {"pw3d": {"split": "test"}},
        "validation": {"reader": "pw3d", "folder": str(tmp_path / "PW3D")},
    }
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"stage": "pose2mesh", "data": data}))  # JSON is YAML
    clips = ["--motions", str(written_clips), "--samples", str(SAMPLES), "--camera", "none"]  # as of a data set
    tests = {"set": ["--data", str(config)], "clips": clips}
    reports = {}
    for name, options in tests.items():
        report = tmp_path / f"{name}.json"
        assert main(["evaluate", str(bundle), *options, "--seed", str(SEED), "--report", str(report)]) == 0
        reports[name] = json.loads(report.read_text())
    assert reports["set"]["protocol"] == "3dpw"
    compare(reports["set"], reports["clips"])


@pytest.mark.thorough
def test_the_bundle_that_ships_on_validation_clips(
    anny: BodyModel, models: Path, shared_data: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in VALIDATION_CLIPS:
        shutil.copy(shared_data / "mocap" / "deepmimic" / f"{name}.bvh", clips)
    write_people(tmp_path / "PW3D", anny, drawn(anny, COCO, clips))
    predictor = Predictor.load("default")
    records = read_pw3d(tmp_path / "PW3D", tmp_path / "cache", split="test")
    body = open_body(BodyConfig("smpl", str(models)))
    on_set = evaluate_records(predictor, records, body, plain_protocol(COCO))
    on_clips = evaluate_synthetic(predictor, clip_poses(clips), SAMPLES, SEED, "gt", body=anny, camera="none")
    compare(on_set, on_clips)
    assert on_clips["pa_mpjpe_mm"] < 100


def compare(on_set: dict[str, float], on_clips: dict[str, float]) -> None:
    assert on_set["samples"] == on_clips["samples"] == SAMPLES
    for name in MEASURES:
        assert on_set[name] == pytest.approx(on_clips[name], abs=ROUNDING_MM), name
        assert on_set[name] > 1
