"""The landmark network of BlazePose: 33 landmarks in the image and in metres, presence and silhouette of one person.

Decoding follows the description of BlazePose GHUM (Grishchenko et al. 2022, arXiv 2206.11678) and the published graphs
of MediaPipe: landmarks are refined on their heat maps, then turned back by the region's angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork, sigmoid
from pose2mesh.detectors.detection import BodyMask

SIZE = 256
LANDMARKS = 33
_ALL = 39  # with auxiliary ones, of which two define the region in the next frame
_HIPS, _RIM = 33, 34
_KERNEL = 7  # side of the part of a heat map that refines a landmark
_LEAST_PEAK = 0.5  # of the heat map there
_BATCH = 4  # people per run: more need more memory and are no faster


@dataclass(frozen=True, eq=False)
class Landmarks:
    """One person as the network finds them in a region.

    Attributes:
        points_px: (33, 2) pixels of the image, in the order of `skeletons.MEDIAPIPE33`.
        confidence: (33,) visibility × presence, in [0, 1].
        world_m: (33, 3) metres, origin between the hips, axes of a camera that faces the person.
        presence: That there is a person, in [0, 1].
        mask: The silhouette.
        region: The region that the network saw.
        following: The region of the person in the next frame.
    """

    points_px: NDArray[np.float64]
    confidence: NDArray[np.float64]
    world_m: NDArray[np.float64]
    presence: float
    mask: BodyMask
    region: Region
    following: Region


class LandmarkNetwork:
    """Estimates the landmarks of people in their regions.

    Args:
        network: The network, with outputs `landmarks` (B, 195), `presence` (B, 1), `mask` (B, 1, 256, 256), `heatmaps`
            (B, 39, 64, 64) and `world` (B, 117).
    """

    def __init__(self, network: ShippedNetwork) -> None:
        self.network = network

    def __call__(self, image: NDArray[np.uint8], regions: list[Region]) -> list[Landmarks]:
        """The landmarks in each region of an image (H, W, 3) RGB, in the order of the regions."""
        names = ["landmarks", "presence", "mask", "heatmaps", "world"]
        outputs = self.network.run_on_regions(image, regions, SIZE, names, _BATCH)
        return [_decode(region, *each) for region, each in zip(regions, outputs, strict=True)]


def _decode(
    region: Region,
    landmarks: NDArray[np.float32],
    presence: NDArray[np.float32],
    mask: NDArray[np.float32],
    heatmaps: NDArray[np.float32],
    world: NDArray[np.float32],
) -> Landmarks:
    """Landmarks from the outputs for one region."""
    rows = landmarks.reshape(_ALL, 5).astype(np.float64)
    points = refine(rows[:, :2] / SIZE, heatmaps)
    confidence = sigmoid(rows[:LANDMARKS, 3]) * sigmoid(rows[:LANDMARKS, 4])
    metres = world.reshape(_ALL, 3)[:LANDMARKS].astype(np.float64)
    metres[:, :2] = metres[:, :2] @ region.rotation.T
    pixels = region.to_image(points)
    return Landmarks(
        pixels[:LANDMARKS],
        confidence,
        metres,
        float(presence[0]),
        BodyMask(sigmoid(mask[0]).astype(np.float32), region.affine(SIZE)),
        region,
        Region.from_points(pixels[_HIPS], pixels[_RIM]),
    )


def refine(points: NDArray[np.float64], heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points (N, 2) in [0, 1], moved to the mean of their heat maps (N, h, w) nearby where these are certain."""
    height, width = heatmaps.shape[1:]
    reach = (_KERNEL - 1) // 2
    out = points.copy()
    for index, (x, y) in enumerate(points):
        column, row = int(x * width), int(y * height)
        if not (0 <= column < width and 0 <= row < height):
            continue
        left, top = max(0, column - reach), max(0, row - reach)
        part = sigmoid(heatmaps[index, top : row + reach + 1, left : column + reach + 1].astype(np.float64))
        if part.max() < _LEAST_PEAK:
            continue
        total = part.sum()
        out[index, 0] = (part.sum(0) @ np.arange(left, left + part.shape[1])) / total / width
        out[index, 1] = (part.sum(1) @ np.arange(top, top + part.shape[0])) / total / height
    return out
