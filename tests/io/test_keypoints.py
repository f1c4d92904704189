"""Reading 2D keypoints: every format as its authors write it, and every way a file can be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.keypoints import VISIBILITY_CONFIDENCE, read_keypoints
from pose2mesh.skeletons import COCO, COCO17, FEET, HANDS, HUMAN36, INPUT_ORDERS, MEDIAPIPE33, OPENPOSE25

# Joint i of a made-up person is at (10 i + 100, 7 i + 50): all differ, so that a wrong order shows.
XY = np.stack([np.arange(33) * 10 + 100, np.arange(33) * 7 + 50], axis=1)


def flat(third: Any, count: int = 17) -> list[float]:
    """A person's `count` joints as JSON has them, with the third number(s) given."""
    column = np.broadcast_to(np.asarray(third, float), (count,))
    return np.column_stack([XY[:count], column]).ravel().tolist()


def annotation(identifier: int = 7, image_id: Any = 1, **changes: Any) -> dict[str, Any]:
    box = [1.0, 2.0, 30.0, 40.0]
    entry = {"id": identifier, "image_id": image_id, "category_id": 1, "iscrowd": 0, "bbox": box, "keypoints": flat(2)}
    return entry | changes


def coco(annotations: Any, pictures: int = 1, **changes: Any) -> dict[str, Any]:
    images = [{"id": i + 1, "file_name": f"photo_{i + 1}.jpg", "width": 640, "height": 480} for i in range(pictures)]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO17)}]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def save(path: Path, array: Any) -> Path:
    np.save(path, np.asarray(array))
    return path


def few(count: int) -> np.ndarray:
    """(17,) visibility flags with the first `count` joints labelled."""
    return np.where(np.arange(17) < count, 2, 0)


# What is read


def test_coco_annotations_keep_joints_boxes_ids_and_pictures(tmp_path: Path) -> None:
    polygon = [[0, 0, 5, 0, 5, 5]]
    people = [annotation(9, 2), annotation(8, 1, segmentation=polygon), annotation(9, 2)]
    pictures = read_keypoints(write(tmp_path / "people.json", coco(people, pictures=3)))

    assert [picture.stem for picture in pictures] == ["photo_1", "photo_2", "photo_3"]
    assert [picture.image_name for picture in pictures] == ["photo_1.jpg", "photo_2.jpg", "photo_3.jpg"]
    assert [picture.size for picture in pictures] == [(640, 480)] * 3
    assert [[person.identifier for person in picture.people] for picture in pictures] == [[8], [9, 9], []]
    person = pictures[0].people[0]
    assert person.joints_px.dtype == person.confidence.dtype == np.float32
    np.testing.assert_array_equal(person.joints_px[:17], XY[:17])
    np.testing.assert_array_equal(person.joints_px[COCO.index("pelvis")], XY[[11, 12]].mean(axis=0))
    np.testing.assert_array_equal(person.joints_px[COCO.index("neck")], XY[[5, 6]].mean(axis=0))
    np.testing.assert_array_equal(person.confidence, np.ones(19))
    assert person.box_px == (1.0, 2.0, 30.0, 40.0)
    assert person.mask == polygon
    assert pictures[1].people[0].mask is None


def test_one_picture_takes_the_stem_of_the_input_file(tmp_path: Path) -> None:
    [picture] = read_keypoints(write(tmp_path / "people.json", coco([annotation()])))
    assert (picture.stem, picture.image_name, picture.image_id) == ("people", "photo_1.jpg", 1)


