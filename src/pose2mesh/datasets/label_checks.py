"""Checks of the labels of a data set, for `pose2mesh data check`: measures for each record, in NumPy.

Each function takes N records at once and returns (N,) booleans, or numbers with NaN where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The longest side of the box around the joints: of a body from a crouching child to a tall one with raised arms, of a
# hand from a fist to a spread one. In the wrong unit they would be a thousand times as large, or as small.
PLAUSIBLE_EXTENT_M = {"body": (0.25, 3.0), "hand": (0.03, 0.4)}

# Least width of a pair of joints that distinguishes left from right, as a share of the length of the torso or head.
_WIDE = 0.3


def outside(joints_px: NDArray[np.floating], size: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) share of the labelled joints outside the image; NaN where no joint is labelled or the size is unknown.

    Args:
        joints_px: (N, J, 3) x, y, visibility.
        size: (N, 2) width, height; 0 where unknown.
    """
    labelled = joints_px[..., 2] > 0
    inside = ((joints_px[..., :2] >= -0.5) & (joints_px[..., :2] <= size[:, None] + 0.5)).all(-1)
    count = labelled.sum(1) * (size > 0).all(1)
    return (labelled & ~inside).sum(1) / np.where(count > 0, count, np.nan)


def extent_m(joints_m: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) longest side of the box around the labelled joints; NaN where fewer than two are."""
    low = np.where(valid[..., None], joints_m, np.inf).min(1)
    high = np.where(valid[..., None], joints_m, -np.inf).max(1)
    enough = valid.sum(1) >= 2
    return np.where(enough, np.where(enough[:, None], high - low, 0).max(1), np.nan)


def implausible_size(extent: NDArray[np.floating], kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N,) which are too small, and (N,) which too large, for a `body` or a `hand`."""
    low, high = PLAUSIBLE_EXTENT_M[kind]
    return extent < low, extent > high


def mirrored(
    points: NDArray[np.floating],
    reference: NDArray[np.floating],
    valid: NDArray[np.bool_],
    flip: Sequence[int],
) -> NDArray[np.bool_]:
    """(N,) whether points match a reference far better once left and right are exchanged.

    Far better means less than half the distance, over the joints that have a side, all centred on their mean. A person
    in side view, whose left and right coincide, is therefore not reported as mirrored.

    Args:
        points, reference: (N, J, D) of the same joints.
        valid: (N, J) which of them are labelled in both.
        flip: `JointSet.flip_permutation`.
    """
    sides = np.array(flip) != np.arange(len(flip))
    both = valid & valid[:, flip] & sides
    weight = both / np.maximum(both.sum(1, keepdims=True), 1)

    def distance(these: NDArray[np.floating]) -> NDArray[np.floating]:
        offset = np.where(both[..., None], these - reference, 0)
        mean = (offset * weight[..., None]).sum(1, keepdims=True)
        return (np.linalg.norm(offset - mean, axis=-1) * weight).sum(1)

    # At least two pairs: a single one can be what remains where the other joints are missing.
    return (distance(points[:, flip]) < 0.5 * distance(points)) & (both.sum(1) >= 4)


def crossed(joints_px: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) which 2D labels exchange left and right, as far as joints labelled by hand show it.

    In a visible face (nose, eyes and ears labelled) of an upright person the left eye is on the right; and shoulders
    and hips turn the same way, where both are wide. Projected joints are labelled where they are hidden, too: for these
    use `backwards`.

    Args:
        joints_px: (N, J, 3) x, y, visibility.
        names: Names of the joints; those of COCO are used.
    """
    named = _Joints(joints_px[..., :2], joints_px[..., 2] > 0, names)

    def turn(up: NDArray[np.floating], pair: str) -> NDArray[np.floating]:
        """Offset of the left joint of a pair from its right joint, to the image's right, as a share of |up|."""
        side = named.side(pair)
        return (up[:, 0] * side[:, 1] - up[:, 1] * side[:, 0]) / np.maximum((up**2).sum(1), 1e-9)

    neck, hips = named.middle("shoulder"), named.middle("hip")
    shoulder_turn, hip_turn = turn(neck - hips, "shoulder"), turn(neck - hips, "hip")
    twisted = (shoulder_turn * hip_turn < 0) & (np.minimum(np.abs(shoulder_turn), np.abs(hip_turn)) > _WIDE)
    head = named.middle("eye") - neck
    face = (turn(head, "eye") < 0) & (turn(head, "ear") < -_WIDE)
    return (named.labelled("nose", "eye", "ear", "shoulder") & face) | (named.labelled("shoulder", "hip") & twisted)


