"""The output of a 2D pose detector (`Detection`), its interface (`Detector`), and checks that detectors share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.io.body_mask import BodyMask as BodyMask
from pose2mesh.io.hands import Hands as Hands


@dataclass(frozen=True, eq=False)
class Detection:
    """The 2D pose of one person, and what else a detector estimates of them.

    Attributes:
        joints_px: (17, 2) float32 pixels, origin top left, in the order of `skeletons.COCO17`.
        confidence: (17,) float32 in [0, 1]; 0 marks a joint that was not detected, whatever its coordinates.
        box_px: (4,) float32: left, top, right, bottom.
        score: Score of the person in [0, 1].
        joints3d_m: (17, 3) float32, or None: 3D joints estimated from the image, metres, origin between the hips, in
            the axes (x right, y down, z forward) of a camera that faces the person.
        landmarks_px: (33, 3) float32, or None: x, y and confidence in the order of `skeletons.MEDIAPIPE33`.
        mask: The silhouette, or None.
        hands: Left and right hand, 21 joints each, or None where no hands were searched (`hands.hand_detector`).
    """

    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    box_px: NDArray[np.float32]
    score: float
    joints3d_m: NDArray[np.float32] | None = None
    landmarks_px: NDArray[np.float32] | None = None
    mask: BodyMask | None = None
    hands: Hands | None = None


class Detector(Protocol):
    """Detects people and their joints in one image."""

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        """Detect the people of an image.

        Args:
            image: (H, W, 3) RGB.
            boxes: (P, 4) left, top, right, bottom of known people.

        Returns:
            Without boxes one detection per person, best score first. With boxes one detection per box, in the order of
            the boxes; where no person is detected in a box, every confidence is 0.

        Raises:
            InputError: the image or the boxes have another shape.
        """
        ...


@runtime_checkable
class FollowingDetector(Detector, Protocol):
    """A detector that, in a video, follows people at less cost than it detects them."""

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        """Detect the people of an image fast: those who are not small in it."""
        ...

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        """Estimate the poses of known people.

        Args:
            image: (H, W, 3) RGB.
            joints_px: (P, 17, 2) in the previous frame, in the order of `skeletons.COCO17`.
            confidence: (P, 17), 0 for a missing joint.

        Returns:
            One detection per person; where no person is found, every confidence is 0.
        """
        ...


def check_image(image: NDArray[np.uint8]) -> None:
    """Check that an array is an RGB image.

    Raises:
        InputError: another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"image: has shape {image.shape} of {image.dtype}; expected (H, W, 3) of uint8")


def check_boxes(boxes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Boxes (P, 4) as float32.

    Raises:
        InputError: another shape, or a box without extent.
    """
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes: have shape {boxes.shape}; expected (P, 4)")
    for index, box in enumerate(boxes):
        if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
            raise InputError(f"boxes: number {index} is {box.tolist()}; expected left < right and top < bottom")
    return boxes


def no_person(box: NDArray[np.floating]) -> Detection:
    """The detection for a box (4,) in which no person is: every confidence is 0."""
    nothing = np.zeros((17, 3), np.float32)
    return Detection(nothing[:, :2], nothing[:, 2], np.asarray(box, np.float32), 0.0)


def zero_outside(
    joints_px: NDArray[np.floating], confidence: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Confidences (J,) clipped to [0, 1], and 0 for joints (J, 2) outside an image of `size` (width, height)."""
    inside = np.all((joints_px >= 0) & (joints_px <= np.array(size)), axis=1)
    return np.where(inside, np.clip(confidence, 0, 1), 0).astype(np.float32)