def test_stems_stay_apart_and_inside_the_output_folder(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg", "../../etc/2.jpg", r"c:\d\3.png", None]
    images = [{"id": f"x/{i}", "file_name": name} for i, name in enumerate(names)]
    people = [annotation(image_id="x/0")]
    pictures = read_keypoints(write(tmp_path / "in.json", coco(people, images=images)))
    assert [picture.stem for picture in pictures] == ["1", "1_x_1", "2", "3", "in_x_4"]


def test_visibility_becomes_confidence(tmp_path: Path) -> None:
    assert VISIBILITY_CONFIDENCE == {0: 0, 1: 0.7, 2: 1}
    flags = np.array([2, 1, 0] + [2] * 14)
    [picture] = read_keypoints(write(tmp_path / "in.json", coco([annotation(keypoints=flat(flags))])))
    person = picture.people[0]
    np.testing.assert_allclose(person.confidence[:4], [1, VISIBILITY_CONFIDENCE[1], 0, 1])
    np.testing.assert_array_equal(person.joints_px[2], [0, 0])


def test_scores_beside_the_flags_are_the_confidences(tmp_path: Path) -> None:
    scores = np.linspace(0.95, 0.3, 17).tolist()
    flags = np.array([2, 1, 0] + [2] * 14)
    person = annotation(keypoints=flat(flags), keypoint_scores=scores)
    [picture] = read_keypoints(write(tmp_path / "in.json", coco([person])))
    np.testing.assert_allclose(picture.people[0].confidence[:4], [*scores[:2], 0, scores[3]], rtol=1e-6)
    with pytest.raises(InputError, match=r"keypoint_scores is .*; expected 17 finite numbers"):
        read_keypoints(write(tmp_path / "in.json", coco([annotation(keypoint_scores=scores[:3])])))


def test_derived_joints_are_missing_with_their_sources(tmp_path: Path) -> None:
    flags = np.full(17, 2)
    flags[COCO.index("left_hip")] = 0
    flags[COCO.index("left_shoulder")] = 1
    [picture] = read_keypoints(write(tmp_path / "in.json", coco([annotation(keypoints=flat(flags))])))
    assert picture.people[0].confidence[COCO.index("pelvis")] == 0
    assert picture.people[0].confidence[COCO.index("neck")] == pytest.approx(VISIBILITY_CONFIDENCE[1])


def test_category_names_tell_the_order(tmp_path: Path) -> None:
    backwards = [name.replace("_", " ").title() for name in reversed(COCO17)]
    content = coco([annotation()], categories=[{"id": 1, "name": "person", "keypoints": backwards}])
    person = read_keypoints(write(tmp_path / "in.json", content), joints="human36")[0].people[0]
    np.testing.assert_array_equal(person.joints_px[:17], XY[:17][::-1])
    assert person.original_names == tuple(reversed(COCO17))


def test_foreign_category_names_need_the_order_told(tmp_path: Path) -> None:
    names = [f"kp{i}" for i in range(17)]
    file = write(tmp_path / "in.json", coco([annotation()], categories=[{"id": 1, "keypoints": names}]))
    with pytest.raises(InputError, match=r"annotations\[0\] \(id 7\).*kp0.*--joints"):
        read_keypoints(file)
    person = read_keypoints(file, joints="human36")[0].people[0]
    np.testing.assert_array_equal(person.joints_px[COCO.index("right_knee")], XY[HUMAN36.index("right_knee")])


def test_coco_file_without_categories_is_in_the_order_told(tmp_path: Path) -> None:
    content = coco([annotation()])
    del content["categories"]
    person = read_keypoints(write(tmp_path / "in.json", content))[0].people[0]
    np.testing.assert_array_equal(person.joints_px[:17], XY[:17])


def test_people_who_cannot_be_recovered_are_listed(tmp_path: Path) -> None:
    same = [100.0, 50.0, 2.0] * 17
    upright = np.column_stack([np.full(17, 100), XY[:17, 1], np.full(17, 2)]).ravel().tolist()
    without = annotation(6)
    del without["keypoints"]
    people = [
        annotation(1, iscrowd=1, keypoints=[0] * 51),
        annotation(2, keypoints=flat(few(4))),
        annotation(3, keypoints=flat(few(5))),
        annotation(4, keypoints=same),
        annotation(5, keypoints=upright),
        without,
        annotation(7, keypoints=flat(few(1))),
    ]
    [picture] = read_keypoints(write(tmp_path / "in.json", coco(people)))
    assert [person.identifier for person in picture.people] == [3]
    assert [(skip.identifier, skip.reason) for skip in picture.skipped] == [
        (1, "a crowd region, not one person"),
        (2, "4 labelled keypoints, at least 5 are needed"),
        (4, "all labelled keypoints are in one place"),
        (5, "all labelled keypoints are on one vertical or horizontal line"),
        (6, "0 labelled keypoints, at least 5 are needed"),
        (7, "1 labelled keypoint, at least 5 are needed"),
    ]


def test_minimum_joints_counts_labels_not_derived_joints(tmp_path: Path) -> None:
    shoulders_and_hips = np.zeros(17)
    shoulders_and_hips[[5, 6, 11, 12]] = 2  # pelvis and neck follow from these: six in all
    file = write(tmp_path / "in.json", coco([annotation(keypoints=flat(shoulders_and_hips)), annotation()]))
    assert read_keypoints(file)[0].skipped[0].reason.startswith("4 labelled")
    assert len(read_keypoints(file, minimum_joints=4)[0].people) == 2


def test_coco_results_are_grouped_by_picture(tmp_path: Path) -> None:
    def result(image_id: int, score: float) -> dict[str, Any]:
        return {"image_id": image_id, "category_id": 1, "keypoints": flat(np.linspace(-0.2, 1.4, 17)), "score": score}

    pictures = read_keypoints(write(tmp_path / "det.json", [result(42, 0.9), result(7, 0.8), result(42, 0.7)]))
    assert [picture.stem for picture in pictures] == ["det_42", "det_7"]
    assert [[person.score for person in picture.people] for picture in pictures] == [[0.9, 0.7], [0.8]]
    assert [[person.identifier for person in picture.people] for picture in pictures] == [[0, 2], [1]]
    person = pictures[0].people[0]
    np.testing.assert_allclose(person.confidence[:17], np.linspace(-0.2, 1.4, 17).clip(0, 1), atol=1e-6)
    np.testing.assert_array_equal(person.joints_px[:2], 0)

    [picture] = read_keypoints(write(tmp_path / "det.json", [result(42, 0.9)]))
    assert (picture.stem, picture.size, picture.image_name) == ("det", None, None)


def openpose(people: int = 1, third: Any = 0.5) -> dict[str, Any]:
    person = {"person_id": [-1], "pose_keypoints_2d": flat(third, 25), "face_keypoints_2d": []}
    return {"version": 1.3, "people": [person] * people}


def test_openpose_file(tmp_path: Path) -> None:
    content = openpose(2)
    content["people"][1] = {"pose_keypoints_2d": [0, 0, 0] * 3 + flat(0.5, 25)[9:]}
    [picture] = read_keypoints(write(tmp_path / "x_keypoints.json", content))
    assert picture.stem == "x_keypoints"
    assert [person.identifier for person in picture.people] == [0, 1]
    first, second = picture.people
    for position, name in enumerate(COCO.names):
        np.testing.assert_array_equal(first.joints_px[position], XY[OPENPOSE25.index(name)], err_msg=name)
    np.testing.assert_allclose(first.confidence, 0.5)
    missing = [COCO.index(name) for name in ("nose", "neck", "right_shoulder")]
    np.testing.assert_array_equal(second.confidence[missing], 0)


def test_openpose_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for frame, people in ((2, 1), (0, 2), (1, 0)):
        write(tmp_path / f"clip_{frame:012d}_keypoints.json", openpose(people))
    (tmp_path / "readme.txt").write_text("not a frame")
    pictures = read_keypoints(tmp_path)
    assert [picture.stem for picture in pictures] == [f"clip_{frame:012d}_keypoints" for frame in range(3)]
    assert [len(picture.people) for picture in pictures] == [2, 0, 1]


def test_openpose_without_a_body_is_skipped(tmp_path: Path) -> None:
    content = openpose(2)
    content["people"][0] = {"pose_keypoints_2d": []}
    [picture] = read_keypoints(write(tmp_path / "in.json", content))
    assert (len(picture.people), picture.skipped[0].identifier) == (1, 0)


def near(name: str, names: tuple[str, ...] = OPENPOSE25, confidence: float = 0.8) -> list[float]:
    """A hand of 21 joints beside one of the body's."""
    x, y = XY[names.index(name)]
    return [value for joint in range(21) for value in (float(x + joint), float(y + 1), confidence)]


def hands(**changes: Any) -> dict[str, Any]:
    """OpenPose's JSON of one person with both hands."""
    content = openpose()
    arrays = {f"hand_{side}_keypoints_2d": near(f"{side}_wrist") for side in ("left", "right")}
    content["people"][0] |= arrays | changes
    return content


def test_openpose_with_hands(tmp_path: Path) -> None:
    [person] = read_keypoints(write(tmp_path / "a.json", hands()))[0].people
    assert person.original_names == (*OPENPOSE25, *HANDS["left"], *HANDS["right"])
    assert person.notes == ()
    np.testing.assert_allclose(person.original[25:46, 0], XY[OPENPOSE25.index("left_wrist"), 0] + np.arange(21))
    [left] = read_keypoints(write(tmp_path / "b.json", hands(hand_right_keypoints_2d=[])))[0].people
    assert left.original_names == (*OPENPOSE25, *HANDS["left"])


def test_openpose_hands_without_a_body_are_skipped(tmp_path: Path) -> None:
    content = hands(pose_keypoints_2d=[])
    content["people"].append(openpose()["people"][0])
    [picture] = read_keypoints(write(tmp_path / "a.json", content))
    [skip] = picture.skipped
    expected = "hands without a body: 0 labelled keypoints of the body, at least 5 are needed"
    assert (skip.identifier, skip.reason) == (0, expected)
    del content["people"][0]["pose_keypoints_2d"]
    with pytest.raises(InputError, match=r"people\[0\]: has arrays of hands without pose_keypoints_2d"):
        read_keypoints(write(tmp_path / "b.json", content))


def test_openpose_hand_of_another_length_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"people\[0\]: hand_left_keypoints_2d has 20 joints; expected 21"):
        read_keypoints(write(tmp_path / "a.json", hands(hand_left_keypoints_2d=near("left_wrist")[:60])))


