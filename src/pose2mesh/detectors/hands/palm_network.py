"""The palm detector of MediaPipe: palms in windows of an image, each with the region of the hand.

Decoding follows the description of MediaPipe Hands (Zhang et al. 2020, arXiv 2006.10214) and its published graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.person_network import anchor_grid
from pose2mesh.detectors.blazepose.region import Region, crop
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork, sigmoid
from pose2mesh.detectors.hands.hand_region import upright_angle
from pose2mesh.detectors.nms import box_iou

SIZE = 192
_GRIDS = ((24, 2), (12, 6))  # cells along a side, anchors per cell
_SAME_PALM = 0.3  # IoU
_SCALE, _SHIFT = 2.6, 0.5  # of a hand's region over the palm's box, and its shift to the fingertips
_WRIST, _MIDDLE = 0, 2  # among the seven points of a palm


@dataclass(frozen=True, eq=False)
class Palm:
    """A detected palm.

    Attributes:
        region: The region of the hand.
        wrist_px: (2,) pixels.
        score: In [0, 1].
    """

    region: Region
    wrist_px: NDArray[np.float64]
    score: float


class PalmNetwork:
    """Detects palms in square windows.

    Args:
        network: The network, with outputs `boxes` (B, 2016, 18) and `scores` (B, 2016, 1).
    """

    def __init__(self, network: ShippedNetwork) -> None:
        self.network = network
        self.anchors = np.concatenate([anchor_grid(*each) for each in _GRIDS])

    def __call__(self, image: NDArray[np.uint8], windows: list[Region], least_score: float) -> list[list[Palm]]:
        """The palms in each window of an image (H, W, 3) RGB, best score first; black beyond the image."""
        if not windows:
            return []
        crops = np.stack([crop(image, window, SIZE, repeat_edge=False) for window in windows])
        boxes, scores = self.network.run(crops, ["boxes", "scores"])
        return [self._decode(*each, least_score) for each in zip(boxes, scores, windows, strict=True)]

    def _decode(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], window: Region, least_score: float
    ) -> list[Palm]:
        """Palms of one window from the outputs (2016, 18) and (2016, 1)."""
        score = sigmoid(scores[:, 0])
        chosen = score >= least_score
        values, score, anchors = boxes[chosen].astype(np.float64) / SIZE, score[chosen], self.anchors[chosen]
        centre, extent = values[:, :2] + anchors, values[:, 2:4]
        corners = np.stack([centre - extent / 2, centre + extent / 2], axis=1)
        points = np.concatenate([corners, values[:, 4:].reshape(-1, 7, 2) + anchors[:, None]], axis=1)
        palms = []
        order = np.argsort(-score, kind="stable")
        while len(order):
            flat = corners.reshape(-1, 4)
            same = box_iou(flat[order[0]], flat[order]) > _SAME_PALM
            same[0] = True
            mean = np.average(points[order[same]], axis=0, weights=score[order[same]])  # as in MediaPipe
            palms.append(_palm(mean, window, float(score[order[0]])))
            order = order[~same]
        return palms


def _palm(points: NDArray[np.float64], window: Region, score: float) -> Palm:
    """A palm from the corners of its box and its seven points (9, 2), in [0, 1] over the window."""
    pixels = window.to_image(points)
    wrist, middle = pixels[2 + _WRIST], pixels[2 + _MIDDLE]
    side = float((points[1] - points[0]).max()) * window.side_px
    angle = upright_angle(middle - wrist)
    up = Region(wrist, 1.0, angle).rotation @ np.array([0, -1])
    centre = window.to_image((points[0] + points[1]) / 2) + _SHIFT * side * up
    return Palm(Region(centre, _SCALE * side, angle), wrist, score)
