"""The default detector: MoveNet finds the people and their joints, BlazePose adds landmarks, 3D joints and silhouettes.

MoveNet finds more people than BlazePose's own person detector (46 instead of 27 on images of COCO), and its joints are
closer to annotated ones. BlazePose's landmark network sees the region of each of them. What it finds is taken where it
agrees in the pose: in groups it may follow another person. Joints that MoveNet misses, in a limb that is blurred by
motion, are those of BlazePose. `docs/detectors.md` has the measurements.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.blazepose_detector import landmarks_detection
from pose2mesh.detectors.blazepose.landmark_network import LandmarkNetwork
from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.detection import Detection, FollowingDetector
from pose2mesh.detectors.movenet import MoveNetDetector
from pose2mesh.detectors.nms import pose_similarity, remove_duplicates
from pose2mesh.skeletons import COCO, COCO17

_SAME_POSE = 0.4  # least OKS of the joints of both networks
_VISIBLE = 0.5  # least confidence of a joint that only the landmark network sees
_EXCHANGED = COCO.flip_permutation[: len(COCO17)]
_HIPS, _SHOULDERS = ([COCO17.index(f"{side}_{name}") for side in ("left", "right")] for name in ("hip", "shoulder"))
_RIM = 1.1  # radius of the circle around the body over the distance of the farthest joint from the hips
_RIM_OVER_TORSO = 1.3  # and its least, over the torso's length, where legs and arms are not seen


class PeopleDetector:
    """A `FollowingDetector` of two networks.

    Args:
        finder: The detector of the people and their joints; MoveNet by default.

    Raises:
        InputError: ONNX Runtime is missing, or a file of the package is missing or damaged.
    """

    def __init__(self, finder: FollowingDetector | None = None) -> None:
        self.finder = finder or MoveNetDetector()
        self.landmark_network = LandmarkNetwork(ShippedNetwork("pose_landmarks.onnx"))

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        people = self._with_landmarks(image, self.finder(image, boxes))
        return people if boxes is not None else remove_duplicates(people)

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        """Detect the people of an image fast."""
        return remove_duplicates(self._with_landmarks(image, self.finder.glance(image), average=True))

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        """Estimate the poses of known people."""
        return self._with_landmarks(image, self.finder.follow(image, joints_px, confidence), average=True)

    def _with_landmarks(
        self, image: NDArray[np.uint8], people: list[Detection], average: bool = False
    ) -> list[Detection]:
        """The people, those whom the landmark network sees in the same pose with its landmarks.

        Args:
            image: (H, W, 3) RGB.
            people: As the finder found them.
            average: Whether joints are the mean of both networks, as after a single fast run of the finder; after its
                thorough search its joints are the better ones.
        """
        size = (image.shape[1], image.shape[0])
        present = [index for index, person in enumerate(people) if person.score > 0]
        found = self.landmark_network(image, [body_region(people[index]) for index in present])
        result = list(people)
        for index, landmarks in zip(present, found, strict=True):
            other = landmarks_detection(landmarks, size)
            if other is not None:
                result[index] = _merged(people[index], other, average)
        return result


def _merged(person: Detection, other: Detection, average: bool) -> Detection:
    """What both networks say about one person; `person` alone where the landmarks are of another pose."""
    if pose_similarity(person, other) >= _SAME_POSE:
        return replace(
            _with_joints_of(person, other, average),
            joints3d_m=other.joints3d_m,
            landmarks_px=other.landmarks_px,
            mask=other.mask,
        )
    # The landmark network takes left for right more often: its 3D joints are then of a person who faces the other way.
    exchanged = replace(other, joints_px=other.joints_px[_EXCHANGED], confidence=other.confidence[_EXCHANGED])
    if pose_similarity(person, exchanged) >= _SAME_POSE:
        return replace(_with_joints_of(person, exchanged, average), mask=other.mask)
    return person


def _with_joints_of(person: Detection, other: Detection, average: bool) -> Detection:
    """The person with joints that only `other` sees, and with `average` the weighted mean of those that both see."""
    seen = person.confidence > 0
    weight = np.where(seen | (other.confidence >= _VISIBLE), other.confidence, 0)
    share = weight / np.maximum(weight + person.confidence, 1e-6)
    if not average:
        share[seen] = 0
    joints_px = person.joints_px + share[:, None] * (other.joints_px - person.joints_px)
    confidence = np.where(seen, person.confidence, weight)
    return replace(person, joints_px=joints_px.astype(np.float32), confidence=confidence.astype(np.float32))


def body_region(person: Detection) -> Region:
    """The region of BlazePose around detected joints: between the hips, upright along the torso."""
    joints = person.joints_px.astype(np.float64)
    hips, shoulders = joints[_HIPS].mean(axis=0), joints[_SHOULDERS].mean(axis=0)
    torso = shoulders - hips
    length = float(np.hypot(*torso))
    if length < 1:  # seen from above, or hardly detected
        return Region.around_box(person.box_px)
    known = joints[person.confidence > 0]
    radius = max(_RIM * float(np.linalg.norm(known - hips, axis=1).max()), _RIM_OVER_TORSO * length)
    return Region.from_points(hips, hips + torso / length * radius)