def test_a_hand_far_from_its_wrist_is_missing_and_noted(tmp_path: Path) -> None:
    far = [9000.0 if index % 3 == 0 else value for index, value in enumerate(near("left_wrist"))]
    [person] = read_keypoints(write(tmp_path / "a.json", hands(hand_left_keypoints_2d=far)))[0].people
    assert person.notes == ("the left hand is far from its wrist and is left out",)
    assert (person.original[25:46, 2] == 0).all()
    assert (person.original[46:, 2] > 0).all()


def test_coco_wholebody_annotations_bring_feet_and_hands(tmp_path: Path) -> None:
    feet = [value for joint in range(6) for value in (200.0 + joint, 150.0, 1)]
    whole = annotation(
        foot_kpts=feet,
        lefthand_kpts=near("left_wrist", COCO17, 2),
        righthand_kpts=[0.0] * 63,
        face_kpts=[1.0, 1.0, 2.0] * 68,
    )
    for content in (coco([whole]), [{"image_id": 1, "score": 0.9} | whole]):
        [person] = read_keypoints(write(tmp_path / "a.json", content))[0].people
        assert person.original_names == (*COCO17, *FEET, *HANDS["left"], *HANDS["right"])
        np.testing.assert_array_equal(person.original[17:23, 0], 200 + np.arange(6))
        np.testing.assert_array_equal(person.original[23:44, 2], 1)
        np.testing.assert_array_equal(person.original[44:, 2], 0)


