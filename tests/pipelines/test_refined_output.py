"""`--refine` of `predict`: people of a file with polygons, frames of a track, and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.inference.predictor import Predictor
from pose2mesh.pipelines.image_pipeline import predict_files
from pose2mesh.pipelines.predict_options import PredictOptions
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.body_track import BodyTrack, VideoConditions
from pose2mesh.pipelines.video.track_store import Track, track_dtype

SIZE = (640, 480)
# A person who leans to a side; x, y of COCO's 17 joints.
KEYPOINTS = np.array([
    (330, 100), (336, 94), (326, 95), (344, 99), (320, 101), (352, 138), (300, 132), (378, 180), (270, 160),
    (372, 135), (240, 130), (338, 230), (304, 230), (352, 305), (300, 300), (340, 380), (262, 345),
])  # fmt: skip
OUTLINE = [270, 120, 320, 80, 360, 80, 400, 180, 370, 250, 365, 395, 330, 395, 320, 290, 260, 360, 240, 340, 290, 240]


def coco_file(path: Path, segmentation: Any) -> Path:
    rows = np.column_stack([KEYPOINTS, np.full(17, 2)]).ravel().tolist()
    person = {"id": 70, "image_id": 1, "keypoints": rows, "segmentation": segmentation}
    image = {"id": 1, "file_name": "photo.jpg", "width": SIZE[0], "height": SIZE[1]}
    path.write_text(json.dumps({"images": [image], "annotations": [person]}))
    return path


def predict(source: Path, out: Path, refine: bool, model: str = "default") -> tuple[int, dict[str, Any], list[str]]:
    warned: list[str] = []
    chosen = PredictOptions(out, formats="json", refine=refine)
    status = predict_files([source], model, "cpu", chosen, warned.append, warned.append)
    file = out / f"{source.stem}.json"
    return status, json.loads(file.read_text()) if file.exists() else {}, warned


def mean_distance_px(document: dict[str, Any]) -> float:
    person = document["people"][0]
    distance = np.linalg.norm(np.array(person["joints2d_px"]) - np.array(person["input2d_px"]), axis=1)
    return float(distance[:17].mean())


def test_people_of_a_file(tmp_path: Path) -> None:
    """Bodies meet their joints; a polygon, which COCO files hold, changes their shape; run-length codes are left."""
    documents = {}
    for name, polygons, refine in (
        ("plain", [OUTLINE], False),
        ("mask", [OUTLINE], True),
        ("none", None, True),
        ("run", {"counts": [1, 2], "size": [480, 640]}, True),
    ):
        status, documents[name], _ = predict(coco_file(tmp_path / f"{name}.json", polygons), tmp_path / name, refine)
        assert status == 0
        assert documents[name]["refined"] is refine
    assert mean_distance_px(documents["none"]) < 0.75 * mean_distance_px(documents["plain"])
    assert mean_distance_px(documents["mask"]) < mean_distance_px(documents["plain"])
    joints = {name: np.array(document["people"][0]["joints3d_m"]) for name, document in documents.items()}
    assert np.array_equal(joints["none"], joints["run"])
    assert not np.allclose(joints["none"], joints["mask"])


def test_a_polygon_that_is_none(tmp_path: Path) -> None:
    status, document, warned = predict(coco_file(tmp_path / "bad.json", [[1, 2, 3]]), tmp_path / "out", True)
    assert status == 2
    assert document == {}
    assert "bad: person 70: segmentation: '[1, 2, 3]' is no polygon; expected x, y, x, y" in warned[0]


def test_a_model_of_another_body(tmp_path: Path, bundle_file: Path) -> None:
    with pytest.raises(InputError, match="--refine: model 'small' is of body 'ellipsoid'; expected 'anny'"):
        predict(coco_file(tmp_path / "a.json", None), tmp_path / "out", True, str(bundle_file))
    assert not (tmp_path / "out").exists()


def test_frames_of_a_track(tmp_path: Path) -> None:
    predictor = Predictor.load()
    distances = []
    for refine in (False, True):
        folder = tmp_path / str(refine)
        folder.mkdir()
        rows = np.zeros(3, track_dtype(predictor.joint_set))
        rows["joints_px"][:, :17], rows["confidence"][:, :17] = KEYPOINTS, 1
        rows["joints3d_m"] = np.nan
        track = ArrayFile(folder / "track.rows", rows.dtype)
        track.append(rows)
        body = BodyTrack(
            Track(0, 0, folder, track),
            predictor,
            VideoConditions(25, SIZE, nominal_intrinsics(SIZE), None, False, refine),
        )
        body.finish(None, lambda count: None)
        person = body.person(1)
        distances.append(np.linalg.norm(person.camera.project(person.joints)[:17] - KEYPOINTS, axis=1).mean())
    assert distances[1] < 0.8 * distances[0]
