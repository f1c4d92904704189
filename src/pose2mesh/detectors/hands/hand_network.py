"""The hand landmark network of MediaPipe: 21 landmarks in the image and in metres, presence and handedness of a hand.

Decoding follows the description of MediaPipe Hands (Zhang et al. 2020, arXiv 2006.10214) and its published graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.hands.hand_region import region_of_hand

SIZE = 224
LANDMARKS = 21
_BATCH = 8  # hands per run: more need more memory and are no faster


@dataclass(frozen=True, eq=False)
class HandLandmarks:
    """One hand as the network finds it in a region.

    Attributes:
        points_px: (21, 2) pixels of the image, in the order of `skeletons.HAND`.
        world_m: (21, 3) metres, origin at the centre of the hand, axes (x right, y down, z forward) of the camera.
        presence: That there is a hand, in [0, 1].
        right: That it is a right hand, in [0, 1].
        region: The region that the network saw.
        following: The region around these landmarks, which the next run sees.
    """

    points_px: NDArray[np.float64]
    world_m: NDArray[np.float64]
    presence: float
    right: float
    region: Region
    following: Region


class HandNetwork:
    """Estimates the landmarks of hands in their regions.

    Args:
        network: The network, with outputs `landmarks` (B, 63), `presence` (B, 1), `handedness` (B, 1), `world` (B, 63).
    """

    def __init__(self, network: ShippedNetwork) -> None:
        self.network = network

    def __call__(self, image: NDArray[np.uint8], regions: list[Region]) -> list[HandLandmarks]:
        """The landmarks in each region of an image (H, W, 3) RGB, in the order of the regions."""
        names = ["landmarks", "presence", "handedness", "world"]
        outputs = self.network.run_on_regions(image, regions, SIZE, names, _BATCH)
        return [_decode(region, *each) for region, each in zip(regions, outputs, strict=True)]


def _decode(
    region: Region,
    landmarks: NDArray[np.float32],
    presence: NDArray[np.float32],
    handedness: NDArray[np.float32],
    world: NDArray[np.float32],
) -> HandLandmarks:
    """Landmarks from the outputs for one region."""
    points = region.to_image(landmarks.reshape(LANDMARKS, 3)[:, :2].astype(np.float64) / SIZE)
    metres = world.reshape(LANDMARKS, 3).astype(np.float64)
    metres[:, :2] = metres[:, :2] @ region.rotation.T
    return HandLandmarks(points, metres, float(presence[0]), float(handedness[0]), region, region_of_hand(points))
