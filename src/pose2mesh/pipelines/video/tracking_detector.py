"""A detector for video: estimates the poses of the people of the previous frame, and searches the image at intervals.

Detecting people in an image takes ten times as long as estimating the pose of a known person. A new person is found at
the next search: a large one up to a sixth of a second late, a small one up to a second where the detector has a fast
search (`FollowingDetector.glance`), which misses small people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector, FollowingDetector
from pose2mesh.detectors.nms import SAME_POSE, box_iou, pose_similarity, same_person
from pose2mesh.skeletons import COCO, COCO17, convert

_SEARCHES_PER_SECOND = 6
_GLANCES_PER_SEARCH = 5  # fast searches between two thorough ones
_MARGIN = 0.15  # relative to the box's longer side: allows for motion, and for the body around the joints
_LEAST_SCORE = 0.1  # poses of a lower score are dropped
_CERTAIN_SCORE = 0.5  # least score at which a tracked person missed by a thorough search is kept
_CONFIRMING_OKS = 0.3  # least similarity (OKS) at which a pose of the search confirms a tracked one
_LEAST_OVERLAP = 0.1  # of the boxes of a person in two frames (IoU): with less, another person was found


class TrackingDetector:
    """Detects people in consecutive frames.

    Args:
        detector: The detector of single images.
        fps: Frames per second.
        joint_names: Order of the joints of previous frames.
    """

    def __init__(self, detector: Detector, fps: float, joint_names: tuple[str, ...] = COCO17) -> None:
        self.detector, self.joint_names = detector, joint_names
        self._every = max(1, round(fps / _SEARCHES_PER_SECOND))

    def __call__(
        self, image: NDArray[np.uint8], frame: int, joints_px: NDArray[np.floating], confidence: NDArray[np.floating]
    ) -> list[Detection]:
        """People in frame number `frame`, given the joints (D, J, 2) and confidences (D, J) of the previous frame."""
        followed = self._follow(image, joints_px, confidence)
        if frame % self._every and len(followed) == len(joints_px):
            return followed
        is_thorough = frame % (self._every * (_GLANCES_PER_SEARCH + 1)) == 0
        if isinstance(self.detector, FollowingDetector) and not is_thorough:
            return _with_new(followed, self.detector.glance(image))
        detected = self.detector(image)
        kept = [
            person
            for person in followed
            if person.score >= _CERTAIN_SCORE
            or any(pose_similarity(person, other) >= _CONFIRMING_OKS for other in detected)
        ]
        return _with_new(kept, detected)

    def _follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating]
    ) -> list[Detection]:
        """The people of the previous frame who are found again."""
        if not len(joints_px):
            return []
        boxes = np.stack([_box(*person) for person in zip(joints_px, confidence, strict=True)])
        if isinstance(self.detector, FollowingDetector):
            joints, known = convert(joints_px, confidence, self.joint_names, COCO)
            people = self.detector.follow(image, joints[:, : len(COCO17)], known[:, : len(COCO17)])
        else:
            people = self.detector(image, boxes)
        found: list[Detection] = []
        for person, box in zip(people, boxes, strict=True):
            is_there = person.score >= _LEAST_SCORE and box_iou(box, _joint_box(person)[None])[0] >= _LEAST_OVERLAP
            # The boxes of two people who cross may be the same, their poses are not.
            if is_there and all(pose_similarity(other, person) <= SAME_POSE for other in found):
                found.append(person)
        return found


def _with_new(people: list[Detection], detected: list[Detection]) -> list[Detection]:
    """The people, and those detected who are not among them."""
    people = list(people)
    for person in detected:
        if not any(same_person(other, person) for other in people):
            people.append(person)
    return people


def _joint_box(person: Detection) -> NDArray[np.floating]:
    return _box(person.joints_px, person.confidence)


def _box(joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.floating]:
    present = joints_px[confidence > 0]
    low, high = present.min(0), present.max(0)
    margin = _MARGIN * max(float((high - low).max()), 1.0)
    return np.concatenate([low - margin, high + margin])
