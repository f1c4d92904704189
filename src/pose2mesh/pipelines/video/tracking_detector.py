"""A detector for video: estimates poses in the boxes of the previous frame, and searches the whole image at intervals.

Detecting people in an image takes ten times as long as estimating a pose in a known box. A new person is found at the
next full detection, up to a sixth of a second late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.nms import SAME_POSE, pose_similarity

_DETECTIONS_PER_SECOND = 6
_MARGIN = 0.15  # relative to the box's longer side: allows for motion, and for the body around the joints
_LEAST_SCORE = 0.1  # poses of a lower score are dropped
_CERTAIN_SCORE = 0.5  # least score at which a tracked person missed by the full detection is kept
_CONFIRMING_OKS = 0.3  # least similarity (OKS) at which a pose of the full detection confirms a tracked one


class TrackingDetector:
    """Detects people in consecutive frames.

    Args:
        detector: The detector of single images.
        fps: Frames per second.
    """

    def __init__(self, detector: Detector, fps: float) -> None:
        self.detector = detector
        self._every = max(1, round(fps / _DETECTIONS_PER_SECOND))

    def __call__(
        self, image: NDArray[np.uint8], frame: int, joints_px: NDArray[np.floating], confidence: NDArray[np.floating]
    ) -> list[Detection]:
        """People in frame number `frame`, given the joints (D, J, 2) and confidences (D, J) of the previous frame."""
        boxes = [_box(*person) for person in zip(joints_px, confidence, strict=True)]
        people = self.detector(image, np.stack(boxes)) if boxes else []
        followed = [person for person in people if person.score >= _LEAST_SCORE]
        if frame % self._every and len(followed) == len(boxes):
            return _without_duplicates(followed)
        detected = self.detector(image)
        kept = [
            person
            for person in followed
            if person.score >= _CERTAIN_SCORE
            or any(pose_similarity(person, other) >= _CONFIRMING_OKS for other in detected)
        ]
        return _without_duplicates([*kept, *detected])


def _without_duplicates(people: list[Detection]) -> list[Detection]:
    """The detections without duplicates of earlier ones."""
    kept: list[Detection] = []
    for person in people:
        if all(pose_similarity(other, person) <= SAME_POSE for other in kept):
            kept.append(person)
    return kept


def _box(joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.floating]:
    present = joints_px[confidence > 0]
    low, high = present.min(0), present.max(0)
    margin = _MARGIN * max(float((high - low).max()), 1.0)
    return np.concatenate([low - margin, high + margin])
