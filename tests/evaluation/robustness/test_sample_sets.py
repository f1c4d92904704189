"""Sample sets from clips and from files: poses, cameras and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.errors import InputError
from pose2mesh.evaluation.robustness.sample_sets import SampleSet, _facing, from_clips, from_keypoints
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.skeletons import COCO, HUMAN36


def clip(name: str, frames: int, seed: int) -> Clip:
    poses = sample_procedural(frames, torch.Generator().manual_seed(seed)).numpy()
    return Clip(name, 30.0, poses, np.zeros((frames, 3), np.float32), np.arange(frames) / 30)


@pytest.fixture(scope="module")
def people(anny: BodyModel, synthesiser: BodySynthesiser) -> SampleSet:
    return from_clips("some", "clips", [clip("a", 3, 0), clip("b/c", 40, 1)], anny, synthesiser, 11, 5)


def test_every_clip_gives_the_same_number(people: SampleSet) -> None:
    assert sorted(np.bincount(people.group).tolist()) == [5, 6]  # the shorter one more than once a frame
    assert people.group_names == ("a", "b/c")
    assert people.labels[0].startswith("a at 0.")
    assert len(set(people.labels[-5:])) == 5  # the longer one never


def test_the_ground_truth_projects_to_the_input(people: SampleSet, anny: BodyModel) -> None:
    ground_truth = people.ground_truth
    assert ground_truth is not None
    joints = np.einsum("jv,pvc->pjc", anny.regressor(COCO).numpy(), ground_truth.vertices)
    np.testing.assert_allclose(joints, ground_truth.joints, atol=2e-5)
    camera, pixels, flat = (
        ground_truth.intrinsics[0],
        people.joints_px[0].astype(float),
        ground_truth.joints[0].astype(float),
    )
    rays = camera.rays(pixels[:17])
    rows = np.concatenate([np.eye(3)[None, axis] - rays[:, axis, None] * np.eye(3)[None, 2] for axis in (0, 1)])
    goals = np.concatenate([rays[:, axis] * flat[:17, 2] - flat[:17, axis] for axis in (0, 1)])
    root = np.linalg.lstsq(rows, goals, rcond=None)[0]
    labelled = slice(17)  # pelvis and neck are the means of the pixels of hips and shoulders
    np.testing.assert_allclose(camera.project(flat + root)[labelled], pixels[labelled], atol=0.1)
    hips = [COCO.index("left_hip"), COCO.index("right_hip")]
    np.testing.assert_allclose(people.joints_px[:, 17], people.joints_px[:, hips].mean(1), rtol=1e-5)


def test_heads_are_up(people: SampleSet) -> None:
    assert people.ground_truth is not None
    heights = np.einsum("pjc,pc->pj", people.ground_truth.joints, people.ground_truth.up)
    upright = heights[:, COCO.index("nose")] > heights[:, COCO.index("left_ankle")]
    assert upright.mean() > 0.7  # some are upside down


@pytest.mark.parametrize(("turn_deg", "expected"), [(0, 0), (90, 90), (-90, -90), (30, 30)])
def test_yaw(turn_deg: float, expected: float) -> None:
    """A body that faces the camera, turned to its own left, shows its right side: yaw is negative then."""
    rest = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the camera's axes for a body at rest before it
    hips = rest @ axis_rotation(2, torch.deg2rad(torch.tensor(float(turn_deg))))
    found = np.degrees(_facing(hips[None]))[0]
    assert abs(found) == pytest.approx(abs(expected), abs=1e-3)
    assert np.sign(round(found)) in (0, -np.sign(expected))
    assert BODY_BONES[0] == "Hips"


def test_the_same_seed_gives_the_same_people(anny: BodyModel, synthesiser: BodySynthesiser, people: SampleSet) -> None:
    again = from_clips("some", "clips", [clip("a", 3, 0), clip("b/c", 40, 1)], anny, synthesiser, 11, 5)
    np.testing.assert_array_equal(again.joints_px, people.joints_px)
    other = from_clips("some", "clips", [clip("a", 3, 0), clip("b/c", 40, 1)], anny, synthesiser, 11, 6)
    assert not np.array_equal(other.joints_px, people.joints_px)


def annotations(path: Path, **person: object) -> Path:
    rng = np.random.default_rng(0)
    entries = []
    for number in range(4):
        rows = np.column_stack([rng.uniform(50, 200, (17, 2)), np.full(17, 2)])
        entry = {"id": number, "image_id": number // 2, "keypoints": rows.ravel().tolist()}
        entries.append(entry | {"segmentation": [[50, 50, 150, 50, 150, 250, 50, 250]]} | person)
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 300, "height": 280} for number in (0, 1)]
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    return path


def test_people_of_a_file(tmp_path: Path) -> None:
    people = from_keypoints("photos", annotations(tmp_path / "a.json"), None, COCO, 10, 0)
    assert len(people) == 4
    assert people.group.tolist() == [0, 0, 1, 1]
    assert people.labels[3] == "1.jpg, person 3"
    np.testing.assert_allclose(people.area_px, 100 * 200)
    mask = people.mask(0)
    assert mask is not None
    assert mask.shape == (280, 300)
    assert mask.sum() == pytest.approx(100 * 200, rel=0.02)
    assert people.ground_truth is None


def test_at_most_so_many(tmp_path: Path) -> None:
    source = annotations(tmp_path / "a.json")
    labels = [from_keypoints("photos", source, None, COCO, 2, seed).labels for seed in (0, 0, 1, 2, 3)]
    assert all(len(each) == 2 for each in labels)
    assert labels[0] == labels[1]
    assert len(set(labels)) > 1


def test_without_masks_and_in_other_joints(tmp_path: Path) -> None:
    people = from_keypoints("photos", annotations(tmp_path / "a.json", segmentation=None), None, HUMAN36, 10, 0)
    assert people.mask(0) is None
    assert people.joints_px.shape == (4, 17, 2)
    assert people.confidence[0, HUMAN36.index("left_knee")] == 1
    assert people.confidence[0, HUMAN36.index("head_top")] == 0
    assert (people.area_px > 1000).all()


def test_faults_name_the_person(tmp_path: Path) -> None:
    people = from_keypoints("photos", annotations(tmp_path / "a.json", segmentation=[[1, 2]]), None, COCO, 9, 0)
    with pytest.raises(InputError, match=r"photos: 0\.jpg, person 0: .* is no polygon"):
        people.mask(0)
    with pytest.raises(InputError, match="no such file"):
        from_keypoints("photos", tmp_path / "none.json", None, COCO, 9, 0)
