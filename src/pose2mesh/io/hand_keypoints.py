"""Checks of the 2D joints of hands against the body that they belong to.

Hands come from networks of their own, which can find the hand of someone else or take a left one for a right one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import HAND_JOINTS, HANDS

# A hand belongs to a wrist that its nearest joint is within this share of the body's extent of (the longer side of the
# box around its labelled joints): 0.3 m for someone who stands. Wrist and root of a hand are the same joint.
_NEAR = 0.2

_OTHER = {"left": "right", "right": "left"}


def place_hands(joints: NDArray[np.floating], names: tuple[str, ...]) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """Mark hands far from their wrists as missing, and exchange hands that lie at each other's wrists.

    Without a wrist the elbow takes its place, at twice the distance; a hand without either is kept.

    Args:
        joints: (J, 3) x and y in pixels, and the confidence; 0 where missing.
        names: Their names.

    Returns:
        The joints (J, 3), a copy where they change, and a description of each change.
    """
    columns = {side: _columns(names, HANDS[side]) for side in HANDS}
    present = [side for side in HANDS if columns[side] and (joints[columns[side], 2] > 0).any()]
    if not present:
        return joints, ()
    far = {side: _is_far(joints, names, columns[side], side) for side in present}
    if not any(far.values()):
        return joints, ()
    joints = joints.copy()
    if all(far[side] and _is_near(joints, names, columns[side], _OTHER[side]) for side in present):
        both = columns["left"] + columns["right"]
        joints[both] = joints[columns["right"] + columns["left"]]
        return joints, tuple(
            f"the {side} hand lies at the {_OTHER[side]} wrist and is taken for that" for side in present
        )
    gone = [side for side in present if far[side]]
    for side in gone:
        joints[columns[side], 2] = 0
    return joints, tuple(f"the {side} hand is far from its wrist and is left out" for side in gone)


def _columns(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Columns of all joints of a hand, or none where the order has no hand."""
    return [names.index(name) for name in wanted] if set(wanted) <= set(names) else []


def _is_far(joints: NDArray[np.floating], names: tuple[str, ...], hand: list[int], side: str) -> bool:
    distance = _distance(joints, names, hand, side)
    return distance is not None and distance > 1


def _is_near(joints: NDArray[np.floating], names: tuple[str, ...], hand: list[int], side: str) -> bool:
    distance = _distance(joints, names, hand, side)
    return distance is not None and distance <= 1


def _distance(joints: NDArray[np.floating], names: tuple[str, ...], hand: list[int], side: str) -> float | None:
    """Distance of a hand from the wrist or elbow of a side, in units of the largest one; None without both."""
    body = np.array([i for i, name in enumerate(names) if name not in HAND_JOINTS and joints[i, 2] > 0], int)
    labelled = [column for column in hand if joints[column, 2] > 0]
    for name, factor in ((f"{side}_wrist", 1), (f"{side}_elbow", 2)):
        if name in names and joints[names.index(name), 2] > 0:
            extent = np.ptp(joints[body, :2], axis=0).max()
            apart = np.linalg.norm(joints[labelled, :2] - joints[names.index(name), :2], axis=1).min()
            return float(apart / max(factor * _NEAR * extent, 1e-9))
    return None
