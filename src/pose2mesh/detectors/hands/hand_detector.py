"""The hands of detected people: palms searched at the wrists, else the region that the forearm points to.

The palm network sees a window at each wrist; where it finds no palm, or the landmark network no hand there, the latter
sees the region beyond the forearm. It runs twice on each hand, the second time in the region of its own first
landmarks. A hand is refused whose wrist is not the body's, whose landmarks are of the other side, or that another wrist
is closer to. `docs/detectors.md` has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.detection import Detection, Hands, check_image, zero_outside
from pose2mesh.detectors.hands.hand_files import FOLDER, SHA256
from pose2mesh.detectors.hands.hand_network import LANDMARKS, HandLandmarks, HandNetwork
from pose2mesh.detectors.hands.hand_region import forearm_length, region_beyond_forearm, window_at_wrist
from pose2mesh.detectors.hands.palm_network import PalmNetwork
from pose2mesh.io.hands import SIDES
from pose2mesh.skeletons import COCO17, HAND

_WRISTS = [COCO17.index(f"{side}_wrist") for side in SIDES]
_ELBOWS = [COCO17.index(f"{side}_elbow") for side in SIDES]
_HAND_WRIST = HAND.names.index("wrist")
_LEAST_FOREARM_PX = 20.0  # no hand was found at a shorter one that a person could recognise
_LEAST_PALM_SCORE, _LEAST_PRESENCE = 0.5, 0.5
_LEAST_FIRST_PRESENCE = 0.1  # of the first run: the second has a better region
_FARTHEST_WRIST = 0.5  # distance of the hand's wrist from the body's, over the length of the forearm
_FARTHEST_PALM = 0.6  # the same of a palm, whose region the landmark network still corrects
_OTHER_SIDE = 0.8  # probability of the other side that refuses a hand
_SAME_HAND = 0.25  # mean distance of the landmarks of two detections of one hand, over the side of its region


@dataclass(frozen=True, eq=False)
class _Wrist:
    """A wrist at which a hand is searched: person, side, its place and the elbow's, and the length of a forearm."""

    person: int
    side: int
    wrist_px: NDArray[np.float64]
    elbow_px: NDArray[np.float64] | None
    forearm_px: float

    def distance(self, point_px: NDArray[np.float64]) -> float:
        """Distance of a point (2,) from the wrist, in forearms."""
        return float(np.linalg.norm(point_px - self.wrist_px)) / self.forearm_px


class HandDetector:
    """Detects the hands of people whose bodies are detected.

    Raises:
        InputError: ONNX Runtime is missing, or a file of the package is missing or damaged.
    """

    def __init__(self) -> None:
        palm, hand = (
            ShippedNetwork(name, FOLDER, SHA256[name]) for name in ("palm_detector.onnx", "hand_landmarks.onnx")
        )
        self.palm_network = PalmNetwork(palm)
        self.hand_network = HandNetwork(hand)

    def __call__(self, image: NDArray[np.uint8], people: list[Detection]) -> list[Detection]:
        """The people of an image (H, W, 3) RGB, in their order, with their `hands`.

        Raises:
            InputError: the image has another shape, or ONNX Runtime fails.
        """
        check_image(image)
        wrists = [wrist for index, person in enumerate(people) for wrist in _wrists(index, person)]
        found = self._at_palms(image, wrists)
        missing = [index for index, hand in enumerate(found) if hand is None and wrists[index].elbow_px is not None]
        for index, hand in zip(missing, self._beyond_forearms(image, [wrists[i] for i in missing]), strict=True):
            found[index] = hand
        return _with_hands(people, _without_repeats(wrists, found), (image.shape[1], image.shape[0]))

    def _at_palms(self, image: NDArray[np.uint8], wrists: list[_Wrist]) -> list[HandLandmarks | None]:
        """The hand at each wrist where the palm network finds a palm."""
        windows = [window_at_wrist(wrist.wrist_px, wrist.elbow_px, wrist.forearm_px) for wrist in wrists]
        regions: list[Region | None] = []
        for wrist, palms in zip(wrists, self.palm_network(image, windows, _LEAST_PALM_SCORE), strict=True):
            near = (palm.region for palm in palms if wrist.distance(palm.wrist_px) < _FARTHEST_PALM)
            regions.append(next(near, None))  # of the best score
        return self._hands(image, wrists, regions)

    def _beyond_forearms(self, image: NDArray[np.uint8], wrists: list[_Wrist]) -> list[HandLandmarks | None]:
        """The hand in the direction of each forearm."""
        regions: list[Region | None] = [
            None if wrist.elbow_px is None else region_beyond_forearm(wrist.wrist_px, wrist.elbow_px, wrist.forearm_px)
            for wrist in wrists
        ]
        return self._hands(image, wrists, regions)

    def _hands(
        self, image: NDArray[np.uint8], wrists: list[_Wrist], regions: list[Region | None]
    ) -> list[HandLandmarks | None]:
        """The hand of each wrist in its region; None without a region, and where there is no hand of this wrist."""
        for least in (_LEAST_FIRST_PRESENCE, _LEAST_PRESENCE):
            chosen = [index for index, region in enumerate(regions) if region is not None]
            hands: list[HandLandmarks | None] = [None] * len(regions)
            seen = self.hand_network(image, [region for region in regions if region is not None])
            for index, hand in zip(chosen, seen, strict=True):
                if hand.presence >= least:
                    hands[index] = hand
            regions = [None if hand is None else hand.following for hand in hands]
        return [hand if hand and _belongs(hand, wrist) else None for hand, wrist in zip(hands, wrists, strict=True)]


