"""The default bundle, from input files to bodies: upright, over the person, robust to missing joints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from pose2mesh.cli.main import main
from pose2mesh.datasets.synthetic.pose_sources import clip_poses
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle_info import DEFAULT, find_bundle
from pose2mesh.skeletons import COCO

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "coco_people.json"
BENT_OVER = 1242217  # the one person of the example whose head is no higher than the hips

pytestmark = pytest.mark.skipif(
    not find_bundle(DEFAULT).is_file(),
    reason="no bundle ships with this checkout (src/pose2mesh/weights/default.safetensors)",
)


@pytest.fixture(scope="module")
def recovery() -> Predictor:
    return Predictor.load()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results for the example."""
    out = tmp_path_factory.mktemp("example")
    assert main(["predict", str(EXAMPLE), "--out", str(out)]) == 0
    return out


def people(folder: Path) -> list[dict]:
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert all(document["skipped"] == [] for document in documents)
    return [person for document in documents for person in document["people"]]


def height_of(joints: list[list[float]], *names: str) -> float:
    """Mean height in metres above the root of some joints; y points down."""
    return -float(np.mean([joints[COCO.index(name)][1] for name in names]))


def assert_upright(joints: list[list[float]]) -> None:
    head, knees = height_of(joints, "nose"), height_of(joints, "left_knee", "right_knee")
    feet = height_of(joints, "left_ankle", "right_ankle")
    assert head > 0.3
    assert 0 > knees > feet
    assert 1.0 < head - feet < 2.0


def test_every_output_of_the_example(example: Path) -> None:
    stems = {Path(image["file_name"]).stem: image for image in json.loads(EXAMPLE.read_text())["images"]}
    ends = ("_0.obj", "_1.obj", ".glb", ".json", ".npz", "_overlay.png")
    assert {path.name for path in example.iterdir()} == {stem + end for stem in stems for end in ends}
    for stem, image in stems.items():
        assert Image.open(example / f"{stem}_overlay.png").size == (image["width"], image["height"])
        arrays = np.load(example / f"{stem}.npz")
        assert arrays["vertices"].shape[0] == arrays["joints"].shape[0] == 2
        assert len(trimesh.load(example / f"{stem}.glb").geometry) == 2


def test_the_people_of_the_example_stand_upright(example: Path) -> None:
    everyone = people(example)
    assert len(everyone) == 6
    for person in everyone:
        joints = person["joints3d_m"]
        vertices = trimesh.load(example / person["files"]["obj"], process=False).vertices  # Y up
        assert 1.3 < person["stature_m"] < 2.3
        if person["id"] == BENT_OVER:
            assert height_of(joints, "nose") > height_of(joints, "left_ankle", "right_ankle")
            continue
        assert_upright(joints)
        assert 1.2 < np.ptp(vertices[:, 1]) < 2.2
        assert 0.05 < vertices[:, 1].max() - height_of(joints, "nose") < 0.4  # the crown is above the nose


def test_bodies_lie_over_the_people_of_the_example(example: Path) -> None:
    shares = []
    for person in people(example):
        seen = np.array(person["confidence"]) > 0
        given, found = np.array(person["input2d_px"])[seen], np.array(person["joints2d_px"])[seen]
        diagonal = np.linalg.norm(np.ptp(given, axis=0))
        shares.append(np.linalg.norm(found - given, axis=1).mean() / diagonal)
    assert max(shares) < 0.1
    assert np.mean(shares) < 0.06


def test_one_real_person_in_human36m_order(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "keypoints" / "h36m_one_person.npy"
    assert main(["predict", str(source), "--joints", "human36", "--out", str(tmp_path), "--height", "1.8"]) == 0
    (person,) = people(tmp_path)
    assert_upright(person["joints3d_m"])
    assert person["stature_m"] == 1.8
    vertices = np.load(tmp_path / "h36m_one_person.npz")["vertices"][0]
    assert 1.4 < np.ptp(vertices[:, 1]) < 2.1


@pytest.mark.thorough
@pytest.mark.parametrize(("input_", "most"), [("noisy", 1.25), ("gt", 1.5)])
def test_five_missing_joints_cost_little(
    input_: str, most: float, shared_data: Path, recovery: Predictor, tmp_path: Path
) -> None:
    """Less than a quarter among noisy joints; exact ones are worth more, and losing them costs up to a half."""
    split = yaml.safe_load((ROOT / "configs" / "mocap_split.yaml").read_text())
    for name in split["validation"]:
        if name.startswith("deepmimic/"):
            (tmp_path / f"{Path(name).name}.bvh").symlink_to(shared_data / "mocap" / f"{name}.bvh")
    clips = clip_poses(tmp_path)
    whole, fewer = (evaluate_synthetic(recovery, clips, 256, 1, input_, drop_joints=count) for count in (0, 5))
    assert fewer["mpvpe_mm"] < most * whole["mpvpe_mm"]
    assert whole["pa_mpvpe_mm"] < whole["mpvpe_mm"] < 200
