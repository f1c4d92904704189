"""COCO's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.readers.coco import read_coco
from pose2mesh.errors import InputError


def labels(folder: Path) -> Path:
    return folder / "annotations" / "person_keypoints_train2017.json"


def test_people_and_who_is_left_out(coco_folder: Path, cache: Path) -> None:
    records = read_coco(coco_folder, cache)
    assert records.annotation_id.tolist() == [100, 103, 105]
    assert records.left_out == {"crowd": 1, "no labelled keypoint": 1, "box without area": 1}
    assert records.faults == 0
    assert [records.files[i] for i in records.image] == ["train2017/000000000001.jpg"] + [
        "train2017/000000000002.jpg"
    ] * 2
    assert len(records.files) == 2


def test_joints_have_pelvis_and_neck(coco_folder: Path, cache: Path) -> None:
    records = read_coco(coco_folder, cache)
    joints = records.joints_px[0]
    assert joints.shape == (19, 3)
    np.testing.assert_allclose(joints[1], [10, 5, 0.7])  # hidden
    np.testing.assert_allclose(joints[2, 2], 0)
    np.testing.assert_allclose(joints[17], [115, 57.5, 1])  # hips 11 and 12
    np.testing.assert_allclose(joints[18], [55, 27.5, 1])  # shoulders 5 and 6


def test_a_middle_needs_both_sides(coco_folder: Path, cache: Path, edit_json: Callable) -> None:
    def hide_left_hip(data: dict) -> None:
        data["annotations"][0]["keypoints"][11 * 3 + 2] = 0

    edit_json(labels(coco_folder), hide_left_hip)
    np.testing.assert_array_equal(read_coco(coco_folder, cache).joints_px[0, 17], 0)


def test_fits_and_those_that_are_missing(coco_folder: Path, cache: Path) -> None:
    records = read_coco(coco_folder, cache)
    assert records.body_valid.tolist() == [True, False, True]
    np.testing.assert_allclose(records.weak_camera[0], [150, 150, 300, 200])
    np.testing.assert_allclose(records.weak_camera[2], [151, 151, 301, 201])
    assert np.isnan(records.weak_camera[1]).all()
    np.testing.assert_allclose(records.pose[2, 0], [2, 2.001, 2.002])
    assert records.intrinsics is None


def test_without_fits(coco_folder: Path, cache: Path) -> None:
    (coco_folder / "annotations" / "coco_smplify_train.json").unlink()
    assert not read_coco(coco_folder, cache).body_valid.any()


def test_annotations_before_images(coco_folder: Path, cache: Path, edit_json: Callable) -> None:
    def reorder(data: dict) -> None:
        data["images"] = data.pop("images")

    edit_json(labels(coco_folder), reorder)
    assert read_coco(coco_folder, cache).annotation_id.tolist() == [100, 103, 105]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda people: people[3].update(id=100), "annotation 100: id 100 is there twice"),
        (lambda people: people[3].update(image_id=9), "annotation 103: image_id 9 is not among the file's images"),
        (lambda people: people[3].pop("image_id"), "annotation 103: image_id is missing"),
        (lambda people: people[3]["keypoints"].pop(), "annotation 103: keypoints has 50 numbers, expected 51"),
        (lambda people: people[3].update(keypoints="x"), "annotation 103: keypoints is 'x', expected numbers"),
        (lambda people: people[3].update(bbox=None), "annotation 103: bbox "),
        (lambda people: people.__setitem__(3, 7), "annotation is 7, expected an object"),
    ],
)
def test_faults_name_file_and_id(
    coco_folder: Path, cache: Path, edit_json: Callable, change: Callable, message: str
) -> None:
    edit_json(labels(coco_folder), lambda data: change(data["annotations"]))
    with pytest.raises(InputError) as caught:
        read_coco(coco_folder, cache)
    assert str(caught.value).startswith(f"{labels(coco_folder)}: {message}")
    assert "\n" not in str(caught.value)
    records = read_coco(coco_folder, cache, on_fault="skip")
    assert records.annotation_id.tolist() == [100, 105]
    assert records.faults == 1
    assert message in records.fault_messages[0]


def test_a_faulty_fit(coco_folder: Path, cache: Path, edit_json: Callable) -> None:
    fits = coco_folder / "annotations" / "coco_smplify_train.json"
    edit_json(fits, lambda data: data["105"]["smpl_param"]["shape"].append(1))
    with pytest.raises(InputError, match="fit of annotation 105: smpl_param: shape has 11 numbers, expected 10"):
        read_coco(coco_folder, cache)
    records = read_coco(coco_folder, cache, on_fault="skip")
    assert records.body_valid.tolist() == [True, False, False]


def test_images_that_are_there(coco_folder: Path, cache: Path) -> None:
    folder = coco_folder / "images" / "train2017"
    folder.mkdir(parents=True)
    (folder / "000000000001.jpg").touch()
    with pytest.raises(InputError, match=r"annotation 103: its image .*000000000002\.jpg is not there"):
        read_coco(coco_folder, cache, images=coco_folder / "images")
    records = read_coco(coco_folder, cache, images=coco_folder / "images", on_fault="skip")
    assert (records.annotation_id.tolist(), records.faults) == ([100], 2)


def test_published_annotations(shared_data: Path, cache: Path) -> None:
    records = read_coco(shared_data, cache, annotations=shared_data / "coco_mini" / "person_keypoints.json")
    assert sum(records.left_out.values()) + len(records) == 147
    assert records.left_out["crowd"] > 0
    inside = records.joints_px[..., 2] > 0
    low, high = records.joints_px[inside][:, :2].min(), records.joints_px[inside][:, :2].max()
    assert 0 <= low <= high <= 640
