"""Regions of hands: rotated squares from the landmarks of a hand, or from a forearm.

Convention: as `blazepose.region`; in a region of angle 0 the fingers point up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.skeletons import COCO17, HAND

# What the landmark network was trained on: the square around the landmarks without the ends of the fingers, twice as
# large, moved to the fingertips by a tenth of the square (MediaPipe's published graphs).
_SCALE, _SHIFT = 2.0, 0.1
_TIPS = [
    HAND.names.index(f"{finger}_{part}") for finger in ("index", "middle", "ring", "little") for part in ("3", "tip")
] + [HAND.names.index("thumb_tip")]
_INNER = [index for index in range(len(HAND.names)) if index not in _TIPS]
_WRIST = HAND.names.index("wrist")
_KNUCKLES, _MIDDLE = [HAND.names.index("index_1"), HAND.names.index("ring_1")], HAND.names.index("middle_1")


# In lengths of the forearm, which is a little longer than the hand.
_BEYOND = 0.35  # from the wrist to the centre of the hand
_REGION = 1.1  # side of the region of a hand
_WINDOW = 2.2  # side of the window in which a palm is searched
# The forearm's length over that of other parts of the body: ends of the part, and the ratio.
_FOREARM_OVER = [
    (COCO17.index(start), COCO17.index(end), ratio)
    for start, end, ratio in (
        *((f"{side}_elbow", f"{side}_wrist", 1.0) for side in ("left", "right")),
        *((f"{side}_shoulder", f"{side}_elbow", 0.85) for side in ("left", "right")),
        *((f"{side}_hip", f"{side}_shoulder", 0.5) for side in ("left", "right")),
        ("left_shoulder", "right_shoulder", 0.65),
    )
]


def region_of_hand(points_px: NDArray[np.float64]) -> Region:
    """The region of a hand from its landmarks (21, 2)."""
    along = (points_px[_KNUCKLES].mean(0) + points_px[_MIDDLE]) / 2 - points_px[_WRIST]
    angle = upright_angle(along)
    axes = Region(np.zeros(2), 1.0, angle).rotation
    turned = points_px[_INNER] @ axes
    low, high = turned.min(0), turned.max(0)
    centre = (low + high) / 2 - np.array([0, _SHIFT * (high - low)[1]])
    return Region(axes @ centre, _SCALE * float((high - low).max()), angle)


def upright_angle(direction: NDArray[np.floating]) -> float:
    """The angle of a region in which a direction (2,) of the image points up, in [-π, π)."""
    angle = float(np.pi / 2 - np.arctan2(-direction[1], direction[0]))
    return (angle + np.pi) % (2 * np.pi) - np.pi


def region_beyond_forearm(wrist_px: NDArray[np.float64], elbow_px: NDArray[np.float64], forearm_px: float) -> Region:
    """The region in which a hand continues its forearm, from wrist and elbow (2,) and the length of a forearm."""
    direction = wrist_px - elbow_px
    return Region(_hand_centre(wrist_px, elbow_px, forearm_px), _REGION * forearm_px, upright_angle(direction))


def window_at_wrist(wrist_px: NDArray[np.float64], elbow_px: NDArray[np.float64] | None, forearm_px: float) -> Region:
    """The window in which the palm of a wrist (2,) is searched; about the wrist itself where the elbow is unknown."""
    return Region(_hand_centre(wrist_px, elbow_px, forearm_px), _WINDOW * forearm_px, 0.0)


def _hand_centre(
    wrist_px: NDArray[np.float64], elbow_px: NDArray[np.float64] | None, forearm_px: float
) -> NDArray[np.float64]:
    if elbow_px is None:
        return wrist_px
    direction = wrist_px - elbow_px
    return wrist_px + _BEYOND * forearm_px * direction / max(float(np.linalg.norm(direction)), 1e-6)


def forearm_length(joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> float:
    """The length in pixels of a forearm that lies across the view, from joints (17, 2) and confidences (17,).

    A limb that points to the camera is short in the image; so it is the longest of what several parts of the body say.
    0 where none of them is detected.
    """
    lengths = [
        factor * float(np.linalg.norm(joints_px[start].astype(np.float64) - joints_px[end]))
        for start, end, factor in _FOREARM_OVER
        if confidence[start] > 0 and confidence[end] > 0
    ]
    return max(lengths, default=0.0)
