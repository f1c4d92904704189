"""MuCo-3DHP's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.readers.muco import MUCO21, read_muco
from pose2mesh.errors import InputError


def test_everyone(muco_folder: Path, cache: Path) -> None:
    records = read_muco(muco_folder, cache)
    assert records.annotation_id.tolist() == [0, 1, 2, 3]
    assert records.image.tolist() == [0, 0, 0, 1]
    assert records.body_valid.tolist() == [True, False, False, True]
    np.testing.assert_allclose(records.joints_m[1, 3], [0.3, -0.05, 3.0])
    np.testing.assert_allclose(records.joints_px[1, 3], [30, 5, 1])
    np.testing.assert_allclose(records.intrinsics[0], [1500, 1501, 512, 256])
    np.testing.assert_allclose(records.translation_m[3], [0.1, 0.2, 6.0])
    assert len(MUCO21) == 21


def test_the_closest_of_every_image(muco_folder: Path, cache: Path) -> None:
    assert read_muco(muco_folder, cache, which="closest").annotation_id.tolist() == [1, 3]


def test_joints_of_the_wrong_length(muco_folder: Path, cache: Path, edit_json: Callable) -> None:
    path = muco_folder / "data" / "MuCo-3DHP.json"
    edit_json(path, lambda data: data["annotations"][2]["keypoints_cam"].pop())
    with pytest.raises(InputError, match=r"MuCo-3DHP\.json: annotation 2: keypoints_cam has 60 numbers, expected 63"):
        read_muco(muco_folder, cache)
    for which in ("all", "closest"):
        assert read_muco(muco_folder, cache, which=which, on_fault="skip").faults == 1


def test_an_image_without_its_camera(muco_folder: Path, cache: Path, edit_json: Callable) -> None:
    edit_json(muco_folder / "data" / "MuCo-3DHP.json", lambda data: data["images"][0].pop("f"))
    with pytest.raises(InputError, match="image 0: f is missing"):
        read_muco(muco_folder, cache)
    records = read_muco(muco_folder, cache, on_fault="skip")
    assert (records.annotation_id.tolist(), records.faults) == ([3], 1)
