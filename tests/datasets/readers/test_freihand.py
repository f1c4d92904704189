"""FreiHAND's two readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.readers.freihand import read_freihand, read_freihand_coco
from pose2mesh.errors import InputError


def test_training_as_published(freihand_folder: Path, cache: Path) -> None:
    records = read_freihand(freihand_folder, cache, split="training", versions=("green", "coloured"))
    assert records.schema.joints[9] == "middle_1"
    assert list(records.files) == [f"training/rgb/{number:08d}.jpg" for number in (0, 1, 6, 7)]
    np.testing.assert_allclose(records.joints_m[3, 10], [0.04, 0.02, 0.7], rtol=1e-6)
    np.testing.assert_allclose(records.joints_px[3, 10], [500 * 0.04 / 0.7 + 112, 501 * 0.02 / 0.7 + 113, 1], rtol=1e-6)
    np.testing.assert_allclose(records.pose[0, 15], [0.45, 0.46, 0.47])
    np.testing.assert_allclose(records.shape[0], np.arange(48, 58) / 100)
    np.testing.assert_allclose(records.intrinsics[0], [500, 501, 112, 113])
    assert records.body_valid.all()


def test_evaluation_without_truth(freihand_folder: Path, cache: Path) -> None:
    records = read_freihand(freihand_folder, cache, split="evaluation")
    assert records.files[0] == "evaluation/rgb/00000000.jpg"
    assert not records.joints_valid.any()
    assert not records.body_valid.any()
    with pytest.raises(InputError, match="versions of evaluation are"):
        read_freihand(freihand_folder, cache, split="evaluation", versions=("coloured",))


def test_files_of_different_lengths(freihand_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(freihand_folder / "training_xyz.json", lambda hands: hands.pop())
    with pytest.raises(InputError, match=r"training_xyz\.json: has 1 hands, expected the 2 of the K file"):
        read_freihand(freihand_folder, cache, split="training")


def test_a_hand_of_the_wrong_length(freihand_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(freihand_folder / "training_mano.json", lambda hands: hands[1][0].pop())
    with pytest.raises(InputError, match=r"training_mano\.json: hand 1: mano has 60 numbers, expected 61"):
        read_freihand(freihand_folder, cache, split="training")
    assert len(read_freihand(freihand_folder, cache, split="training", on_fault="skip")) == 1


def test_the_reference_files(freihand_folder: Path, cache: Path) -> None:
    detections = freihand_folder / "data" / "hrnet_output_on_trainset.json"
    records = read_freihand_coco(freihand_folder, cache, split="train", detections=detections)
    assert records.annotation_id.tolist() == [10, 11]
    np.testing.assert_allclose(records.joints_m[1, 10], [0.04, 0.02, 0.7], rtol=1e-6)
    np.testing.assert_allclose(records.pose[1, 1], [0.03, 0.04, 0.05])
    np.testing.assert_allclose(records.origin_m[0], [0, 0, 0.7])
    np.testing.assert_allclose(records.detected_px[1, 3], [3, 6, 0.9])
    assert (records.detected_px[0] == 0).all()
    evaluation = read_freihand_coco(freihand_folder, cache, split="eval")
    assert not evaluation.joints_valid.any()
    assert not evaluation.body_valid.any()


def test_a_hand_that_is_not_there(freihand_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(freihand_folder / "data" / "freihand_train_data.json", lambda hands: hands.pop("1"))
    with pytest.raises(InputError, match=r"annotation 11: freihand_train_data\.json has no hand 1"):
        read_freihand_coco(freihand_folder, cache, split="train")
