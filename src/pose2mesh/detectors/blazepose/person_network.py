"""The person detector of BlazePose (Bazarevsky et al. 2020, arXiv 2006.10204): regions of the people in a window.

A network of the SSD kind (Liu et al. 2016) over 224 x 224 pixels. For each of 2,254 anchors it gives a score, the box
of the person's face, and four points, of which two define the region of the whole person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region, crop
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork, sigmoid
from pose2mesh.detectors.nms import box_iou

SIZE = 224
_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells per side, anchors per cell
_SAME_PERSON = 0.3  # boxes of a higher intersection over union are of one person


@dataclass(frozen=True, eq=False)
class Proposal:
    """A person that the detector proposes.

    Attributes:
        region: Of the whole person.
        face_px: (4,) box of the face: left, top, right, bottom.
        score: In [0, 1].
    """

    region: Region
    face_px: NDArray[np.float64]
    score: float


class PersonNetwork:
    """Detects people in windows of an image.

    Args:
        network: The network, with outputs `boxes` (B, 2254, 12) and `scores` (B, 2254, 1).
    """

    def __init__(self, network: ShippedNetwork) -> None:
        self.network = network
        self.anchors = np.concatenate([anchor_grid(cells, count) for cells, count in _GRIDS])

    def __call__(
        self, image: NDArray[np.uint8], windows: list[NDArray[np.floating]], least_score: float = 0.5
    ) -> list[list[Proposal]]:
        """The people in each window (left, top, right, bottom) of an image (H, W, 3), best score first.

        Args:
            image: RGB.
            windows: Parts of the image; each is scaled to the network's input as a whole, black beyond the image.
            least_score: People of a lower score are left out.
        """
        if not windows:
            return []
        squares = [
            Region((window[:2] + window[2:]).astype(np.float64) / 2, float((window[2:] - window[:2]).max()), 0.0)
            for window in windows
        ]
        crops = np.stack([crop(image, square, SIZE, repeat_edge=False) for square in squares])
        boxes, scores = self.network.run(crops, ["boxes", "scores"])
        outputs = zip(boxes, scores, squares, strict=True)
        return [self._decode(box, score, square, least_score) for box, score, square in outputs]

    def _decode(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], square: Region, least_score: float
    ) -> list[Proposal]:
        """People of one window from the outputs (2254, 12) and (2254, 1)."""
        score = sigmoid(scores[:, 0])
        chosen = score >= least_score
        values, score = boxes[chosen].astype(np.float64) / SIZE, score[chosen]
        anchors = self.anchors[chosen]
        centre, extent = values[:, :2] + anchors, values[:, 2:4]
        # A face's box, and the four points.
        points = np.concatenate([(centre - extent / 2)[:, None], (centre + extent / 2)[:, None]], axis=1)
        points = np.concatenate([points, values[:, 4:].reshape(-1, 4, 2) + anchors[:, None]], axis=1)
        people = []
        order = np.argsort(-score, kind="stable")
        while len(order):
            flat = points[:, :2].reshape(-1, 4)
            same = box_iou(flat[order[0]], flat[order]) > _SAME_PERSON
            same[0] = True
            alike = order[same]
            mean = np.average(points[alike], axis=0, weights=score[alike])  # weighted suppression, as in training
            pixels = square.to_image(mean)
            people.append(
                Proposal(Region.from_points(pixels[2], pixels[3]), pixels[:2].ravel(), float(score[order[0]]))
            )
            order = order[~same]
        return people


def anchor_grid(cells: int, count: int) -> NDArray[np.float64]:
    """Centres (cells² · count, 2) of the anchors of one grid, in [0, 1], row by row."""
    steps = (np.arange(cells) + 0.5) / cells
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0)
