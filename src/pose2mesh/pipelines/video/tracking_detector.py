"""A detector that knows where people were a moment ago: it looks there, and only now and then at the whole picture.

Looking for people takes a detector ten times as long as telling the pose of one whose place is known. Who comes into
view is seen at the next look around, up to a sixth of a second late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.nms import SAME_POSE, pose_similarity

_LOOKS_PER_SECOND = 6
_MARGIN = 0.15  # of a person's longer side: they have moved, and a body is larger than its joints
_GONE = 0.1  # nobody has so little a score
_SURE = 0.5  # at that score, someone whom the look around has missed is believed in
_CONFIRMED = 0.3  # so alike (OKS), a pose of the look around bears out that there is someone


class TrackingDetector:
    """Frame in, people out.

    Args:
        detector: What sees them.
        fps: Frames a second.
    """

    def __init__(self, detector: Detector, fps: float) -> None:
        self.detector = detector
        self._every = max(1, round(fps / _LOOKS_PER_SECOND))

    def __call__(
        self, picture: NDArray[np.uint8], frame: int, joints_px: NDArray[np.floating], confidence: NDArray[np.floating]
    ) -> list[Detection]:
        """The people of frame number `frame`, given the joints (D, J, 2) and confidences (D, J) of the one before."""
        boxes = [_box(*person) for person in zip(joints_px, confidence, strict=True)]
        people = self.detector(picture, np.stack(boxes)) if boxes else []
        followed = [person for person in people if person.score >= _GONE]
        if frame % self._every and len(followed) == len(boxes):
            return _each_once(followed)
        around = self.detector(picture)
        kept = [
            person
            for person in followed
            if person.score >= _SURE or any(pose_similarity(person, other) >= _CONFIRMED for other in around)
        ]
        return _each_once([*kept, *around])


def _each_once(people: list[Detection]) -> list[Detection]:
    """Those who are like nobody before them."""
    kept: list[Detection] = []
    for person in people:
        if all(pose_similarity(other, person) <= SAME_POSE for other in kept):
            kept.append(person)
    return kept


def _box(joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.floating]:
    seen = joints_px[confidence > 0]
    low, high = seen.min(0), seen.max(0)
    margin = _MARGIN * max(float((high - low).max()), 1.0)
    return np.concatenate([low - margin, high + margin])