def test_zeros_of_a_whole_body_are_missing(tmp_path: Path) -> None:
    rows = np.zeros((2, 133, 3))
    rows[0, :17] = np.column_stack([XY[:17], np.ones(17)])
    rows[1, 91:112] = np.reshape(near("left_wrist", COCO17), (21, 3))
    [picture] = read_keypoints(save(tmp_path / "a.npy", rows), joints="wholebody133")
    [person] = picture.people
    assert person.original_names == INPUT_ORDERS["wholebody133"]
    assert (person.original[17:, 2] == 0).all()
    assert (person.confidence == 1).all()
    assert picture.skipped[0].reason.startswith("hands without a body: 0 labelled keypoints of the body")


@pytest.mark.parametrize(("order", "count"), [("halpe26", 26), ("halpe136", 136)])
def test_halpe_is_an_order_of_arrays(tmp_path: Path, order: str, count: int) -> None:
    rows = np.zeros((count, 3))
    rows[:17] = np.column_stack([XY[:17], np.ones(17)])
    [person] = read_keypoints(save(tmp_path / "a.npy", rows), joints=order)[0].people
    np.testing.assert_array_equal(person.joints_px[:17], XY[:17])


def test_pictures_in_which_nobody_was_found_are_no_fault(tmp_path: Path) -> None:
    for content in (openpose(0), coco([])):
        [picture] = read_keypoints(write(tmp_path / "in.json", content))
        assert (picture.people, picture.skipped) == ([], [])


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.float16, np.float64])
def test_npy_of_one_person(tmp_path: Path, dtype: type) -> None:
    [picture] = read_keypoints(save(tmp_path / "one.npy", XY[:17].astype(dtype)))
    assert picture.stem == "one"
    np.testing.assert_array_equal(picture.people[0].joints_px[:17], XY[:17])
    np.testing.assert_array_equal(picture.people[0].confidence, 1)


def test_npy_of_several_people_with_confidence(tmp_path: Path) -> None:
    people = np.stack([np.column_stack([XY[:17] + shift, np.linspace(0, 1, 17)]) for shift in (0, 5, 9)])
    [picture] = read_keypoints(save(tmp_path / "three.npy", people))
    assert [person.identifier for person in picture.people] == [0, 1, 2]
    for person, shift in zip(picture.people, (0, 5, 9), strict=True):
        np.testing.assert_array_equal(person.joints_px[1:17], XY[1:17] + shift)
        np.testing.assert_allclose(person.confidence[:17], np.linspace(0, 1, 17), atol=1e-6)


