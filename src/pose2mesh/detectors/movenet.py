"""MoveNet MultiPose (Google, Apache-2.0): boxes and joints of all people of an image, from one network that ships.

The network has CenterNet heads (Zhou et al. 2019, arXiv 1904.07850): a heat map of people's centres, and for each
centre the box and a first guess of the joints; a heat map for each joint, whose peak near the guess is the joint; and
offsets within the cells. It was made for images of 256 pixels, in which people of a crowd are too small, so it runs on
the whole image at three sizes, and once more on a crop around each person, which confirms them and refines their
joints.
`docs/detectors.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.detection import Detection, check_boxes, check_image, no_person, zero_outside
from pose2mesh.detectors.nms import box_iou, pose_similarity, remove_duplicates
from pose2mesh.skeletons import COCO17

Floats = NDArray[np.floating]

FOLDER = Path(str(files("pose2mesh"))) / "weights" / "movenet"
SHA256 = "53be9926ab85656ecd882bddba9bbdacb37520c10f42529a8126a8770129c157"
HEADS = ["centre", "box_offset", "box_size", "joint_regression", "joint_heatmap", "joint_offset"]
SIZES = (256, 512, 768)  # longer sides of the network's input for the whole image
GLANCE_SIZE = 384  # the same in a video, in one run
STRIDE = 4  # pixels a cell
MIN_SCORE = 0.1  # of a person in the mean of both runs
_MULTIPLE = 32  # pixels: the sides of the input are multiples of it
_MIN_PROPOSAL = 0.06  # score of a person in the first run
_MIN_GLANCE = 0.15  # score of a person whom no second run confirms
_MIN_JOINT = 0.1  # confidence below which a joint is not detected
_COUNTED_JOINT = 0.127  # joints that count for the score, as in the published network
_SPREAD = 0.3  # of the prior around the guessed joint, as in the published network: cells of the shorter side
_MOST_PEOPLE = 40  # a run
_LEAST_JOINTS = 4
_CROP_PX, _MARGIN, _LEAST_CROP_PX = 256, 1.5, 24  # input of the second run; its window over the joints' box; the least
_CONFIRMED = 0.4  # OKS of the poses of both runs, from which their mean is taken


class MoveNetDetector:
    """The `FollowingDetector` of MoveNet.

    Args:
        sizes: Longer sides of the network's input, one run each.
        second_run: Whether to run again on a crop around each person; without, the score is that of the first run.

    Raises:
        InputError: ONNX Runtime is missing, or the file of the package is missing or damaged.
    """

    def __init__(self, sizes: Sequence[int] = SIZES, second_run: bool = True) -> None:
        self.network = ShippedNetwork("movenet_multipose.onnx", FOLDER, SHA256)
        self.sizes, self.second_run = tuple(sizes), second_run

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_image(image)
        if boxes is not None:
            return [self._in_box(image, box) for box in check_boxes(boxes)]
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
        proposals = [person for size in self.sizes for person in self._run(image, whole, size)]
        people = remove_duplicates([person for person in proposals if person.score >= _MIN_PROPOSAL])
        if self.second_run:
            people = [self._confirmed(image, person) for person in people]
        return remove_duplicates([_published(person) for person in people if person.score >= MIN_SCORE])

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        """Detect the people of an image in one run, without confirming them."""
        check_image(image)
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
        people = self._run(image, whole, GLANCE_SIZE)
        return remove_duplicates([_published(person) for person in people if person.score >= _MIN_GLANCE])

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        """Estimate the poses of known people, each in a crop around their pose in the previous frame."""
        check_image(image)
        followed = []
        for joints, known in zip(joints_px, confidence > 0, strict=True):
            box = np.concatenate([joints[known].min(axis=0), joints[known].max(axis=0)]).astype(np.float32)
            before = Detection(joints.astype(np.float32), known.astype(np.float32), box, 1.0)
            people = self._run(image, _window(box), _CROP_PX)
            # A fast limb leaves its place in the last frame, the box does not.
            likeness = [pose_similarity(before, each) + float(box_iou(box, each.box_px[None])[0]) for each in people]
            followed.append(
                _published(people[int(np.argmax(likeness))]) if max(likeness, default=0) > 0 else no_person(box)
            )
        return followed

    def _in_box(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> Detection:
        """The pose whose box overlaps the given box most; every confidence is 0 if none overlaps it."""
        people = self._run(image, _window(box), _CROP_PX)
        if people:
            overlap = box_iou(box, np.stack([person.box_px for person in people]))
            if overlap.max() > 0:
                return replace(_published(people[int(overlap.argmax())]), box_px=box)
        return no_person(box)

    def _confirmed(self, image: NDArray[np.uint8], person: Detection) -> Detection:
        """A person after a second run on a crop around the joints.

        The score is the mean of the two runs, that of the second one weighted by the OKS of the poses. The joints are
        the mean of both, weighted by confidence, where they are of the same pose.
        """
        known = person.joints_px[person.confidence > 0]
        found = self._run(image, _window(np.concatenate([known.min(axis=0), known.max(axis=0)])), _CROP_PX)
        again = max(found, key=lambda other: pose_similarity(person, other), default=None)
        if again is None:
            return replace(person, score=person.score / 2)
        similarity = pose_similarity(person, again)
        score = (person.score + again.score * similarity) / 2
        if similarity < _CONFIRMED:
            return replace(person, score=score)
        weights = np.stack([person.confidence, again.confidence])[..., None] + np.float32(1e-6)
        joints = (np.stack([person.joints_px, again.joints_px]) * weights).sum(axis=0) / weights.sum(axis=0)
        confidence = np.maximum(person.confidence, again.confidence)
        return Detection(joints, confidence, again.box_px, score)

    def _run(self, image: NDArray[np.uint8], window: Floats, longer_px: int) -> list[Detection]:
        """People in a window (left, top, right, bottom) of the image, scaled to a longer side; best score first."""
        size = np.array(image.shape[1::-1])
        low = np.clip(np.floor(window[:2]), 0, size - 1).astype(int)
        high = np.clip(np.ceil(window[2:]), low + 1, size).astype(int)
        pixels, factor = _scaled(image[low[1] : high[1], low[0] : high[0]], longer_px)
        heads = [head[0] for head in self.network.run(pixels[None], HEADS)]
        people = []
        for joints, confidence, box, score in decode(*heads):
            joints = (joints * STRIDE / factor + low).astype(np.float32)
            confidence = zero_outside(joints, confidence, (image.shape[1], image.shape[0]))
            confidence[confidence < _MIN_JOINT] = 0
            if (confidence > 0).sum() >= _LEAST_JOINTS:
                box = np.clip(box.reshape(2, 2) * STRIDE / factor + low, 0, size).astype(np.float32).ravel()
                people.append(Detection(joints, confidence, _sound(box, joints[confidence > 0]), score))
        return people


def _published(person: Detection) -> Detection:
    """The person with square roots of the network's confidences and score.

    These products of probabilities are too low: where they are 0.57, annotated joints have a mean similarity
    (`metrics.keypoint_similarity`) of 0.87. The roots are closer to it, and compare with other detectors' confidences.
    """
    return replace(person, confidence=np.sqrt(person.confidence), score=float(np.sqrt(person.score)))


def decode(
    centre: Floats,
    box_offset: Floats,
    box_size: Floats,
    joint_regression: Floats,
    joint_heatmap: Floats,
    joint_offset: Floats,
) -> list[tuple[Floats, Floats, Floats, float]]:
    """People from the network's heads, best centre first.

    Args:
        centre: (1, H, W) probability that a cell is the centre of a person's box.
        box_offset, box_size: (2, H, W) y and x of the centre within the cell; height and width of the box, cells.
        joint_regression: (34, H, W) y and x of each joint from the cell, in cells.
        joint_heatmap: (17, H, W) probability that a cell holds a joint.
        joint_offset: (34, H, W) y and x of each joint within the cell.

    Returns:
        For each person joints (17, 2), x and y in cells; confidences (17,); box (4,) left, top, right, bottom in cells;
        score: the centre's probability times the mean confidence of the joints above `_COUNTED_JOINT`, else 0.
    """
    height, width = centre.shape[1:]
    down, across = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    offsets = joint_offset.reshape(len(COCO17), 2, height, width)
    spread = _SPREAD * min(height, width)
    numbers, people = np.arange(len(COCO17)), []
    for row, column in _peaks(centre[0])[:_MOST_PEOPLE]:
        cell = np.array([row, column])
        middle, half = cell + box_offset[:, row, column], np.maximum(box_size[:, row, column], 0) / 2
        low, high = np.clip(middle - half, 0, (height, width)), np.clip(middle + half, 0, (height, width))
        guess = joint_regression[:, row, column].reshape(-1, 2) + cell
        # The prior is a product of a column and a row; outside the person's box it is 0.
        vertical = np.exp(-np.square(down - guess[:, :1]) / spread) * ((down >= low[0]) & (down < high[0]))
        horizontal = np.exp(-np.square(across - guess[:, 1:]) / spread) * ((across >= low[1]) & (across < high[1]))
        likely = (joint_heatmap * vertical[:, :, None] * horizontal[:, None]).reshape(len(COCO17), -1)
        rows, columns = np.divmod(likely.argmax(axis=1), width)
        confidence = likely.max(axis=1)
        joints = np.stack([columns, rows], axis=1) + offsets[numbers, ::-1, rows, columns]
        counted = confidence[confidence > _COUNTED_JOINT]
        score = float(centre[0, row, column] * counted.mean()) if len(counted) else 0.0
        people.append((joints, confidence, np.concatenate([low[::-1], high[::-1]]), score))
    return people


def _peaks(heat: Floats) -> NDArray[np.intp]:
    """Cells (N, 2), row and column, that are not lower than their eight neighbours, highest first."""
    height, width = heat.shape
    padded = np.pad(heat, 1)
    highest = np.max([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    cells = np.argwhere((heat >= highest) & (heat >= _MIN_PROPOSAL))
    return cells[np.argsort(-heat[tuple(cells.T)], kind="stable")]


def _scaled(part: NDArray[np.uint8], longer_px: int) -> tuple[NDArray[np.uint8], Floats]:
    """An image scaled to a longer side, black up to multiples of 32 pixels, and the factors of x and y."""
    from PIL import Image

    height, width = part.shape[:2]
    factor = longer_px / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    padded = np.zeros((*(-(-side // _MULTIPLE) * _MULTIPLE for side in size[::-1]), 3), np.uint8)
    padded[: size[1], : size[0]] = np.asarray(
        Image.fromarray(part).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    )
    return padded, np.array(size) / (width, height)


def _window(box: Floats) -> Floats:
    """The square around a box (4,) that the second run sees."""
    middle, extent = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
    half = max(float(extent) * _MARGIN, _LEAST_CROP_PX) / 2
    return np.concatenate([middle - half, middle + half])


def _sound(box: NDArray[np.float32], joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box, or that of the detected joints (N, 2) where the network's box has no extent."""
    return box if (box[2:] - box[:2] >= 1).all() else np.concatenate([joints.min(axis=0), joints.max(axis=0) + 1])
