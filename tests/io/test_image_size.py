"""Sizes that do not belong to the keypoints are noticed; people cut off by the border are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.io.image_size import outside_image, parse_size
from pose2mesh.io.keypoints import read_keypoints

PEOPLE = np.random.default_rng(0).uniform((300, 100), (400, 400), (17, 2))
ONES = np.ones(17)


@pytest.mark.parametrize(
    ("size", "shift", "fault"),
    [
        ((640, 480), (0, 0), None),
        ((640, 480), (310, 0), None),  # cut off by the right border
        ((640, 480), (0, -250), None),
        ((200, 150), (0, 0), "no joint lies in the image of 200x150"),
        ((640, 480), (700, 0), "no joint lies"),
        ((640, 480), (-1e5, 0), "no joint lies"),
    ],
)
def test_only_people_outside_are_refused(size: tuple[int, int], shift: tuple[float, float], fault: str | None) -> None:
    found = outside_image(PEOPLE + shift, ONES, size)
    assert found is None if fault is None else fault in str(found)


def test_one_joint_far_away_is_refused_and_a_missing_one_is_not() -> None:
    pixels = PEOPLE.copy()
    pixels[16] = (5e5, 0)
    assert "a joint lies 499360 pixels outside" in str(outside_image(pixels, ONES, (640, 480)))
    assert outside_image(pixels, np.r_[np.ones(16), 0], (640, 480)) is None


@pytest.mark.parametrize("text", ["", "640", "640,480,3", "a,b", "0,480", "-1,5", "640.5,480", "nan,1", "9999999,1"])
def test_bad_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--image-size"):
        parse_size(text)
    assert parse_size("640,480") == parse_size("640x480") == (640, 480)


def test_people_outside_the_image_of_a_coco_file_are_skipped(tmp_path: Path) -> None:
    annotations = [
        {"id": index, "image_id": 1, "keypoints": np.column_stack([PEOPLE + shift, 2 * ONES]).ravel().tolist()}
        for index, shift in enumerate((0, 5000))
    ]
    document = {"images": [{"id": 1, "width": 640, "height": 480}], "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(document))
    (image,) = read_keypoints(tmp_path / "a.json")
    assert [person.identifier for person in image.people] == [0]
    assert [skip.identifier for skip in image.skipped] == [1]
    assert image.skipped[0].reason.startswith("no joint lies in the image of 640x480")
