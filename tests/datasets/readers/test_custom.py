"""The reader of the user's own data: COCO format with optional 3D labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.datasets.readers.custom import read_custom
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO, HAND
from tests.datasets.literature import project, regressor, towards_camera, write_json

KEYPOINTS = [value for joint in range(17) for value in (10 * joint, 5 * joint, 2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four people: with everything, with keypoints alone, without a label, a crowd; a detection of the first."""
    person = towards_camera(1)
    joints = regressor("coco") @ person.vertices()
    pixels = np.column_stack((project(joints), np.full(17, 2)))
    pixels[0, 2] = 1
    common = {"image_id": 7, "category_id": 1, "iscrowd": 0}
    whole = {"joint_cam": joints.tolist(), "smpl_param": {**person.parameters, "gender": "female"}}
    annotations = [
        {"id": 1, **common, "keypoints": pixels.ravel().tolist(), "bbox": [1, 2, 30, 40], **whole},
        {"id": 2, **common, "image_id": 8, "keypoints": KEYPOINTS},
        {"id": 3, **common, "keypoints": [0] * 51},
        {"id": 4, **common, "keypoints": KEYPOINTS, "iscrowd": 1},
    ]
    size = {"width": 1000, "height": 800}
    images = [
        {"id": 7, "file_name": "7.jpg", **size, "cam_param": {"focal": [1145, 1143], "princpt": [512, 515]}},
        {"id": 8, "file_name": "8.jpg", **size},
    ]
    write_json(tmp_path / "mine" / "annotations.json", {"images": images, "annotations": annotations})
    write_json(tmp_path / "mine" / "detections.json", [{"annotation_id": 1, "keypoints": pixels[:, :2].tolist()}])
    return tmp_path / "mine"


def test_what_there_is_of_everyone(folder: Path, cache: Path) -> None:
    records = read_custom(folder, cache)
    assert records.annotation_id.tolist() == [1, 2]
    assert records.left_out == {"no labelled keypoint": 1, "crowd": 1}
    assert records.schema.joints == records.schema.detected == COCO.names
    assert records.body_valid is not None
    assert records.body_valid.tolist() == [True, False]
    assert records.gender is not None
    assert records.gender.tolist() == [2, 0]
    assert records.joints_px is not None
    assert records.joints_px[0, 0, 2] == pytest.approx(0.7)  # hidden
    assert records.joints_m is not None
    pelvis = records.joints_m[0, [COCO.index("left_hip"), COCO.index("right_hip")]].mean(0)
    np.testing.assert_allclose(records.joints_m[0, COCO.index("pelvis")], pelvis, rtol=1e-5)
    assert records.joints_valid is not None
    assert records.joints_valid.all(1).tolist() == [True, False]
    assert records.intrinsics is not None
    assert records.intrinsics[0].tolist() == [1145, 1143, 512, 515]
    assert np.isnan(records.intrinsics[1]).all()
    assert records.detected_px is not None
    assert (records.detected_px[..., 2].min(1) > 0).tolist() == [True, False]


def test_keypoints_alone(folder: Path, cache: Path) -> None:
    (folder / "detections.json").unlink()
    records = read_custom(folder, cache, annotations=folder / "annotations.json")
    assert records.detected_px is None


def test_hands_have_mano(tmp_path: Path, cache: Path) -> None:
    hand = {"pose": [0.1] * 48, "shape": [0.0] * 10}
    annotation = {"id": 1, "image_id": 1, "keypoints": [1, 2, 2] * 21, "mano_param": hand}
    image = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}
    write_json(tmp_path / "annotations.json", {"images": [image], "annotations": [annotation]})
    records = read_custom(tmp_path, cache, joints="hand")
    assert (records.schema.body, records.schema.joints) == ("mano", HAND.names)
    assert records.pose is not None
    assert records.pose.shape == (1, 16, 3)
    with pytest.raises(InputError, match=r"annotation 1: keypoints has 63 numbers, expected 51"):
        read_custom(tmp_path, cache)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"keypoints": [*KEYPOINTS[:-1], 3]},
            "annotation 2: keypoints have a flag of visibility that is not 0, 1 or 2",
        ),
        ({"joint_cam": [[1, 2]]}, "annotation 2: joint_cam has 2 numbers, expected 51"),
        ({"smpl_param": {"pose": [0] * 72}}, "annotation 2: smpl_param: shape is missing"),
        ({"smpl_param": {"pose": [0] * 71, "shape": [0] * 10}}, "smpl_param: pose has 71 numbers, expected 72"),
        ({"image_id": 99}, "annotation 2: image_id 99 is not among the file's images"),
        ({"id": 1}, "annotation 1: id 1 is there twice"),
    ],
)
def test_what_is_wrong_is_named(
    change: dict[str, Any], fault: str, folder: Path, cache: Path,
    edit_json: Callable[[Path, Callable[[Any], Any]], None],
) -> None:  # fmt: skip
    edit_json(folder / "annotations.json", lambda values: values["annotations"][1].update(change))
    with pytest.raises(InputError) as caught:
        read_custom(folder, cache)
    assert str(caught.value) == f"{folder / 'annotations.json'}: {fault}" or fault in str(caught.value)
    assert len(read_custom(folder, cache, on_fault="skip")) == 1


def test_an_unknown_order_of_joints(folder: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="joints 'coko' is not known"):
        read_custom(folder, cache, joints="coko")


def test_the_example_in_the_documents_is_read(tmp_path: Path, cache: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    example = page.split("```json")[1].split("```")[0]
    values = json.loads(example)
    (tmp_path / "annotations.json").write_text(json.dumps(values))
    records = read_custom(tmp_path, cache)
    assert records.body_valid is not None
    assert records.body_valid.any()
