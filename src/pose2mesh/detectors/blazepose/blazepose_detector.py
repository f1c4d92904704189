"""BlazePose, the detector that ships: two small networks, good for people who are not tiny in the image.

Its person detector scales the image to 224 x 224 pixels and misses people who are small there. Therefore it also runs
on overlapping tiles. Since about half of the detections in tiles are false, the landmarks are estimated once more in
the region that the first ones define, and a person whom this second run does not confirm in the same pose is dropped.
`docs/detectors.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.landmark_network import LandmarkNetwork, Landmarks
from pose2mesh.detectors.blazepose.person_network import PersonNetwork, Proposal
from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.detection import Detection, check_boxes, check_image, no_person, zero_outside
from pose2mesh.detectors.nms import box_iou, pose_similarity, remove_duplicates
from pose2mesh.skeletons import COCO17, MEDIAPIPE33

SCALES = (1.0, 0.6)  # sides of the tiles, relative to the image's shorter side
_MIN_TILE_PX = 32  # people in smaller tiles are never detected
_MIN_SCORE, _MIN_SCORE_IN_BOX = 0.5, 0.1  # of the person detector
_MIN_PRESENCE = 0.5
_BOX_MARGIN = 1.25  # side of the window around a given box, over the box's longer side
_CONFIRMED = 0.7  # least OKS of the poses of the two runs
_SAME_PROPOSAL = 0.7
_MIN_JOINTS = 5  # detected
_COCO_OF_MEDIAPIPE = [MEDIAPIPE33.index(name) for name in COCO17]
_BODY_RADIUS = 1.2  # radius of the circle around a person, over the largest distance of a joint from the hips
_SHOULDERS = [COCO17.index("left_shoulder"), COCO17.index("right_shoulder")]
_HIPS = [COCO17.index("left_hip"), COCO17.index("right_hip")]


class BlazePoseDetector:
    """The `Detector` that ships.

    Args:
        scales: Sides of the tiles, relative to the image's shorter side; empty for the whole image alone.

    Raises:
        InputError: ONNX Runtime is missing, or a file of the package is damaged.
    """

    def __init__(self, scales: tuple[float, ...] = SCALES) -> None:
        self.scales = scales
        self.person_network = PersonNetwork(ShippedNetwork("person_detector.onnx"))
        self.landmark_network = LandmarkNetwork(ShippedNetwork("pose_landmarks.onnx"))

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_image(image)
        if boxes is not None:
            return self._in_boxes(image, check_boxes(boxes))
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
        windows = [whole, *tiles(image, self.scales)]
        proposals = [person for window in windows for person in self.person_network(image, [window], _MIN_SCORE)[0]]
        first = self._estimate(image, [person.region for person in proposals])
        kept = remove_duplicates([person for person, _ in first if person is not None], _SAME_PROPOSAL)
        if not self.scales:
            return remove_duplicates(kept)
        following = {id(person): landmarks.following for person, landmarks in first}
        second = self._estimate(image, [following[id(person)] for person in kept])
        confirmed = [
            again
            for person, (again, _) in zip(kept, second, strict=True)
            if again is not None and pose_similarity(person, again) >= _CONFIRMED
        ]
        return remove_duplicates(confirmed)

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        """Detect the people of the whole image, without tiles."""
        check_image(image)
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
        proposals = self.person_network(image, [whole], _MIN_SCORE)[0]
        people = [person for person, _ in self._estimate(image, [person.region for person in proposals])]
        return remove_duplicates([person for person in people if person is not None])

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        """Estimate people in the regions around their poses in the previous frame, without detecting them anew."""
        check_image(image)
        regions = [_region_around_pose(*person) for person in zip(joints_px, confidence, strict=True)]
        return [
            person if person is not None else no_person(np.concatenate([region.to_image(np.zeros(2))] * 2))
            for region, (person, _) in zip(regions, self._estimate(image, regions), strict=True)
        ]

    def _in_boxes(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> list[Detection]:
        """The pose in each box; every confidence is 0 where no person is."""
        windows = [square_around(box, _BOX_MARGIN) for box in boxes]
        found = self.person_network(image, windows, _MIN_SCORE_IN_BOX)
        regions = [_region_in_box(box, proposals) for box, proposals in zip(boxes, found, strict=True)]
        people = []
        for box, (person, _) in zip(boxes, self._estimate(image, regions), strict=True):
            if person is not None and box_iou(box, person.box_px[None])[0] > 0:
                people.append(replace(person, box_px=box))
            else:
                people.append(no_person(box))
        return people

    def _estimate(self, image: NDArray[np.uint8], regions: list[Region]) -> list[tuple[Detection | None, Landmarks]]:
        """The person in each region, None if there is none, and the landmarks."""
        size = (image.shape[1], image.shape[0])
        return [(landmarks_detection(each, size), each) for each in self.landmark_network(image, regions)]


def landmarks_detection(landmarks: Landmarks, size: tuple[int, int]) -> Detection | None:
    """A detection in an image of `size` (width, height); None if there is no person, or hardly a joint in the image."""
    if landmarks.presence < _MIN_PRESENCE:
        return None
    confidence = zero_outside(landmarks.points_px, landmarks.confidence, size)
    rows = np.column_stack([landmarks.points_px, confidence]).astype(np.float32)
    joints = rows[_COCO_OF_MEDIAPIPE]
    present = joints[:, 2] > 0
    if present.sum() < _MIN_JOINTS:
        return None
    box = np.concatenate([joints[present, :2].min(0), joints[present, :2].max(0)])
    world = landmarks.world_m[_COCO_OF_MEDIAPIPE]
    return Detection(
        joints[:, :2],
        joints[:, 2],
        box,
        landmarks.presence * float(joints[:, 2].mean()),
        (world - world[_HIPS].mean(0)).astype(np.float32),
        rows,
        landmarks.mask,
    )


def _region_in_box(box: NDArray[np.float32], proposals: list[Proposal]) -> Region:
    """The region of the person who fills a box best; upright and around the box if no person was detected."""
    upright = Region.around_box(box)
    inside = [
        proposal
        for proposal in proposals
        if np.linalg.norm(proposal.region.centre_px - upright.centre_px) < 0.5 * upright.side_px
        and 0.5 < proposal.region.side_px / upright.side_px < 2
    ]
    best = max(inside, key=lambda proposal: proposal.score, default=None)
    return upright if best is None else best.region


def _region_around_pose(joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> Region:
    """The region of a pose (17, 2): about the hips and along the trunk; upright around the box without these joints."""
    present = joints_px[confidence > 0]
    if (confidence[[*_HIPS, *_SHOULDERS]] > 0).all():
        hips, shoulders = joints_px[_HIPS].mean(axis=0), joints_px[_SHOULDERS].mean(axis=0)
        length = float(np.linalg.norm(shoulders - hips))
        if length > 1:
            radius = _BODY_RADIUS * float(np.linalg.norm(present - hips, axis=1).max())
            return Region.from_points(hips, hips + (shoulders - hips) * (radius / length))
    return Region.around_box(np.concatenate([present.min(axis=0), present.max(axis=0)]))


def tiles(image: NDArray[np.uint8], scales: tuple[float, ...]) -> Iterator[NDArray[np.float64]]:
    """Square tiles that cover an image and overlap by half or more: left, top, right, bottom."""
    size = np.array(image.shape[1::-1])
    for scale in scales:
        side = int(size.min() * scale)
        if side < _MIN_TILE_PX:
            continue
        counts = np.ceil((size - side) / (side / 2)).astype(int) + 1
        across, down = (np.linspace(0, size[axis] - side, counts[axis]).astype(int) for axis in (0, 1))
        for top in down:
            for left in across:
                yield np.array([left, top, left + side, top + side], np.float64)


def square_around(box: NDArray[np.floating], margin: float) -> NDArray[np.floating]:
    """A square around a box (4,), its side `margin` times the box's longer side."""
    centre, half = (box[:2] + box[2:]) / 2, margin * float((box[2:] - box[:2]).max()) / 2
    return np.concatenate([centre - half, centre + half])