def test_npy_of_19_joints_keeps_pelvis_and_neck(tmp_path: Path) -> None:
    [picture] = read_keypoints(save(tmp_path / "a.npy", XY[:19]))
    np.testing.assert_array_equal(picture.people[0].joints_px, XY[:19])


def test_npy_in_mediapipe_order(tmp_path: Path) -> None:
    [picture] = read_keypoints(save(tmp_path / "a.npy", XY), joints="mediapipe33")
    person = picture.people[0]
    for position, name in enumerate(COCO17):
        np.testing.assert_array_equal(person.joints_px[position], XY[MEDIAPIPE33.index(name)], err_msg=name)
    assert person.original.shape == (33, 3)
    assert person.original_names == MEDIAPIPE33


def test_the_origin_is_a_missing_joint_where_there_is_no_confidence(tmp_path: Path) -> None:
    people = XY[:17].copy()
    people[3] = 0
    assert read_keypoints(save(tmp_path / "a.npy", people))[0].people[0].confidence[3] == 0
    with_confidence = np.column_stack([people, np.ones(17)])
    assert read_keypoints(save(tmp_path / "b.npy", with_confidence))[0].people[0].confidence[3] == 1


def test_npz_takes_its_only_array_or_the_named_one(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    choices: list[dict[str, Any]] = [
        {"anything": XY[:17]},
        {"joints2d": XY[:17], "other": XY},
        {"keypoints": XY[:17], "joints2d": XY},
    ]
    for arrays in choices:
        np.savez(file, **arrays)
        np.testing.assert_array_equal(read_keypoints(file)[0].people[0].joints_px[:17], XY[:17])


def test_upper_case_suffixes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", XY[:17])
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    assert len(read_keypoints(tmp_path / "a.NPY")[0].people) == 1


def test_not_finite_is_allowed_where_confidence_is_zero(tmp_path: Path) -> None:
    rows = np.column_stack([XY[:17], np.ones(17)])
    rows[4] = np.nan, np.inf, 0
    person = read_keypoints(save(tmp_path / "a.npy", rows))[0].people[0]
    assert np.isfinite(person.joints_px).all()
    assert np.isfinite(person.original).all()
    assert person.confidence[4] == 0


# What is refused: always one line, naming the file


def refused(path: Path, *parts: str, **options: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_keypoints(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(
    "text", ["", " ", "{", json.dumps(coco([annotation()]))[:-40], "[1, 2", "[" * 100_000, "{'a': 1}"]
)
def test_broken_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.json").write_text(text)
    refused(tmp_path / "in.json", "cannot be read as JSON")


def test_json_of_another_encoding_or_none(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(b"\xff\xd8\xff\xe0 a photo\x00")
    refused(file, "cannot be read as JSON")
    file.write_text(json.dumps(coco([annotation()])), encoding="utf-8-sig")  # as Windows editors write it
    assert len(read_keypoints(file)[0].people) == 1


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (5, ["holds 5", "annotations"]),
        ("people", ["'people'"]),
        (None, ["None"]),
        ({}, ["annotations", "people"]),
        ({"images": []}, ["annotations"]),
        ([], ["no image"]),
        ([1, 2, 3], ["results[0] is 1"]),
        ([[1, 2, 3]], ["results[0]"]),
        (["a"], ["results[0] is 'a'"]),
        ([{"image_id": 1}], ["results[0]", "keypoints is None"]),
        ([{"keypoints": flat(1)}], ["results[0]", "image_id is missing"]),
        ([{"image_id": 1, "keypoints": flat(1)[:-1]}], ["results[0]", "keypoints has 50 numbers"]),
        ([{"image_id": 1, "keypoints": flat(1)[:-3]}], ["results[0]: keypoints", "16 joints"]),
        ([{"image_id": 1, "keypoints": flat(1), "score": "high"}], ["results[0]", "score", "'high'"]),
        ([{"image_id": 1, "keypoints": flat(1), "score": float("nan")}], ["results[0]", "score", "nan"]),
        ({"annotations": []}, ["images"]),
        (coco([annotation()], images={}), ["images"]),
        (coco([], images=[]), ["no image"]),
        (coco([5]), ["annotations[0] is 5"]),
        (coco({"a": 1}), ["annotations"]),
        (coco([annotation(image_id=3)]), ["annotations[0] (id 7)", "image_id 3", "images"]),
        (coco([annotation(image_id=[1])]), ["annotations[0] (id 7)", "image_id is [1]"]),
        (coco([annotation(image_id=True)]), ["image_id is True"]),
        (coco([annotation(id={})]), ["annotations[0]", "id is {}"]),
        (coco([annotation(category_id=[])]), ["annotations[0] (id 7)", "category_id is []"]),
        (coco([annotation(keypoints=None)]), ["annotations[0] (id 7)", "keypoints is None"]),
        (coco([annotation(keypoints="12")]), ["annotations[0] (id 7)", "keypoints is '12'"]),
        (coco([annotation(keypoints={"nose": [1, 2]})]), ["keypoints is {'nose'"]),
        (coco([annotation(keypoints=["a"] * 51)]), ["annotations[0] (id 7)", "keypoints has the value 'a'"]),
        (coco([annotation(keypoints=[None] * 51)]), ["keypoints has the value None"]),
        (coco([annotation(keypoints=[True] * 51)]), ["keypoints has the value True"]),
        (coco([annotation(keypoints=[[1, 2, 2]] * 17)]), ["keypoints has the value [1, 2, 2]"]),
        (coco([annotation(keypoints=[10**400] * 51)]), ["keypoints has the value 1000"]),
        (coco([annotation(keypoints=flat(2)[:50])]), ["annotations[0] (id 7)", "keypoints has 50 numbers"]),
        (coco([annotation(keypoints=flat(2)[:48])]), ["annotations[0] (id 7)", "16 joints", "17"]),
        (coco([annotation(keypoints=flat(3))]), ["annotations[0] (id 7)", "v of joint 0 is 3"]),
        (coco([annotation(keypoints=flat(0.5))]), ["v of joint 0 is 0.5"]),
        (coco([annotation(keypoints=[float("nan"), *flat(2)[1:]])]), ["annotations[0] (id 7)", "nose is at", "nan"]),
        (coco([annotation(keypoints=[1e308, *flat(2)[1:]])]), ["annotations[0] (id 7)", "nose is at", "1.e+308"]),
        (coco([annotation(bbox=[1, 2, 3])]), ["annotations[0] (id 7)", "bbox is [1, 2, 3]"]),
        (coco([annotation(bbox=5)]), ["annotations[0] (id 7)", "bbox is 5"]),
        (coco([annotation()], images=[5]), ["images[0] is 5"]),
        (coco([annotation()], images=[{"file_name": "a.jpg"}]), ["images[0]", "id is missing"]),
        (coco([annotation()], images=[{"id": 1, "file_name": 3}]), ["images[0]", "file_name is 3"]),
        (coco([annotation()], images=[{"id": 1, "file_name": "../.."}]), ["images[0]", "file_name is '../..'"]),
        (coco([annotation()], images=[{"id": 1}, {"id": 1}]), ["images[1]", "id 1", "twice"]),
        (
            coco([annotation()], images=[{"id": 1, "width": 0, "height": 3}]),
            ["images[0]", "width", "(0, 3)"],
        ),
        (coco([annotation()], images=[{"id": 1, "width": 640}]), ["images[0]", "width and height", "(640, None)"]),
        (coco([annotation()], categories=5), ["categories"]),
        (coco([annotation()], categories=[{"id": 1, "keypoints": [1]}]), ["categories[0]", "keypoints is [1]"]),
        ({"people": 5}, ["people"]),
        ({"people": [5]}, ["people[0] is 5"]),
        ({"people": [{"joints3d_m": []}]}, ["people[0]", "pose_keypoints_2d is None"]),
        ({"people": [{"pose_keypoints_2d": flat(1, 18)}]}, ["people[0]: pose_keypoints_2d", "18 joints", "25"]),
        ({"people": [{"pose_keypoints_2d": flat(1, 25)[:-1]}]}, ["people[0]", "pose_keypoints_2d has 74 numbers"]),
    ],
)
def test_wrong_json(tmp_path: Path, content: Any, parts: list[str]) -> None:
    refused(write(tmp_path / "in.json", content), *parts)


def change(index: Any, value: float, columns: int = 2) -> np.ndarray:
    """A good person of 2 or 3 columns with one thing wrong."""
    rows = np.column_stack([XY[:17].astype(float), np.ones(17)])[:, :columns]
    rows[index] = value
    return rows


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (XY[:16], ["16 joints", "17 or 19"]),
        (XY[:33], ["33 joints"]),
        (XY[:17].ravel(), ["shape (34,)", "(J, 2|3)"]),
        (np.zeros((17, 4)), ["shape (17, 4)"]),
        (np.zeros((1, 1, 17, 2)), ["shape (1, 1, 17, 2)"]),
        (np.zeros((0, 17, 2)), ["shape (0, 17, 2)"]),
        (5.0, ["shape ()"]),
        (XY[:17] > 3, ["type bool"]),
        (XY[:17].astype(complex), ["type complex128"]),
        (XY[:17].astype(str), ["type <U"]),
        (change((2, 0), np.nan), ["person 0", "right_eye is at [nan", "finite"]),
        (change((0, 1), np.inf), ["person 0", "nose is at [100.  inf]"]),
        (change((0, 1), -np.inf, 3), ["person 0", "nose is at [100. -inf]"]),
        (change((0, 1), 1e30), ["person 0", "nose is at"]),
        (change((1, 2), np.nan, 3), ["person 0", "confidence of left_eye is nan"]),
        (change((1, 2), np.inf, 3), ["person 0", "column 3 of joint 1 is inf"]),
        (change((1, 2), 87, 3), ["person 0", "column 3 of joint 1 is 87"]),
        (change((1, 2), -3, 3), ["person 0", "column 3 of joint 1 is -3"]),
        (np.stack([XY[:17], change((5, 0), np.nan)]), ["person 1", "left_shoulder"]),
        (np.full((17, 2), 33.0), ["all labelled keypoints are in one place"]),
        (np.zeros((17, 2)), ["0 labelled keypoints, at least 5 are needed"]),
        (change((slice(1, None), 2), 0, 3), ["1 labelled keypoint, at least 5 are needed"]),
        (change(slice(1, None), 0), ["1 labelled keypoint, at least 5 are needed"]),
        (np.full((3, 17, 2), 33.0), ["none of 3 people", "in one place"]),
    ],
)
def test_wrong_array(tmp_path: Path, array: Any, parts: list[str]) -> None:
    refused(save(tmp_path / "in.npy", array), *parts)


