"""RTMPose (Jiang et al. 2023, arXiv 2303.07399): a pose for each box, from an ONNX file; good in crowds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.nms import remove_duplicates
from pose2mesh.detectors.onnx_files import Network
from pose2mesh.detectors.registry import Detection, check_boxes, check_picture, unseen_outside
from pose2mesh.detectors.yolox import PeopleFinder
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO17

SIMCC = ["simcc_x", "simcc_y"]
_PADDING = 1.25  # of the box, in training
_SPLIT = 2.0  # bins of the answer for each pixel of the input
_MEAN, _SPREAD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # ImageNet's, RGB
_LEAST_CONFIDENCE = 0.3  # the network places every joint somewhere; below this MMPose, too, takes it for not seen


class RTMPoseDetector:
    """A `Detector`: YOLOX finds the people, RTMPose their joints."""

    def __init__(self, finder: PeopleFinder, network: PoseNetwork) -> None:
        self.finder, self.network = finder, network

    def __call__(self, picture: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_picture(picture)
        if boxes is not None:
            return [self._in_box(picture, box, 1.0) for box in check_boxes(boxes)]
        found = zip(*self.finder(picture), strict=True)
        people = [self._in_box(picture, box, float(score)) for box, score in found if (box[2:] > box[:2]).all()]
        return remove_duplicates([person for person in people if person.score > 0])

    def _in_box(self, picture: NDArray[np.uint8], box: NDArray[np.float32], score: float) -> Detection:
        """The pose in a box; its score is that of the box times the mean confidence of the joints."""
        joints, confidence = self.network(picture, box)
        confidence = unseen_outside(joints, confidence, (picture.shape[1], picture.shape[0]))
        confidence[confidence < _LEAST_CONFIDENCE] = 0
        return Detection(joints, confidence, box, score * float(confidence.mean()))


class PoseNetwork:
    """A pose network with SimCC heads (Li et al. 2022): for each joint a score along x and one along y.

    Args:
        network: Answers `simcc_x` (1, 17, 2 W) and `simcc_y` (1, 17, 2 H).
    """

    def __init__(self, network: Network) -> None:
        self.network, self.size = network, network.size or (192, 256)

    def __call__(
        self, picture: NDArray[np.uint8], box: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints (17, 2) in the picture's pixels and scores (17,), some of which may exceed 1.

        Raises:
            InputError: the network answers in other shapes.
        """
        centre, extent = padded(box, self.size)
        across, down = self.network.run((crop(picture, centre, extent, self.size) - _MEAN) / _SPREAD, SIMCC)
        bins = (1, len(COCO17), int(_SPLIT * self.size[0])), (1, len(COCO17), int(_SPLIT * self.size[1]))
        if (across.shape, down.shape) != bins:
            raise InputError(
                f"{self.network.path}: answers {across.shape} and {down.shape}; expected {bins[0]} and {bins[1]}"
            )
        place = np.stack([across[0].argmax(axis=1), down[0].argmax(axis=1)], axis=1) / _SPLIT
        joints = place / self.size * extent + centre - extent / 2
        return joints.astype(np.float32), np.minimum(across[0].max(axis=1), down[0].max(axis=1))


def padded(box: NDArray[np.floating], size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (2,) and width and height (2,) of the part of a picture that a network of input `size` sees of a box.

    The box grows by `_PADDING`, and on one axis until it has the proportions of `size`.
    """
    centre, extent = (box[:2] + box[2:]).astype(np.float64) / 2, (box[2:] - box[:2]).astype(np.float64) * _PADDING
    proportion = size[0] / size[1]
    return centre, np.array([max(extent[0], extent[1] * proportion), max(extent[1], extent[0] / proportion)])


def crop(
    picture: NDArray[np.uint8], centre: NDArray[np.floating], extent: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A part of a picture at another scale, bilinear and black outside, as the network saw it in training.

    Coordinates there are such that a pixel's centre is a whole number; Pillow's are half a pixel larger.
    """
    from PIL import Image

    step = extent / size
    corner = centre - extent / 2 + 0.5 - 0.5 * step
    affine = (step[0], 0, corner[0], 0, step[1], corner[1])
    part = Image.fromarray(picture).transform(
        size, Image.Transform.AFFINE, affine, resample=Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.asarray(part)
