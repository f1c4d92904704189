"""Data sets recognised by the names of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose2mesh.errors import InputError
from pose2mesh.evaluation.dataset_checks.folder_layout import recognise
from tests.datasets import literature


def test_all_of_the_literature(tmp_path: Path) -> None:
    data = literature.write_data_sets(tmp_path)
    found = {}
    for folder in sorted(data.iterdir()):
        parts = recognise(folder)
        found[folder.name] = [(part.name, part.config.split) for part in parts]
        for part in parts:
            assert len(part.open(tmp_path / "cache")) > 0
    assert found == {
        "AMASS": [("amass", None)],
        "COCO": [("coco", "train")],
        "FreiHAND": [("freihand", "training"), ("freihand", "evaluation"), ("freihand_coco", "train")],
        "Human36M": [("human36m", "train"), ("human36m", "test")],
        "MuCo": [("muco", None)],
        "PW3D": [("pw3d", "validation"), ("pw3d", "test")],
        "SURREAL": [("surreal", "train"), ("surreal", "val")],
    }


def test_sequences_and_where_images_are(tmp_path: Path) -> None:
    (tmp_path / "sequenceFiles" / "train").mkdir(parents=True)
    (tmp_path / "sequenceFiles" / "train" / "courtyard_golf_00.pkl").touch()
    (part,) = recognise(tmp_path)
    assert (part.name, part.config.split, part.images) == ("pw3d_sequences", "train", tmp_path / "imageFiles")
    assert part.title == "3DPW, train"


def test_detections_are_read_where_their_file_is(tmp_path: Path) -> None:
    literature.write_surreal(tmp_path / "set")
    (tmp_path / "set" / "data" / "hrnet_output_on_trainset.json").unlink()
    train, val = (part.open(tmp_path / "cache") for part in recognise(tmp_path / "set"))
    assert not (train.detected_px[..., 2] > 0).any()
    assert (val.detected_px[..., 2] > 0).any()


def test_own_hands_and_own_bodies(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}
    for name, joints in (("people", 17), ("hands", 21)):
        keypoints = [float(number) for joint in range(joints) for number in (20 + 10 * joint, 30 + 5 * joint, 2)]
        annotation = {"id": 7, "image_id": 1, "keypoints": keypoints}
        literature.write_json(tmp_path / f"{name}.json", {"images": [image], "annotations": [annotation]})
    literature.write_json(tmp_path / "detections.json.txt", [])
    literature.write_json(tmp_path / "results.json", [{"image_id": 1}])
    hands, people = recognise(tmp_path)
    assert (hands.config.joints, people.config.joints) == ("hand", None)
    assert [part.images for part in (hands, people)] == [tmp_path] * 2
    (tmp_path / "images").mkdir()
    (alone,) = recognise(tmp_path / "people.json")
    assert alone.images == tmp_path / "images"
    assert alone.open(tmp_path / "cache").annotation_id.tolist() == [7]


def test_unknown_folders_and_files(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text("[1, 2]")
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="expected a"):
            recognise(path)
    with pytest.raises(InputError, match=r"notes\.json: no annotation with keypoints, expected a COCO keypoint file"):
        recognise(file)
