"""Converts the detections in an image to an `ImageInput`, the same input that is read from a keypoint file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.hands.hand_detector import HandDetector
from pose2mesh.io.keypoints import ImageInput, PoseInput
from pose2mesh.skeletons import COCO, COCO17, convert


def detect_image(
    path: Path, image: NDArray[np.uint8], detector: Detector, hand_detector: HandDetector | None = None
) -> ImageInput:
    """Detect the people of an image, best score first.

    Args:
        path: Path of the image file; the results are named after it.
        image: (H, W, 3) RGB.
        detector: Detector from `load_detector`.
        hand_detector: Detector of the hands of these people, if they are wanted.
    """
    found = detector(image)
    if hand_detector is not None:
        found = hand_detector(image, found)
    people = [pose_input(person, index) for index, person in enumerate(found)]
    return ImageInput(path.stem, image_name=path.name, size=(image.shape[1], image.shape[0]), people=people)


def pose_input(person: Detection, index: int) -> PoseInput:
    """A detection in the form of a person of a keypoint file, identified by `index`."""
    rows = np.column_stack([person.joints_px, person.confidence]).astype(np.float32)
    rows[rows[:, 2] <= 0, :2] = 0
    joints_px, confidence = convert(rows[:, :2], rows[:, 2], COCO17, COCO)
    left, top, right, bottom = map(float, person.box_px)
    box = (left, top, right - left, bottom - top)
    return PoseInput(
        joints_px,
        confidence,
        index,
        rows,
        COCO17,
        box_px=box,
        mask=person.mask,
        score=person.score,
        joints3d_m=person.joints3d_m,
        hands=person.hands,
    )
