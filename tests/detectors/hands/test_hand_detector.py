"""Hands at the wrists of people: which are searched, taken and refused; the shipped networks on an image of COCO."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.blazepose.shipped_network import ShippedNetwork
from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.hands.hand_detector import HandDetector
from pose2mesh.detectors.hands.hand_files import FOLDER, SHA256
from pose2mesh.detectors.hands.hand_network import HandLandmarks
from pose2mesh.detectors.hands.palm_network import Palm
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import COCO17

IMAGE = np.zeros((400, 600, 3), np.uint8)
LEFT, RIGHT = 0, 1


@dataclass
class Palms:
    """Finds the same palms in every window."""

    palms: list[Palm]

    def __call__(self, image: NDArray[np.uint8], windows: list[Region], least_score: float) -> list[list[Palm]]:
        return [self.palms for _ in windows]


@dataclass
class Landmarker:
    """Finds a hand whose wrist is `offset` from the centre of each region."""

    right: float = 0.5
    presence: float = 0.9
    offset: tuple[float, float] = (0.0, 35.0)
    runs: int = 0

    def __call__(self, image: NDArray[np.uint8], regions: list[Region]) -> list[HandLandmarks]:
        self.runs += len(regions)
        world = np.random.default_rng(0).normal(size=(21, 3))
        points = np.linspace(self.offset, (0, -40), 21)
        return [
            HandLandmarks(region.centre_px + points, world, self.presence, self.right, region, region)
            for region in regions
        ]


def made(landmarker: Landmarker, palms: list[Palm] | None = None) -> HandDetector:
    detector = HandDetector()
    detector.palm_network = Palms(palms or [])  # type: ignore[assignment]
    detector.hand_network = landmarker  # type: ignore[assignment]
    return detector


def reaching(forearm_px: float = 100.0, apart_px: float = 200.0) -> Detection:
    """A person whose arms point up, with wrists at a height of 150 pixels and `apart_px` between them."""
    joints, confidence = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
    for side, x in (("left", 300 + apart_px / 2), ("right", 300 - apart_px / 2)):
        for name, y in (("wrist", 150.0), ("elbow", 150 + forearm_px)):
            joints[COCO17.index(f"{side}_{name}")], confidence[COCO17.index(f"{side}_{name}")] = (x, y), 0.9
    return Detection(joints, confidence, np.array([0, 0, 600, 400], np.float32), 0.9)


def found(landmarker: Landmarker, person: Detection, palms: list[Palm] | None = None) -> tuple[bool, bool]:
    (result,) = made(landmarker, palms)(IMAGE, [person])
    assert result.hands is not None
    return result.hands.present


def test_hands_are_found_beyond_the_forearms_in_two_runs() -> None:
    landmarker = Landmarker()
    (person,) = made(landmarker)(IMAGE, [reaching()])
    assert landmarker.runs == 4
    assert person.hands is not None
    assert person.hands.joints_px.shape == person.hands.joints3d_m.shape == (2, 21, 3)
    np.testing.assert_allclose(person.hands.joints_px[LEFT, 0], (400, 150, 0.9), atol=1e-4)
    np.testing.assert_allclose(person.hands.joints_px[RIGHT, 0], (200, 150, 0.9), atol=1e-4)
    assert person.hands.present == (True, True)


def test_a_hand_of_the_other_side_is_refused() -> None:
    assert found(Landmarker(right=0.95), reaching()) == (False, True)
    assert found(Landmarker(right=0.05), reaching()) == (True, False)
    assert found(Landmarker(right=0.7), reaching()) == (True, True)


def test_a_hand_far_from_the_wrist_is_refused_and_so_is_no_hand() -> None:
    assert found(Landmarker(offset=(60.0, 35.0)), reaching()) == (False, False)
    assert found(Landmarker(presence=0.4), reaching()) == (False, False)


def test_hands_of_small_people_are_not_searched() -> None:
    landmarker = Landmarker()
    assert found(landmarker, reaching(forearm_px=15.0)) == (False, False)
    assert landmarker.runs == 0


def test_a_palm_at_the_wrist_comes_first_and_one_elsewhere_is_ignored() -> None:
    left_wrist = np.array([400.0, 150.0])
    palm = Palm(Region(left_wrist - (0, 35), 110.0, 0.0), left_wrist, 0.9)
    landmarker = Landmarker()
    assert found(landmarker, reaching(), [palm]) == (True, True)  # the right one beyond its forearm
    assert landmarker.runs == 4


def test_one_hand_is_not_that_of_two_wrists() -> None:
    left_wrist = np.array([310.0, 150.0])
    palm = Palm(Region(left_wrist - (0, 35), 110.0, 0.0), left_wrist, 0.9)
    assert found(Landmarker(), reaching(apart_px=20.0), [palm]) == (True, False)


def test_a_missing_wrist_has_no_hand_and_joints_outside_the_image_no_confidence() -> None:
    person = reaching()
    confidence = person.confidence.copy()
    confidence[COCO17.index("left_wrist")] = 0
    assert found(Landmarker(), replace(person, confidence=confidence)) == (False, True)
    above = replace(person, joints_px=person.joints_px - np.float32([0, 140]))
    (result,) = made(Landmarker())(IMAGE, [above])
    assert result.hands is not None
    outside = result.hands.joints_px[:, :, 1] < 0
    assert outside.any()
    np.testing.assert_array_equal(result.hands.joints_px[:, :, 2] == 0, outside)


def test_no_people_and_other_arrays() -> None:
    assert made(Landmarker())(IMAGE, []) == []
    with pytest.raises(InputError, match=r"image: has shape \(4, 4\) of uint8; expected \(H, W, 3\) of uint8"):
        made(Landmarker())(np.zeros((4, 4), np.uint8), [reaching()])


@pytest.mark.parametrize("name", SHA256)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((FOLDER / name).read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{name}: is damaged, .*; expected {SHA256[name]}; `pip install"):
        ShippedNetwork(name, tmp_path, SHA256[name])


def test_hands_of_two_men_in_a_forest(shared_data: Path) -> None:
    image = read_image(shared_data / "coco_mini/images/000000442450.jpg")
    people = HandDetector()(image, load_detector("movenet")(image))
    hands = [person.hands for person in people if person.hands is not None]
    assert len(hands) == len(people) == 2
    assert sum(sum(both.present) for both in hands) >= 3
    for person, both in zip(people, hands, strict=True):
        for side, name in enumerate(("left_wrist", "right_wrist")):
            if both.present[side]:
                wrist = person.joints_px[COCO17.index(name)]
                assert np.linalg.norm(both.joints_px[side, 0, :2] - wrist) < 20
                length_m = np.linalg.norm(both.joints3d_m[side, 9] - both.joints3d_m[side, 0])  # to the middle knuckle
                assert 0.05 < length_m < 0.13
