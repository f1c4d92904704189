"""Human3.6M's reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.readers.human36m import read_human36m
from pose2mesh.errors import InputError


def source(folder: Path, subject: int, kind: str = "data") -> Path:
    return folder / "annotations" / f"Human36M_subject{subject}_{kind}.json"


def test_train_is_every_fifth_frame_of_the_subjects(human36m_folder: Path, cache: Path) -> None:
    records = read_human36m(human36m_folder, cache, split="train")
    assert sorted(set(records.subject.tolist())) == [1, 5, 6, 7, 8]
    assert sorted(set(records.frame.tolist())) == [0, 5, 50]
    assert len(records) == 5 * 2 * 3
    assert len(records.files) == 30
    assert records.files[int(records.image[0])] == "s_01_act_02_subact_01_ca_01/s_01_act_02_subact_01_ca_01_000001.jpg"
    assert records.sequences[records.sequence[3]] == "S1 action 2 subaction 1 camera 4"
    assert records.annotation_id[:2].tolist() == [11007, 11012]
    assert records.image_size[0].tolist() == [1000, 1002]


def test_test_is_every_fiftieth_frame(human36m_folder: Path, cache: Path) -> None:
    records = read_human36m(human36m_folder, cache, split="test")
    assert sorted(set(records.subject.tolist())) == [9, 11]
    assert sorted(set(records.frame.tolist())) == [0, 50]
    assert sorted(set(records.camera.tolist())) == [1, 4]


def test_protocol_1(human36m_folder: Path, cache: Path) -> None:
    train = read_human36m(human36m_folder, cache, split="train", protocol=1)
    assert sorted(set(train.subject.tolist())) == [1, 5, 6, 7, 8, 9]
    assert sorted(set(train.camera.tolist())) == [1, 4]
    test = read_human36m(human36m_folder, cache, split="test", protocol=1)
    assert set(test.subject.tolist()) == {11}
    assert set(test.camera.tolist()) == {4}


def test_a_stride_can_be_chosen(human36m_folder: Path, cache: Path) -> None:
    assert set(read_human36m(human36m_folder, cache, split="test", stride=1).frame.tolist()) == {0, 3, 5, 50}


def test_world_becomes_camera_and_pixels(human36m_folder: Path, cache: Path) -> None:
    records = read_human36m(human36m_folder, cache, split="train")
    # Joint 2 of frame 5 is at (20, 100, 180) mm in the world: (20, -180, 100) turned, from (100, 1000, 4000).
    row = 1
    assert records.frame[row] == 5
    np.testing.assert_allclose(records.joints_m[row, 2], [0.120, 0.820, 4.100], rtol=1e-6)
    np.testing.assert_allclose(
        records.joints_px[row, 2], [1145 * 0.120 / 4.1 + 512, 1143 * 0.82 / 4.1 + 515, 1], rtol=1e-6
    )
    np.testing.assert_allclose(records.intrinsics[row], [1145, 1143, 512, 515])
    np.testing.assert_allclose(records.origin_m[row], [0.1, 1, 4])
    assert records.joints_valid.all()


def test_a_missing_fit_is_masked(human36m_folder: Path, cache: Path) -> None:
    records = read_human36m(human36m_folder, cache, split="train")
    missing = (records.subject == 1) & (records.frame == 5)
    np.testing.assert_array_equal(records.body_valid, ~missing)
    assert np.isnan(records.translation_m[missing]).all()
    np.testing.assert_allclose(records.translation_m[2], [0.1, 0.2, 53])
    np.testing.assert_allclose(records.pose[2, 1], [50.003, 50.004, 50.005])


def test_detections_are_found_by_the_image_name(human36m_folder: Path, cache: Path) -> None:
    detections = human36m_folder / "absnet_output_on_testset.json"
    records = read_human36m(human36m_folder, cache, split="test", detections=detections)
    there = (records.subject == 9) & (records.camera == 1) & (records.frame == 50)
    assert there.sum() == 1
    np.testing.assert_allclose(records.detected_px[there][0, 3], [8, 6, 0.5])
    assert (records.detected_px[~there] == 0).all()


def test_a_record_without_its_camera(human36m_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(source(human36m_folder, 5, "camera"), lambda cameras: cameras.pop("4"))
    with pytest.raises(InputError, match=r"Human36M_subject5_camera\.json: subject 5: 4 is missing"):
        read_human36m(human36m_folder, cache, split="train")
    records = read_human36m(human36m_folder, cache, split="train", on_fault="skip")
    assert (len(records), records.faults, len(records.fault_messages)) == (27, 3, 3)
    assert "subject5" in records.fault_messages[0]


def test_a_truncated_file(human36m_folder: Path, cache: Path) -> None:
    path = source(human36m_folder, 6, "joint_3d")
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError, match=r"Human36M_subject6_joint_3d\.json: cut short at character \d+"):
        read_human36m(human36m_folder, cache, split="train")
    assert not any(cache.iterdir())
    records = read_human36m(human36m_folder, cache, split="train", on_fault="skip")
    assert sorted(set(records.subject.tolist())) == [1, 5, 7, 8]
    assert records.faults == 1
    assert "subject6_joint_3d.json: cut short" in records.fault_messages[0]


def test_a_joint_behind_the_camera(human36m_folder: Path, cache: Path, edit_json: Callable) -> None:
    def move(joints: dict) -> None:
        joints["2"]["1"]["50"][3] = [0, -9000, 0]

    edit_json(source(human36m_folder, 1, "joint_3d"), move)
    records = read_human36m(human36m_folder, cache, split="train")
    np.testing.assert_array_equal(records.joints_px[2, 3], 0)
    np.testing.assert_allclose(records.joints_m[2, 3, 2], -5)


def test_parameters_of_the_wrong_length(human36m_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(source(human36m_folder, 7, "smpl_param"), lambda fits: fits["2"]["1"]["5"]["pose"].pop())
    message = (
        "subject7_smpl_param.json: fit of subject 7, action 2, subaction 1, frame 5: pose has 71 numbers, expected 72"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        read_human36m(human36m_folder, cache, split="train")


def test_joints_that_are_not_there(human36m_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(source(human36m_folder, 8, "joint_3d"), lambda joints: joints["2"]["1"].pop("50"))
    with pytest.raises(
        InputError, match=r"annotation 81057: .* no joints of subject 8, action 2, subaction 1, frame 50"
    ):
        read_human36m(human36m_folder, cache, split="train")


def test_images_are_looked_for_only_where_asked(human36m_folder: Path, cache: Path) -> None:
    with pytest.raises(InputError, match=r"annotation 11007: its image .*_000001\.jpg is not there"):
        read_human36m(human36m_folder, cache, split="train", images=human36m_folder / "images")


def test_detections_of_another_form(human36m_folder: Path, cache: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"a.jpg": [[1, 2, 3]]}')
    with pytest.raises(InputError, match=r"wrong\.json: a\.jpg is .*, expected 17 joints"):
        read_human36m(human36m_folder, cache, split="test", detections=wrong)
