"""Boxes of people by YOLOX (Ge et al. 2021, arXiv 2107.08430), from an ONNX file with or without suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.nms import suppress_boxes
from pose2mesh.detectors.onnx_files import OnnxNetwork
from pose2mesh.errors import InputError

_STRIDES = (8, 16, 32)
_GREY = 114  # value of the padding that makes an image square, as in training
_MIN_SCORE, _MAX_IOU = 0.3, 0.45
_PERSON = 0  # the first class of COCO, and the only one of Human-Art


class PersonDetector:
    """Detects boxes of people.

    Args:
        network: Outputs (1, A, 5 + classes), undecoded, as YOLOX's own export does; or boxes with scores (1, N, 5) and
            labels (1, N), as MMDeploy's export does.
    """

    def __init__(self, network: OnnxNetwork) -> None:
        self.network, self.size = network, network.size or (640, 640)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (P, 4), left, top, right, bottom in pixels, and scores (P,), best first, of an image (H, W, 3) RGB.

        Raises:
            InputError: the network's outputs are not those of YOLOX.
        """
        squared, factor = letterbox(image, self.size)
        outputs = self.network.run(squared[..., ::-1])  # trained on BGR, 0 to 255
        if len(outputs) == 2 and outputs[0].ndim == 3 and outputs[0].shape[2] == 5:
            boxes, scores, labels = outputs[0][0, :, :4], outputs[0][0, :, 4], outputs[1].reshape(-1)
            chosen = (labels == _PERSON) & (scores >= _MIN_SCORE)
            boxes, scores = boxes[chosen], scores[chosen]
            order = np.argsort(-scores, kind="stable")
        elif len(outputs) == 1 and outputs[0].ndim == 3 and outputs[0].shape[1] == _anchors(self.size):
            boxes, scores = decode(outputs[0][0], self.size)
            chosen = scores >= _MIN_SCORE
            boxes, scores = boxes[chosen], scores[chosen]
            order = np.array(suppress_boxes(boxes, scores, _MAX_IOU), int)
        else:
            shapes = ", ".join(str(part.shape) for part in outputs)
            raise InputError(
                f"{self.network.path}: outputs {shapes}; expected YOLOX's (1, A, 5 + classes) or boxes and labels"
            )
        limits = np.array(image.shape[1::-1] * 2)
        return np.clip(boxes[order] / factor, 0, limits).astype(np.float32), scores[order].astype(np.float32)


def letterbox(image: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """Scale an image into the top left of a grey image of `size` (width, height); also returns the scale factor."""
    from PIL import Image

    height, width = image.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    scaled = max(1, int(width * factor)), max(1, int(height * factor))
    squared = np.full((size[1], size[0], 3), _GREY, np.uint8)
    squared[: scaled[1], : scaled[0]] = np.asarray(Image.fromarray(image).resize(scaled, Image.Resampling.BILINEAR))
    return squared, factor


def decode(rows: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (A, 4), left, top, right, bottom in the network's pixels, and scores (A,) of people.

    Args:
        rows: (A, 5 + classes): the centre relative to the cell in cells, the logarithm of width and height in cells,
            the probability of an object, the probability of each class. Cells run row by row through the grids of
            `_STRIDES`.
        size: (width, height) of the network's input.
    """
    cells, strides = [], []
    for stride in _STRIDES:
        down, across = np.mgrid[: size[1] // stride, : size[0] // stride]
        cells.append(np.stack([across.ravel(), down.ravel()], axis=1))
        strides.append(np.full((across.size, 1), stride))
    cell, stride_of = np.concatenate(cells), np.concatenate(strides)
    centre, half = (rows[:, :2] + cell) * stride_of, np.exp(rows[:, 2:4]) * stride_of / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return boxes.astype(np.float32), (rows[:, 4] * rows[:, 5 + _PERSON]).astype(np.float32)


def _anchors(size: tuple[int, int]) -> int:
    return sum((size[0] // stride) * (size[1] // stride) for stride in _STRIDES)