def _wrists(index: int, person: Detection) -> list[_Wrist]:
    """The wrists of a person that are detected, and large enough for a hand."""
    length = forearm_length(person.joints_px, person.confidence)
    found = []
    for side, (wrist, elbow) in enumerate(zip(_WRISTS, _ELBOWS, strict=True)):
        if person.confidence[wrist] > 0 and length >= _LEAST_FOREARM_PX:
            joints = person.joints_px.astype(np.float64)
            elbow_px = joints[elbow] if person.confidence[elbow] > 0 else None
            found.append(_Wrist(index, side, joints[wrist], elbow_px, length))
    return found


def _belongs(hand: HandLandmarks, wrist: _Wrist) -> bool:
    """Whether a hand is at a wrist and, as far as the network is sure, of its side."""
    other_side = hand.right if SIDES[wrist.side] == "left" else 1 - hand.right
    return wrist.distance(hand.points_px[_HAND_WRIST]) < _FARTHEST_WRIST and other_side < _OTHER_SIDE


def _without_repeats(wrists: list[_Wrist], hands: list[HandLandmarks | None]) -> list[tuple[_Wrist, HandLandmarks]]:
    """The hands with their wrists, each once: at the wrist that is closest to the hand's."""
    pairs = [(wrist, hand) for wrist, hand in zip(wrists, hands, strict=True) if hand is not None]
    pairs.sort(key=lambda pair: pair[0].distance(pair[1].points_px[_HAND_WRIST]))
    kept: list[tuple[_Wrist, HandLandmarks]] = []
    for wrist, hand in pairs:
        apart = [np.linalg.norm(hand.points_px - other.points_px, axis=1).mean() for _, other in kept]
        if all(distance > _SAME_HAND * hand.following.side_px for distance in apart):
            kept.append((wrist, hand))
    return kept


def _with_hands(
    people: list[Detection], hands: list[tuple[_Wrist, HandLandmarks]], size: tuple[int, int]
) -> list[Detection]:
    """The people with their hands, in an image of `size` (width, height)."""
    points = np.zeros((len(people), len(SIDES), LANDMARKS, 3), np.float32)
    metres = np.full(points.shape, np.nan, np.float32)
    for wrist, hand in hands:
        confidence = zero_outside(hand.points_px, np.full(LANDMARKS, hand.presence), size)
        points[wrist.person, wrist.side] = np.column_stack([hand.points_px, confidence])
        metres[wrist.person, wrist.side] = hand.world_m
    return [replace(person, hands=Hands(*both)) for person, *both in zip(people, points, metres, strict=True)]
