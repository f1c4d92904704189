"""RTMPose (Jiang et al. 2023, arXiv 2303.07399) from an ONNX file: one pose per box; good in crowds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, check_boxes, check_image, zero_outside
from pose2mesh.detectors.nms import remove_duplicates
from pose2mesh.detectors.onnx_files import OnnxNetwork
from pose2mesh.detectors.yolox import PersonDetector
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO17

SIMCC = ["simcc_x", "simcc_y"]
_PADDING = 1.25  # enlargement of the box, as in training
_BINS_PER_PX = 2.0  # bins of the SimCC outputs per pixel of the input
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # ImageNet, RGB
_MIN_CONFIDENCE = 0.3  # the network outputs every joint; MMPose, too, treats those below this as not detected


class RTMPoseDetector:
    """The `Detector` of RTMPose: YOLOX detects the people, RTMPose their joints."""

    def __init__(self, person_detector: PersonDetector, network: PoseNetwork) -> None:
        self.person_detector, self.network = person_detector, network

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_image(image)
        if boxes is not None:
            return [self._in_box(image, box, 1.0) for box in check_boxes(boxes)]
        found = zip(*self.person_detector(image), strict=True)
        people = [self._in_box(image, box, float(score)) for box, score in found if (box[2:] > box[:2]).all()]
        return remove_duplicates([person for person in people if person.score > 0])

    def _in_box(self, image: NDArray[np.uint8], box: NDArray[np.float32], score: float) -> Detection:
        """The pose in a box; its score is the score of the box times the mean confidence of the joints."""
        joints, confidence = self.network(image, box)
        confidence = zero_outside(joints, confidence, (image.shape[1], image.shape[0]))
        confidence[confidence < _MIN_CONFIDENCE] = 0
        return Detection(joints, confidence, box, score * float(confidence.mean()))


class PoseNetwork:
    """A pose network with SimCC heads (Li et al. 2022): for each joint, scores of bins along x and along y.

    Args:
        network: A network with outputs `simcc_x` (1, 17, 2 W) and `simcc_y` (1, 17, 2 H).
    """

    def __init__(self, network: OnnxNetwork) -> None:
        self.network, self.size = network, network.size or (192, 256)

    def __call__(
        self, image: NDArray[np.uint8], box: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints (17, 2) in the image's pixels and scores (17,), some of which may exceed 1.

        Raises:
            InputError: the network's outputs have other shapes.
        """
        centre, extent = crop_window(box, self.size)
        across, down = self.network.run((crop(image, centre, extent, self.size) - _MEAN) / _STD, SIMCC)
        bins = (1, len(COCO17), int(_BINS_PER_PX * self.size[0])), (1, len(COCO17), int(_BINS_PER_PX * self.size[1]))
        if (across.shape, down.shape) != bins:
            raise InputError(
                f"{self.network.path}: outputs {across.shape} and {down.shape}; expected {bins[0]} and {bins[1]}"
            )
        peak = np.stack([across[0].argmax(axis=1), down[0].argmax(axis=1)], axis=1) / _BINS_PER_PX
        joints = peak / self.size * extent + centre - extent / 2
        return joints.astype(np.float32), np.minimum(across[0].max(axis=1), down[0].max(axis=1))


def crop_window(box: NDArray[np.floating], size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (2,) and extent (2,), width and height, of the crop that a network of input `size` takes for a box.

    The box is enlarged by `_PADDING`, then along one axis to the aspect ratio of `size`.
    """
    centre, extent = (box[:2] + box[2:]).astype(np.float64) / 2, (box[2:] - box[:2]).astype(np.float64) * _PADDING
    aspect = size[0] / size[1]
    return centre, np.array([max(extent[0], extent[1] * aspect), max(extent[1], extent[0] / aspect)])


def crop(
    image: NDArray[np.uint8], centre: NDArray[np.floating], extent: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Crop and scale a part of an image, bilinear and black outside, as in the network's training.

    In the coordinates of training a pixel's centre is a whole number; Pillow's coordinates are half a pixel larger.
    """
    from PIL import Image

    step = extent / size
    corner = centre - extent / 2 + 0.5 - 0.5 * step
    affine = (step[0], 0, corner[0], 0, step[1], corner[1])
    part = Image.fromarray(image).transform(
        size, Image.Transform.AFFINE, affine, resample=Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.asarray(part)
