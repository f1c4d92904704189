"""Hands that belong to their body, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.io.hand_keypoints import place_hands
from pose2mesh.skeletons import HANDS, INPUT_ORDERS

NAMES = INPUT_ORDERS["wholebody133"]


def person() -> np.ndarray:
    """(133, 3) someone 1,000 pixels tall whose hands are 100 pixels long, below wrists at x = 300 and 700."""
    rows = np.zeros((133, 3))
    for name, place in {
        "nose": (500, 100), "left_shoulder": (600, 250), "right_shoulder": (400, 250), "left_elbow": (680, 400),
        "right_elbow": (320, 400), "left_wrist": (700, 500), "right_wrist": (300, 500), "left_ankle": (560, 1100),
        "right_ankle": (440, 1100),
    }.items():  # fmt: skip
        rows[NAMES.index(name)] = (*place, 1)
    for side, x in (("left", 700), ("right", 300)):
        for step, name in enumerate(HANDS[side]):
            rows[NAMES.index(name)] = (x + step % 4, 505 + 100 * step / 20, 0.9)
    return rows


def columns(side: str) -> list[int]:
    return [NAMES.index(name) for name in HANDS[side]]


def test_hands_at_their_wrists_are_kept() -> None:
    rows = person()
    placed, notes = place_hands(rows, NAMES)
    assert notes == ()
    np.testing.assert_array_equal(placed, person())


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_far_from_its_wrist_is_missing(side: str) -> None:
    rows = person()
    rows[columns(side), :2] += (0, 500)
    before = rows.copy()
    placed, notes = place_hands(rows, NAMES)
    assert notes == (f"the {side} hand is far from its wrist and is left out",)
    assert (placed[columns(side), 2] == 0).all()
    others = np.delete(np.arange(133), columns(side))
    np.testing.assert_array_equal(placed[others], before[others])
    np.testing.assert_array_equal(rows, before)


def test_exchanged_hands_are_exchanged_back() -> None:
    rows = person()
    rows[columns("left") + columns("right")] = rows[columns("right") + columns("left")]
    placed, notes = place_hands(rows, NAMES)
    np.testing.assert_array_equal(placed, person())
    assert [note.split()[1] for note in notes] == ["left", "right"]


def test_a_single_hand_at_the_other_wrist_is_that_ones() -> None:
    rows = person()
    rows[columns("left")] = rows[columns("right")]
    rows[columns("right")] = 0
    placed, notes = place_hands(rows, NAMES)
    np.testing.assert_array_equal(placed[columns("right")], person()[columns("right")])
    assert (placed[columns("left"), 2] == 0).all()
    assert notes == ("the left hand lies at the right wrist and is taken for that",)


def test_hands_that_touch_stay_as_they_are() -> None:
    rows = person()
    for side in ("left", "right"):
        rows[NAMES.index(f"{side}_wrist"), :2] = 500, 500
        rows[columns(side), 0] += 500 - rows[columns(side), 0].mean()
    placed, notes = place_hands(rows, NAMES)
    assert notes == ()
    np.testing.assert_array_equal(placed, rows)


def test_without_a_wrist_the_elbow_decides_and_without_both_nothing_does() -> None:
    near, far = person(), person()
    for rows in (near, far):
        rows[NAMES.index("left_wrist"), 2] = 0
    far[columns("left"), :2] += (0, 500)
    assert place_hands(near, NAMES)[1] == ()
    assert len(place_hands(far, NAMES)[1]) == 1
    far[NAMES.index("left_elbow"), 2] = 0
    assert place_hands(far, NAMES)[1] == ()


def test_orders_without_hands_are_left_alone() -> None:
    rows = np.random.default_rng(0).uniform(size=(17, 3))
    assert place_hands(rows, INPUT_ORDERS["coco17"])[0] is rows
