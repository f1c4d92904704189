"""People's boxes by YOLOX (Ge et al. 2021, arXiv 2107.08430), from an ONNX file with or without suppression inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.nms import suppress_boxes
from pose2mesh.detectors.onnx_files import Network
from pose2mesh.errors import InputError

_STRIDES = (8, 16, 32)
_GREY = 114  # of the margin that makes a picture square, in training
_LEAST_SCORE, _MOST_OVERLAP = 0.3, 0.45
_PERSON = 0  # the first class of COCO, and the only one of Human-Art


class PeopleFinder:
    """Finds boxes of people.

    Args:
        network: Answers (1, A, 5 + classes), undecoded, as YOLOX's own export does; or boxes with scores (1, N, 5) and
            labels (1, N), as MMDeploy's export does.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.size = network, network.size or (640, 640)

    def __call__(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (P, 4), left, top, right, bottom in pixels, and scores (P,), best first, of a picture (H, W, 3) RGB.

        Raises:
            InputError: the network does not answer as YOLOX does.
        """
        squared, factor = letterbox(picture, self.size)
        answer = self.network.run(squared[..., ::-1])  # trained on BGR, 0 to 255
        if len(answer) == 2 and answer[0].ndim == 3 and answer[0].shape[2] == 5:
            boxes, scores, labels = answer[0][0, :, :4], answer[0][0, :, 4], answer[1].reshape(-1)
            chosen = (labels == _PERSON) & (scores >= _LEAST_SCORE)
            boxes, scores = boxes[chosen], scores[chosen]
            order = np.argsort(-scores, kind="stable")
        elif len(answer) == 1 and answer[0].ndim == 3 and answer[0].shape[1] == _anchors(self.size):
            boxes, scores = decode(answer[0][0], self.size)
            chosen = scores >= _LEAST_SCORE
            boxes, scores = boxes[chosen], scores[chosen]
            order = np.array(suppress_boxes(boxes, scores, _MOST_OVERLAP), int)
        else:
            shapes = ", ".join(str(part.shape) for part in answer)
            raise InputError(
                f"{self.network.path}: answers {shapes}; expected YOLOX's (1, A, 5 + classes) or boxes and labels"
            )
        limits = np.array(picture.shape[1::-1] * 2)
        return np.clip(boxes[order] / factor, 0, limits).astype(np.float32), scores[order].astype(np.float32)


def letterbox(picture: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float]:
    """A picture scaled into the top left of a grey one of `size` (width, height), and the factor of scaling."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    scaled = max(1, int(width * factor)), max(1, int(height * factor))
    squared = np.full((size[1], size[0], 3), _GREY, np.uint8)
    squared[: scaled[1], : scaled[0]] = np.asarray(Image.fromarray(picture).resize(scaled, Image.Resampling.BILINEAR))
    return squared, factor


def decode(rows: NDArray[np.float32], size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (A, 4), left, top, right, bottom in the network's pixels, and scores (A,) of people.

    Args:
        rows: (A, 5 + classes): the centre relative to the cell in cells, the logarithm of width and height in cells,
            the chance of an object, the chance of each class. Cells run along the rows of the grids of `_STRIDES`.
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
