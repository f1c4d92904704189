"""Colour descriptors: the same person in another pose, another person, who is hidden, and no image."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.motion.person_colours import BINS, REGIONS, describe_people, lab_from_rgb, similarity
from pose2mesh.skeletons import COCO17

STAND = np.array(
    [(0, -70), (3, -73), (-3, -73), (7, -71), (-7, -71), (18, -52), (-18, -52), (22, -25), (-22, -25), (24, 0),
     (-24, 0), (11, 0), (-11, 0), (12, 42), (-12, 42), (12, 84), (-12, 84)], float
)  # fmt: skip
LIMBS = ((0, 5, 12), (0, 6, 11), (0, 5, 9), (0, 6, 10), (1, 11, 15), (1, 12, 16), (0, 0, 5))
RED_BLUE, GREEN_BLACK = ((200, 40, 40), (30, 40, 160)), ((40, 160, 60), (20, 20, 20))


def draw(image: np.ndarray, joints: np.ndarray, colours: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """A rough figure: the upper body in the first colour, the legs in the second."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for row, a, b in LIMBS:
        for part in np.linspace(0, 1, 40):
            at = joints[a] + part * (joints[b] - joints[a])
            image[(x - at[0]) ** 2 + (y - at[1]) ** 2 < 81] = colours[row]


def scene(*people: tuple[np.ndarray, tuple[tuple[int, ...], tuple[int, ...]]]) -> np.ndarray:
    image = np.random.default_rng(0).integers(90, 130, (240, 640, 3), dtype=np.uint8)
    for joints, colours in people:
        draw(image, joints, colours)
    return image


def describe(*people: tuple[np.ndarray, tuple[tuple[int, ...], tuple[int, ...]]]) -> np.ndarray:
    return describe_people(
        scene(*people), np.stack([joints for joints, _ in people]), np.ones((len(people), len(COCO17)))
    )


def test_lab_of_known_colours() -> None:
    found = lab_from_rgb(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8))
    expected = [(100, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20), (32.30, 79.19, -107.86)]
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_person_keeps_their_colours_and_differs_from_others() -> None:
    left, right = STAND + np.array((150, 120)), STAND * (0.8, 1) + np.array((450, 120))
    here = describe((left, RED_BLUE), (right, GREEN_BLACK))
    later = describe((right, RED_BLUE), (left, GREEN_BLACK))  # they have changed places
    assert here.shape == (2, len(REGIONS), BINS)
    found, reliability = similarity(here[:, None], later)
    assert (reliability > 0.9).all()
    assert np.diag(found).min() > 0.9
    assert max(found[0, 1], found[1, 0]) < 0.8


def test_hidden_parts_do_not_count() -> None:
    left = STAND + np.array((150, 120))
    alone = describe((left, RED_BLUE))
    crossing = describe((left, RED_BLUE), (left + np.array((8, 0)), GREEN_BLACK))
    assert crossing.sum() < 0.2 * 2 * alone.sum()
    out_of_image = describe_people(scene((left, RED_BLUE)), left[None] + np.array((2000, 0)), np.ones((1, 17)))
    assert not out_of_image.any()
    unsure = describe_people(scene((left, RED_BLUE)), left[None], np.full((1, 17), 0.3))
    assert unsure.sum() == pytest.approx(0.5 * alone.sum(), rel=1e-5)


def test_without_an_image_there_is_no_reliability() -> None:
    nothing = np.zeros((len(REGIONS), BINS), np.float32)
    found, reliability = similarity(nothing, describe((STAND + np.array((150, 120)), RED_BLUE))[0])
    assert (float(found), float(reliability)) == (0, 0)
    assert describe_people(scene(), np.zeros((0, 17, 2)), np.zeros((0, 17))).shape == (0, len(REGIONS), BINS)
