"""From a photo to the form in which `predict` takes people from keypoint files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.registry import Detection, Detector
from pose2mesh.io.keypoints import ImageInput, PoseInput
from pose2mesh.skeletons import COCO, COCO17, convert


def detect_photo(path: Path, photo: NDArray[np.uint8], detector: Detector) -> ImageInput:
    """The people in a photo, best score first.

    Args:
        path: Of the photo, for the names of the results.
        photo: (H, W, 3) RGB, as `io.images.read_photo` gives it.
        detector: As `load_detector` gives it.
    """
    people = [pose_input(person, index) for index, person in enumerate(detector(photo))]
    return ImageInput(path.stem, image_name=path.name, size=(photo.shape[1], photo.shape[0]), people=people)


def pose_input(person: Detection, index: int) -> PoseInput:
    """A detected person as if read from a keypoint file, identified by `index`."""
    rows = np.column_stack([person.joints_px, person.confidence]).astype(np.float32)
    rows[rows[:, 2] <= 0, :2] = 0
    joints_px, confidence = convert(rows[:, :2], rows[:, 2], COCO17, COCO)
    left, top, right, bottom = map(float, person.box_px)
    box = (left, top, right - left, bottom - top)
    return PoseInput(joints_px, confidence, index, rows, COCO17, box_px=box, score=person.score)
