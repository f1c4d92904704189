"""The detector that ships, on images of COCO where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.blazepose_detector import BlazePoseDetector
from pose2mesh.detectors.blazepose.landmark_network import refine
from pose2mesh.detectors.blazepose.shipped_network import FOLDER, SHA256, ShippedNetwork
from pose2mesh.detectors.detection import Detection, FollowingDetector
from pose2mesh.detectors.nms import pose_similarity
from pose2mesh.errors import InputError
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import COCO17


@pytest.fixture(scope="module")
def detector() -> BlazePoseDetector:
    return BlazePoseDetector()


@pytest.fixture(scope="module")
def labelled(shared_data: Path) -> tuple[NDArray[np.uint8], Detection]:
    """An image of COCO, and its largest person with all joints labelled."""
    folder = shared_data / "coco_mini"
    data = json.loads((folder / "person_keypoints.json").read_text())
    people = [each for each in data["annotations"] if each["num_keypoints"] >= 16 and not each["iscrowd"]]
    person = max(people, key=lambda each: each["area"])
    name = next(each["file_name"] for each in data["images"] if each["id"] == person["image_id"])
    rows = np.array(person["keypoints"], np.float32).reshape(17, 3)
    left, top, width, height = person["bbox"]
    box = np.array([left, top, left + width, top + height], np.float32)
    image = read_image(folder / "images" / name)
    return image, Detection(rows[:, :2], (rows[:, 2] > 0).astype(np.float32), box, 1.0)


def best(people: list[Detection], person: Detection) -> Detection:
    return max(people, key=lambda each: pose_similarity(each, person))


def test_a_person_is_found_where_the_labels_are(
    detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]
) -> None:
    image, person = labelled
    people = detector(image)
    assert [each.score for each in people] == sorted((each.score for each in people), reverse=True)
    found = best(people, person)
    assert pose_similarity(found, person) > 0.75
    assert found.landmarks_px is not None
    assert found.landmarks_px.shape == (33, 3)


def test_3d_joints_are_a_body_in_metres(
    detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]
) -> None:
    joints = best(detector(labelled[0]), labelled[1]).joints3d_m
    assert joints is not None
    hips, shoulders = ([COCO17.index(f"{side}_{name}") for side in ("left", "right")] for name in ("hip", "shoulder"))
    np.testing.assert_allclose(joints[hips].mean(0), 0, atol=1e-6)
    assert 0.3 < np.linalg.norm(joints[shoulders].mean(0)) < 0.7
    assert joints[shoulders, 1].max() < 0  # y is down


def test_the_mask_covers_the_person(detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]) -> None:
    mask = best(detector(labelled[0]), labelled[1]).mask
    assert mask is not None
    to_mask = np.linalg.inv(np.vstack([mask.to_image, [0, 0, 1]]))
    visible = labelled[1].confidence > 0
    points = np.column_stack([labelled[1].joints_px[visible], np.ones(visible.sum())]) @ to_mask.T
    columns, rows = points[:, :2].round().astype(int).T
    inside = (columns >= 0) & (columns < 256) & (rows >= 0) & (rows < 256)
    assert (mask.probability[rows[inside], columns[inside]] > 0.5).mean() > 0.7
    assert mask.probability[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.5


def test_a_turned_image_gives_turned_joints(
    detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]
) -> None:
    image, person = labelled
    turned = np.ascontiguousarray(np.rot90(image))  # counter-clockwise: (x, y) → (y, W − 1 − x)
    joints = np.stack([person.joints_px[:, 1], image.shape[1] - 1 - person.joints_px[:, 0]], axis=1)
    expected = Detection(joints, person.confidence, person.box_px, 1.0)
    assert pose_similarity(best(detector(turned), expected), expected) > 0.6


def test_one_pose_per_box(detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]) -> None:
    image, person = labelled
    corner = np.array([0, 0, 12, 12], np.float32)
    nothing, found = detector(image, np.stack([corner, person.box_px]))
    assert nothing.score == 0
    assert not nothing.confidence.any()
    np.testing.assert_array_equal(found.box_px, person.box_px)
    assert pose_similarity(found, person) > 0.75


def test_a_person_is_followed_without_detecting_them_anew(
    detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]
) -> None:
    image, person = labelled
    moved = np.roll(image, 6, axis=1)
    followed, nobody = detector.follow(
        moved, np.stack([person.joints_px, person.joints_px - 10_000]), np.stack([person.confidence] * 2)
    )
    expected = Detection(person.joints_px + np.float32([6, 0]), person.confidence, person.box_px, 1.0)
    assert pose_similarity(followed, expected) > 0.75
    assert nobody.score == 0
    assert not nobody.confidence.any()


def test_a_glance_finds_a_large_person(
    detector: BlazePoseDetector, labelled: tuple[NDArray[np.uint8], Detection]
) -> None:
    image, person = labelled
    assert isinstance(detector, FollowingDetector)
    assert pose_similarity(best(detector.glance(image), person), person) > 0.6


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (240, 320, 3)])
def test_no_person_in_an_image_without_any(detector: BlazePoseDetector, shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert detector(noise) == []


def test_other_arrays_are_refused(detector: BlazePoseDetector) -> None:
    with pytest.raises(InputError, match=r"image: has shape \(4, 4\) of uint8; expected \(H, W, 3\) of uint8"):
        detector(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("name", SHA256)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    data = bytearray((FOLDER / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name}: is damaged, .*; expected {SHA256[name]}; `pip install"):
        ShippedNetwork(name, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(No such file or directory\); `pip install"):
        ShippedNetwork(name, tmp_path)


def test_landmarks_move_to_the_peak_of_a_certain_heat_map() -> None:
    heatmaps = np.full((2, 64, 64), -20.0, np.float32)
    heatmaps[0, 30, 20] = 8.0
    heatmaps[1, 30, 20] = -1.0  # below the least peak
    points = np.array([[21.5 / 64, 31.5 / 64]] * 2)
    refined = refine(points, heatmaps)
    np.testing.assert_allclose(refined[0], (20 / 64, 30 / 64), atol=1e-3)
    np.testing.assert_array_equal(refined[1], points[1])
