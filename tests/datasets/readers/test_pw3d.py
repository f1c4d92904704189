"""3DPW's two readers."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pose2mesh.datasets.readers.pw3d import read_pw3d, read_pw3d_sequences
from pose2mesh.errors import InputError


def save(folder: Path, content: Any) -> Path:
    path = folder / "sequenceFiles" / "train" / "courtyard_golf_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def test_several_people_in_an_image(pw3d_folder: Path, cache: Path) -> None:
    records = read_pw3d(pw3d_folder, cache, split="test")
    assert records.image.tolist() == [0, 0, 1]
    assert records.subject.tolist() == [0, 1, 0]
    assert records.files[1] == "downtown_bar_00/image_00001.jpg"
    assert records.sequences == ["downtown_bar_00"]
    assert records.gender.tolist() == [1, 2, 1]
    np.testing.assert_allclose(records.joints_m[1, 2], [0.2, 0.2, 4.0])
    np.testing.assert_allclose(records.joints_px[1, 2], [40, 31, 1])
    np.testing.assert_allclose(records.translation_m[1], [0.1, 0.2, 4.0])
    np.testing.assert_allclose(records.intrinsics[0], [1961, 1969, 540, 960])
    assert records.rotation is None


def test_a_detection_that_is_not_there(pw3d_folder: Path, cache: Path) -> None:
    detected = read_pw3d(pw3d_folder, cache, split="test").detected_px
    assert detected.shape == (3, 19, 3)
    np.testing.assert_allclose(detected[2, 3], [30, 2, 0.5])
    np.testing.assert_allclose(detected[2, 17], [115, 2, 0.5])
    assert (detected[1] == 0).all()


def test_other_detections(pw3d_folder: Path, cache: Path) -> None:
    records = read_pw3d(pw3d_folder, cache, split="test", detections="openpose")
    assert records.schema.detected[1] == "neck"
    np.testing.assert_allclose(records.detected_px[1, 4], [4, 2, 0.25])
    (pw3d_folder / "data" / "darkpose_3dpw_testset_output.json").unlink()
    assert (read_pw3d(pw3d_folder, cache, split="test").detected_px == 0).all()


def test_detected_twice(pw3d_folder: Path, cache: Path, edit_json: Callable) -> None:
    path = pw3d_folder / "data" / "darkpose_3dpw_testset_output.json"
    edit_json(path, lambda found: found.append(found[0]))
    with pytest.raises(InputError, match="detection of annotation 0: it is there twice"):
        read_pw3d(pw3d_folder, cache, split="test")


def test_a_gender_that_is_none(pw3d_folder: Path, cache: Path, edit_json: Callable) -> None:
    path = pw3d_folder / "data" / "3DPW_latest_test.json"
    edit_json(path, lambda data: data["annotations"][1]["smpl_param"].update(gender="f"))
    with pytest.raises(
        InputError, match="annotation 1: smpl_param: gender is 'f', expected one of neutral, male, female"
    ):
        read_pw3d(pw3d_folder, cache, split="test")


def test_a_missing_body(pw3d_folder: Path, cache: Path, edit_json: Callable) -> None:
    path = pw3d_folder / "data" / "3DPW_latest_test.json"
    edit_json(path, lambda data: data["annotations"][1].pop("smpl_param"))
    assert read_pw3d(pw3d_folder, cache, split="test").body_valid.tolist() == [True, False, True]


def test_sequences_as_published(tmp_path: Path, cache: Path, pw3d_sequence: dict[str, Any]) -> None:
    save(tmp_path, pw3d_sequence)
    records = read_pw3d_sequences(tmp_path, cache, split="train")
    assert [records.frame.tolist(), records.subject.tolist()] == [[0, 0, 1, 2, 2], [0, 1, 0, 0, 1]]
    assert records.left_out == {"no valid camera": 1}
    assert records.gender.tolist() == [1, 2, 1, 1, 2]
    # World (0.05, 0.1, 0.25) is (0.05, -0.25, 0.1) turned, from (0.1, 1, 4).
    np.testing.assert_allclose(records.joints_m[0, 5], [0.15, 0.75, 4.1], rtol=1e-6)
    pixel = [1961 * 0.15 / 4.1 + 540, 1969 * 0.75 / 4.1 + 960, 1]
    np.testing.assert_allclose(records.joints_px[0, 5], pixel, rtol=1e-6)
    np.testing.assert_allclose(records.pose[1], 1.1, rtol=1e-6)
    np.testing.assert_allclose(records.shape[1], np.arange(10) / 100, rtol=1e-6)
    np.testing.assert_allclose(records.detected_px[1], 8)
    np.testing.assert_allclose(records.origin_m[0], [0.1, 1, 4])
    assert records.image_size[0].tolist() == [0, 0]


def test_the_size_of_the_images(tmp_path: Path, cache: Path, pw3d_sequence: dict[str, Any]) -> None:
    save(tmp_path, pw3d_sequence)
    images = tmp_path / "imageFiles"
    (images / "courtyard_golf_00").mkdir(parents=True)
    for frame in range(3):
        Image.new("L", (1080, 1920)).save(images / "courtyard_golf_00" / f"image_{frame:05d}.jpg")
    records = read_pw3d_sequences(tmp_path, cache, split="train", images=images)
    assert records.image_size.tolist() == [[1080, 1920]] * 5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trans", [np.zeros((3, 3))], "trans has 1 people, expected 2"),
        ("poses", [np.zeros((3, 72)), np.zeros((3, 69))], "poses of person 1 has shape (3, 69), expected (3, 24, 3)"),
        ("genders", ["m", "x"], "genders has 'x', expected m or f"),
        ("cam_intrinsics", None, "cam_intrinsics has 1 numbers, expected 9"),
        ("betas", [np.zeros(4), np.zeros(4)], "betas have shape (2, 4), expected (2, 10)"),
    ],
)
def test_faulty_sequences(
    tmp_path: Path, cache: Path, pw3d_sequence: dict[str, Any], key: str, value: Any, message: str
) -> None:
    path = save(tmp_path, pw3d_sequence | {key: value})
    with pytest.raises(InputError) as caught:
        read_pw3d_sequences(tmp_path, cache, split="train")
    assert str(caught.value) == f"{path}: sequence courtyard_golf_00: {message}"


class Harm:
    """Pickled, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_sequence_is_run(tmp_path: Path, cache: Path, pw3d_sequence: dict[str, Any]) -> None:
    save(tmp_path, pw3d_sequence | {"genders": Harm(tmp_path / "harm")})
    with pytest.raises(InputError, match=r"names the global (posix|nt)\.system"):
        read_pw3d_sequences(tmp_path, cache, split="train")
    assert not (tmp_path / "harm").exists()