def test_a_file_that_leaves_nobody_says_why(tmp_path: Path) -> None:
    crowd = annotation(3, iscrowd=1)
    refused(
        write(tmp_path / "in.json", coco([crowd, annotation(4, keypoints=flat(few(2)))])), "4", "2 labelled keypoints"
    )
    refused(write(tmp_path / "in.json", coco([crowd])), "crowd region")


def test_broken_arrays(tmp_path: Path) -> None:
    file = tmp_path / "in.npy"
    file.touch()
    refused(file, "is not a NumPy array file")
    file.write_text("hello")
    refused(file, "is not a NumPy array file")
    np.save(file, np.array([{"a": 1}], dtype=object))
    refused(file, "is not a NumPy array file", "allow_pickle")
    np.save(file, XY[:17])
    whole = file.read_bytes()
    for length in (4, 9, 40, len(whole) - 3):
        file.write_bytes(whole[:length])
        refused(file, "is not a NumPy array file")
    header = whole[:128].replace(b"(17, 2), ", b"(9999999999999, 2), ")[:128]
    file.write_bytes(header + whole[128:])
    refused(file, "is not a NumPy array file")


def test_broken_archives(tmp_path: Path) -> None:
    file = tmp_path / "in.npz"
    np.savez(file, vertices=XY, joints=XY, faces=XY)
    refused(file, "vertices", "joints", "faces", "keypoints")
    np.savez(file)
    refused(file, "keypoints")
    np.savez(file, a=XY[:17])
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)
    refused(file, "is not a NumPy array file")
    file.write_bytes(whole[:50])
    refused(file, "is not a NumPy array file")


