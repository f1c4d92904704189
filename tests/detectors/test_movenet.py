"""MoveNet: decoding of its heads, its runs on windows of an image, and the network that ships.

The synthetic image holds its own coordinates as colours, so that a stand-in for the network knows where it looks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.movenet import HEADS, MoveNetDetector, decode
from pose2mesh.detectors.nms import box_iou, pose_similarity
from pose2mesh.io.images import read_image

SIZE = (240, 160)  # width, height


class SceneNetwork:
    """Answers like the network for people whose joints (P, 17, 2) it knows, wherever the image shows them.

    Attributes:
        visible: Probability of the heat maps' peaks, by the longer side of the input.
        inputs: (width, height) of the inputs so far.
    """

    def __init__(self, joints: NDArray[np.floating], visible: Callable[[int], float] = lambda _: 0.9) -> None:
        self.joints, self.visible = joints, visible
        self.inputs: list[tuple[int, int]] = []

    def run(self, images: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        assert names == HEADS
        (pixels,) = images
        self.inputs.append((pixels.shape[1], pixels.shape[0]))
        assert all(side % 32 == 0 for side in self.inputs[-1])
        places = pixels[::4, ::4, :2].astype(np.float32)
        step = np.maximum([places[0, 1, 0] - places[0, 0, 0], places[1, 0, 1] - places[0, 0, 1]], 0.1)
        known = pixels[::4, ::4, 2] > 200
        height, width = known.shape
        heads = [np.zeros((n, height, width), np.float32) for n in (1, 2, 2, 34, 17, 34)]
        centre, box_offset, box_size, regression, heat, offset = heads
        for joints in self.joints:
            middle = (joints.min(axis=0) + joints.max(axis=0)) / 2
            row, column = nearest(places, known, middle)
            if not known[row, column] or np.abs(places[row, column] - middle).max() > 12:
                continue
            centre[0, row, column] = 0.95
            cell_of = [nearest(places, known, joint) for joint in joints]
            box_offset[:, row, column] = ((middle - places[row, column]) / step)[::-1]
            box_size[:, row, column] = (np.ptp(joints, axis=0) / step + 4)[::-1]
            for index, ((y, x), joint) in enumerate(zip(cell_of, joints, strict=True)):
                regression[2 * index : 2 * index + 2, row, column] = y - row, x - column
                heat[index, y, x] = self.visible(max(self.inputs[-1]))
                offset[2 * index : 2 * index + 2, y, x] = ((joint - places[y, x]) / step)[::-1]
        return [head[None] for head in heads]


def nearest(places: NDArray[np.floating], known: NDArray[np.bool_], point: NDArray[np.floating]) -> tuple[int, int]:
    distance = np.where(known, np.square(places - point).sum(axis=-1), 1e9)
    row, column = np.unravel_index(distance.argmin(), distance.shape)
    return int(row), int(column)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def joints() -> NDArray[np.float64]:
    """Two people (2, 17, 2)."""
    one = np.random.default_rng(0).uniform((0, 0), (40, 90), (17, 2))
    return np.stack([one + np.array(corner) for corner in ((30, 40), (150, 30))])


def detector(network: SceneNetwork, second_run: bool = True) -> MoveNetDetector:
    made = MoveNetDetector(second_run=second_run)
    made.network = network  # type: ignore[assignment]
    return made


def test_joints_are_the_peaks_near_the_guess_of_each_centre() -> None:
    heads = [np.zeros((n, 16, 24), np.float32) for n in (1, 2, 2, 34, 17, 34)]
    centre, box_offset, box_size, regression, heat, offset = heads
    for row, column in ((5, 6), (9, 18)):
        centre[0, row, column] = 0.8
        box_offset[:, row, column], box_size[:, row, column] = (0.5, 0.25), (6, 8)
        regression[:, row, column] = np.tile([1, -1], 17)
        heat[:, row + 2, column - 1] = 0.5
        offset[:, row + 2, column - 1] = np.tile([0.5, 0.75], 17)
    heat[:, 6, 6] = 0.1  # weaker, though nearer
    first, second = decode(*heads)
    np.testing.assert_allclose(first[0], np.tile([5.75, 7.5], (17, 1)))
    np.testing.assert_allclose(second[0], np.tile([17.75, 11.5], (17, 1)))
    np.testing.assert_allclose(first[1], 0.5 * np.exp(-1 / (0.3 * 16)), rtol=1e-5)
    np.testing.assert_allclose(first[2], [2.25, 2.5, 10.25, 8.5])  # left, top, right, bottom
    assert first[3] == pytest.approx(0.8 * first[1][0], rel=1e-5)


def test_a_joint_outside_the_box_of_the_person_is_not_theirs() -> None:
    heads = [np.zeros((n, 16, 24), np.float32) for n in (1, 2, 2, 34, 17, 34)]
    heads[0][0, 8, 8], heads[2][:, 8, 8], heads[4][:, 8, 13] = 0.8, 4, 0.9
    ((_, confidence, _, score),) = decode(*heads)
    assert (confidence.max(), score) == (0, 0)


def test_people_are_detected_to_a_pixel(image: NDArray[np.uint8], joints: NDArray[np.float64]) -> None:
    network = SceneNetwork(joints)
    people = detector(network)(image)
    assert len(people) == 2
    assert network.inputs == [(256, 192), (512, 352), (768, 512), (256, 256), (256, 256)]
    for person in people:
        error = min(np.abs(person.joints_px - one).max() for one in joints)
        assert error < 1.5
        assert person.score > 0.7
        assert (person.box_px[:2] <= person.joints_px.min(axis=0) + 1).all()
        assert (person.box_px[2:] >= person.joints_px.max(axis=0) - 1).all()


def test_a_person_whom_the_second_run_does_not_confirm_is_dropped(
    image: NDArray[np.uint8], joints: NDArray[np.float64]
) -> None:
    def only_in_the_first(longer: int) -> float:
        return 0.18 if longer == 768 else 0.0

    network = SceneNetwork(joints, only_in_the_first)
    assert detector(network)(image) == []
    assert len(detector(network, second_run=False)(image)) == 2


def test_given_boxes_keep_their_order(image: NDArray[np.uint8], joints: NDArray[np.float64]) -> None:
    boxes = np.stack([np.concatenate([one.min(axis=0), one.max(axis=0)]) for one in joints[::-1]])
    boxes = np.concatenate([boxes, [[100, 5, 108, 12]]])
    second, first, nothing = detector(SceneNetwork(joints))(image, boxes)
    assert np.abs(second.joints_px - joints[1]).max() < 1.5
    assert np.abs(first.joints_px - joints[0]).max() < 1.5
    assert (nothing.confidence == 0).all()
    np.testing.assert_allclose(second.box_px, boxes[0], atol=1e-4)


def test_known_people_are_followed_in_their_order(image: NDArray[np.uint8], joints: NDArray[np.float64]) -> None:
    network = SceneNetwork(joints)
    before = np.stack([joints[1] + 4, joints[0] - 3, joints[0] + (90, 90)])
    known = np.ones((3, 17))
    known[:, :5] = 0
    second, first, nobody = detector(network).follow(image, before, known)
    assert np.abs(second.joints_px - joints[1]).max() < 1.5
    assert np.abs(first.joints_px - joints[0]).max() < 1.5
    assert (nobody.confidence == 0).all()
    assert [max(size) for size in network.inputs] == [256] * 3


def test_a_glance_is_one_run(image: NDArray[np.uint8], joints: NDArray[np.float64]) -> None:
    network = SceneNetwork(joints)
    assert len(detector(network).glance(image)) == 2
    assert network.inputs == [(384, 256)]


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (64, 48)])
def test_the_shipped_network_runs_on_images_without_people(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    assert MoveNetDetector()(image) == []


def test_the_shipped_network_finds_the_people_of_a_photo(shared_data: Path) -> None:
    image = read_image(shared_data / "coco_mini/images/000000442450.jpg")
    people = MoveNetDetector()(image)
    assert len(people) == 2  # two men before a forest
    assert all(person.score > 0.3 for person in people)
    coarse: list[Detection] = MoveNetDetector((256,), second_run=False)(image)
    assert max(pose_similarity(people[0], other) for other in coarse) > 0.8


def test_the_people_of_the_example_photo_are_where_they_are() -> None:
    image = read_image(Path(__file__).parents[2] / "examples" / "two_people.jpg")
    boxes = np.array([[527, 12, 725, 459], [1274, 543, 1499, 945]], np.float32)
    people = MoveNetDetector()(image)
    assert len(people) == len(MoveNetDetector().glance(image)) == 2
    for person in people:
        assert box_iou(person.box_px, boxes).max() > 0.8
        assert (person.confidence > 0.5).sum() >= 12
    first = people[0]
    (followed,) = MoveNetDetector().follow(image, first.joints_px[None] + 6, first.confidence[None])
    assert pose_similarity(followed, first) > 0.85
