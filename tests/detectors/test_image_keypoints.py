from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.image_keypoints import detect_image
from pose2mesh.skeletons import COCO, COCO17

IMAGE = np.zeros((240, 320, 3), np.uint8)


def test_people_come_in_the_form_of_keypoint_files(person: Callable[..., Detection]) -> None:
    people = [person(score=0.9), person(50, score=0.4, detected=15)]
    image = detect_image(Path("some/beach.jpg"), IMAGE, lambda pixels, boxes=None: people)
    assert (image.stem, image.image_name, image.size) == ("beach", "beach.jpg", (320, 240))
    assert [each.identifier for each in image.people] == [0, 1]
    assert [each.score for each in image.people] == [0.9, 0.4]
    whole, part = image.people
    assert whole.original_names == COCO17
    np.testing.assert_allclose(whole.original[:, :2], people[0].joints_px)
    np.testing.assert_allclose(whole.joints_px[:17], people[0].joints_px)
    np.testing.assert_allclose(whole.joints_px[COCO.index("neck")], people[0].joints_px[5:7].mean(axis=0), rtol=1e-6)
    assert part.box_px == (50, 50, 100, 200)
    assert (part.original[15:] == 0).all()
    assert part.confidence[COCO.index("left_ankle")] == 0
    assert not image.skipped


def test_an_image_without_people_has_no_detections() -> None:
    assert detect_image(Path("wall.jpg"), IMAGE, lambda pixels, boxes=None: []).people == []