def backwards(joints_m: NDArray[np.floating], valid: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) which 3D labels exchange left and right: nose or toes point away from where the body faces.

    A body faces along left × up. The nose is used where it is labelled with neck and head or with the ears, otherwise
    the toes of people whose legs are straight below the hips.

    Args:
        joints_m: (N, J, 3) in camera axes.
        valid: (N, J) which are labelled.
        names: Names of the joints.
    """
    named = _Joints(joints_m, valid, names)
    found = np.zeros(len(joints_m), bool)
    decided = np.zeros(len(joints_m), bool)
    neck, hips = named.middle("shoulder"), named.middle("hip")
    up = neck - hips
    feet = named.middle("foot") - named.middle("ankle")
    straight = _cosine(named.middle("ankle") - hips, -up) > 0.9
    for front, side, pairs, fit in (
        (named.at("nose") - named.middle("ear"), "ear", ("nose", "ear", "hip", "shoulder"), None),
        (named.at("nose") - (named.at("neck") + named.at("head_top")) / 2, "shoulder", _HEAD, None),
        (feet, "hip", ("hip", "shoulder", "ankle", "foot"), straight),
    ):
        usable = named.labelled(*pairs) & ~decided
        usable &= True if fit is None else fit
        found |= usable & (_cosine(front, np.cross(named.side(side), up)) < -0.5)
        decided |= usable
    return found


_HEAD = ("nose", "neck", "head_top", "shoulder", "hip")


class _Joints:
    """Joints by name: (N, J, D) and which are labelled (N, J). A name that is not among them is unlabelled, and 0."""

    def __init__(self, points: NDArray[np.floating], valid: NDArray[np.bool_], names: Sequence[str]) -> None:
        self.points, self.valid, self.where = points, valid, {name: index for index, name in enumerate(names)}

    def at(self, name: str) -> NDArray[np.floating]:
        if name not in self.where:
            return np.zeros((len(self.points), self.points.shape[-1]))
        return np.asarray(self.points[:, self.where[name]], np.float64)

    def side(self, pair: str) -> NDArray[np.floating]:
        """Vector from the right joint of a pair to the left one."""
        return self.at(f"left_{pair}") - self.at(f"right_{pair}")

    def middle(self, pair: str) -> NDArray[np.floating]:
        return (self.at(f"left_{pair}") + self.at(f"right_{pair}")) / 2

    def labelled(self, *names: str) -> NDArray[np.bool_]:
        """(N,) which records have all of these joints labelled; of a pair, both."""
        found = np.ones(len(self.points), bool)
        for name in names:
            for joint in (name,) if name in self.where else (f"left_{name}", f"right_{name}"):
                found &= self.valid[:, self.where[joint]] if joint in self.where else False
        return found


def _cosine(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    return (one * other).sum(1) / np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-9)


def repeated(image: NDArray[np.integer], box: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) which records repeat the box of an earlier one in the same image: one person under two ids."""
    has_box = (image >= 0) & np.isfinite(box).all(1)
    key = np.column_stack([image, np.where(has_box[:, None], box, 0)]).astype(np.float64)
    _, first = np.unique(key, axis=0, return_index=True)
    again = np.ones(len(image), bool)
    again[first] = False
    return again & has_box