def test_paths_that_hold_no_keypoints(tmp_path: Path) -> None:
    refused(tmp_path / "absent.json", "no such file or folder")
    refused(tmp_path, "no .json file")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "'.txt'", ".json, .npy or .npz")
    (tmp_path / "noext").write_text("hello")
    refused(tmp_path / "noext", "''")


def test_folder_with_a_foreign_json_names_it(tmp_path: Path) -> None:
    write(tmp_path / "a.json", openpose())
    write(tmp_path / "b.json", coco([annotation()]))
    refused(tmp_path, "b.json", "people")


def test_unknown_joint_set_is_refused_for_every_format(tmp_path: Path) -> None:
    for file in (write(tmp_path / "in.json", openpose()), save(tmp_path / "in.npy", XY[:17])):
        with pytest.raises(InputError, match=r"'coco99' is not known; expected one of .*mediapipe33"):
            read_keypoints(file, joints="coco99")


# Pictures


def test_match_images_by_name(tmp_path: Path) -> None:
    pictures = read_keypoints(write(tmp_path / "in.json", coco([annotation()], pictures=3)))
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("photo_1.jpg", "photo_3.jpg", "photo_2.png"):
        (folder / name).touch()
    assert match_images(pictures, folder) == {"photo_1": folder / "photo_1.jpg", "photo_3": folder / "photo_3.jpg"}


