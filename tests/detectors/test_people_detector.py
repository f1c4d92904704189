"""People whom one network finds, with what the landmark network of BlazePose adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.landmark_network import Landmarks
from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.detection import BodyMask, Detection
from pose2mesh.detectors.nms import pose_similarity
from pose2mesh.detectors.people_detector import PeopleDetector, body_region
from pose2mesh.detectors.registry import load_detector
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import COCO, COCO17, MEDIAPIPE33

IMAGE = np.zeros((300, 400, 3), np.uint8)


class Landmarker:
    """Gives each region the joints of a list, whatever the image shows."""

    def __init__(self, people: list[Detection], presence: float = 0.9) -> None:
        self.people, self.presence = people, presence
        self.regions: list[Region] = []

    def __call__(self, image: NDArray[np.uint8], regions: list[Region]) -> list[Landmarks]:
        self.regions += regions
        found = []
        for person, region in zip(self.people, regions, strict=True):
            points, confidence = np.full((33, 2), 50.0), np.full(33, 0.8)
            points[[MEDIAPIPE33.index(name) for name in COCO17]] = person.joints_px
            world = np.random.default_rng(0).normal(size=(33, 3))
            mask = BodyMask(np.ones((8, 8), np.float32), region.affine(8))
            found.append(Landmarks(points, confidence, world, self.presence, mask, region, region))
        return found


class Finder:
    """Gives the people of a list, whatever the image shows."""

    def __init__(self, people: list[Detection]) -> None:
        self.people = people

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        return self.people

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        return self.people

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        return self.people


def made(finder: list[Detection], landmarks: Landmarker) -> PeopleDetector:
    detector = PeopleDetector(Finder(finder))
    detector.landmark_network = landmarks  # type: ignore[assignment]
    return detector


def test_landmarks_of_the_same_pose_are_added(person: Callable[..., Detection]) -> None:
    (found,) = made([person(20, 0.7)], Landmarker([person(23)]))(IMAGE)
    np.testing.assert_array_equal(found.joints_px, person(20).joints_px)  # those of the finder stay
    assert found.score == 0.7
    assert found.landmarks_px is not None
    assert found.landmarks_px.shape == (33, 3)
    assert found.joints3d_m is not None
    hips = [COCO17.index("left_hip"), COCO17.index("right_hip")]
    np.testing.assert_allclose(found.joints3d_m[hips].mean(0), 0, atol=1e-6)
    assert found.mask is not None


def test_a_missed_joint_is_that_of_the_landmarks(person: Callable[..., Detection]) -> None:
    (found,) = made([person(20, detected=15)], Landmarker([person(23)]))(IMAGE)
    missed = person(20, detected=15).confidence == 0
    np.testing.assert_allclose(found.joints_px[missed], person(23).joints_px[missed], atol=1e-4)
    np.testing.assert_allclose(found.confidence[missed], 0.8)
    np.testing.assert_array_equal(found.joints_px[~missed], person(20).joints_px[~missed])


def test_in_a_video_joints_are_the_mean_of_both(person: Callable[..., Detection]) -> None:
    detector = made([person(20)], Landmarker([person(23)]))
    ours, theirs = person(20), person(23)
    share = 0.8 / (0.8 + ours.confidence[:, None])
    expected = ours.joints_px + share * (theirs.joints_px - ours.joints_px)
    for found in (detector.glance(IMAGE), detector.follow(IMAGE, ours.joints_px[None], ours.confidence[None])):
        np.testing.assert_allclose(found[0].joints_px, expected, atol=1e-4)


def test_where_the_landmarks_confuse_left_and_right_their_3d_joints_are_left_out(
    person: Callable[..., Detection],
) -> None:
    ours = person(20)
    other_way_round = replace(ours, joints_px=ours.joints_px[COCO.flip_permutation[:17]])
    (found,) = made([ours], Landmarker([other_way_round])).glance(IMAGE)
    np.testing.assert_allclose(found.joints_px, ours.joints_px, atol=1e-4)
    assert found.joints3d_m is found.landmarks_px is None
    assert found.mask is not None


@pytest.mark.parametrize(("shift", "presence"), [(140, 0.9), (20, 0.3)], ids=["another person", "no person"])
def test_other_landmarks_are_not(person: Callable[..., Detection], shift: float, presence: float) -> None:
    (found,) = made([person(20, 0.7)], Landmarker([person(shift)], presence))(IMAGE)
    assert found.landmarks_px is found.joints3d_m is found.mask is None


def test_given_boxes_keep_their_order_and_are_not_merged(person: Callable[..., Detection]) -> None:
    nobody = replace(person(), score=0.0, confidence=np.zeros(17, np.float32))
    people = [person(20, 0.5), nobody, person(20, 0.8)]
    landmarks = Landmarker([person(20), person(20)])
    found = made(people, landmarks)(IMAGE, np.stack([each.box_px for each in people]))
    assert [each.score for each in found] == [0.5, 0.0, 0.8]
    assert [each.mask is not None for each in found] == [True, False, True]
    assert len(made([people[0], people[2]], Landmarker([person(20)] * 2))(IMAGE)) == 1


def test_people_of_a_video_have_landmarks_too(person: Callable[..., Detection]) -> None:
    (glanced,) = made([person(20, 0.7)], Landmarker([person(20)])).glance(IMAGE)
    before = person(18)
    (followed,) = made([person(20, 0.7)], Landmarker([person(20)])).follow(
        IMAGE, before.joints_px[None], before.confidence[None]
    )
    assert glanced.mask is not None
    assert followed.mask is not None


def test_the_region_lies_between_the_hips_along_the_torso() -> None:
    joints = np.zeros((17, 2), np.float32) + 100
    for name, place in {"hip": (100, 100), "shoulder": (150, 100), "ankle": (30, 100)}.items():
        for side in ("left", "right"):
            joints[COCO17.index(f"{side}_{name}")] = place
    lying = Detection(joints, np.ones(17, np.float32), np.array([30, 90, 160, 110], np.float32), 1.0)
    region = body_region(lying)
    np.testing.assert_allclose(region.centre_px, (100, 100))
    assert region.angle == pytest.approx(np.pi / 2)  # the head is to the right
    assert region.side_px == pytest.approx(1.25 * 2 * 1.1 * 70)
    flat = replace(lying, joints_px=np.full((17, 2), 100, np.float32))
    assert body_region(flat).side_px == pytest.approx(1.25 * 130)


def test_the_default_detector_on_a_photo(shared_data: Path) -> None:
    image = read_image(shared_data / "coco_mini/images/000000442450.jpg")
    people = load_detector("movenet")(image)
    assert len(people) == 2  # two men before a forest
    for person in people:
        assert person.score > 0.5
        assert person.mask is not None
        assert person.joints3d_m is not None
        height_m = np.ptp(person.joints3d_m[:, 1])
        assert 1.0 < height_m < 2.2
    again = load_detector("movenet")(image, np.stack([person.box_px for person in people]))
    for first, second in zip(people, again, strict=True):
        assert pose_similarity(first, second) > 0.8