def test_match_images_never_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x.jpg").touch()
    (folder / "y.jpg").touch()
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "sub/x.jpg", r"elsewhere\y.jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    pictures = read_keypoints(write(tmp_path / "in.json", coco([annotation()], images=images)))
    assert match_images(pictures, folder) == {"x": folder / "sub" / "x.jpg", "y": folder / "y.jpg"}


def test_match_images_by_stem_and_id(tmp_path: Path) -> None:
    for name in ("clip_keypoints.json", "other.json"):
        write(tmp_path / name, openpose())
    images = tmp_path / "images"
    images.mkdir()
    for name in ("clip.png", "other.jpg", "000000000042.jpg", "7.webp"):
        (images / name).touch()
    assert match_images(read_keypoints(tmp_path), images) == {
        "clip_keypoints": images / "clip.png",
        "other": images / "other.jpg",
    }
    results = [{"image_id": image_id, "keypoints": flat(1)} for image_id in (42, 7)]
    pictures = read_keypoints(write(images / "det.json", results))
    assert match_images(pictures, images) == {"det_42": images / "000000000042.jpg", "det_7": images / "7.webp"}


def test_match_images_with_one_file(tmp_path: Path) -> None:
    (tmp_path / "any.png").touch()
    one = read_keypoints(save(tmp_path / "a.npy", XY[:17]))
    assert match_images(one, tmp_path / "any.png") == {"a": tmp_path / "any.png"}
    three = read_keypoints(write(tmp_path / "in.json", coco([annotation()], pictures=3)))
    with pytest.raises(InputError, match=r"any\.png: is one file for 3 images"):
        match_images(three, tmp_path / "any.png")
    with pytest.raises(InputError, match=r"absent: no such image or folder"):
        match_images(three, tmp_path / "absent")
    with pytest.raises(InputError, match=r"has no 'photo_1\.jpg'"):
        match_images(three, tmp_path)


# Real data, and the import


def test_real_coco_people(shared_data: Path) -> None:
    folder = shared_data / "coco_mini"
    pictures = read_keypoints(folder / "person_keypoints.json")
    people = [person for picture in pictures for person in picture.people]
    reasons = [skip.reason for picture in pictures for skip in picture.skipped]
    assert (len(pictures), len(people), len(reasons)) == (28, 72, 75)  # 147 annotations
    assert sum("crowd" in reason for reason in reasons) == 5
    assert sum((person.original[:, 2] > 0).sum() >= 12 for person in people) == 31
    assert all(person.mask and person.box_px for person in people)
    for picture in pictures:
        assert picture.size is not None
        for person in picture.people:
            joints = person.joints_px[person.confidence > 0]
            assert (joints >= 0).all()
            assert (joints <= picture.size).all()
    images = match_images(pictures, folder / "images")
    assert sorted(images) == sorted(path.stem for path in (folder / "images").glob("*.jpg"))


def test_real_human36_person(shared_data: Path) -> None:
    [picture] = read_keypoints(shared_data / "keypoints" / "h36m_one_person.npy", joints="human36")
    person = picture.people[0]
    raw = np.load(shared_data / "keypoints" / "h36m_one_person.npy")
    for name in ("nose", "pelvis", "neck", "left_wrist", "right_ankle"):
        np.testing.assert_array_equal(person.joints_px[COCO.index(name)], raw[HUMAN36.index(name)], err_msg=name)
    assert (person.confidence > 0).sum() == 15  # all but eyes and ears


def test_shipped_example() -> None:
    file = Path(__file__).parents[2] / "examples" / "coco_people.json"
    pictures = read_keypoints(file)
    assert [len(picture.people) for picture in pictures] == [2, 2, 2]
    assert not any(picture.skipped for picture in pictures)
    assert all((person.original[:, 2] > 0).sum() >= 14 for picture in pictures for person in picture.people)
    info = json.loads(file.read_text())["info"]
    assert "CC BY 4.0" in info["license"]


def test_import_is_light() -> None:
    check = "import sys, pose2mesh.io.keypoints; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
