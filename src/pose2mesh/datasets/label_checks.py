"""What looks wrong in the records of a data set: measures per person, in NumPy, for `pose2mesh data check`.

Each function answers for people at once, (N,) bool or NaN-padded numbers; nothing here decides what is done about it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The longest side of the box around a person's joints: a body from a crouching child to a tall one with raised arms, a
# hand from a fist to a spread one. Taken for the other unit they would be a thousand times as large, or as small.
PLAUSIBLE_EXTENT_M = {"body": (0.25, 3.0), "hand": (0.03, 0.4)}

# A pair of joints tells left from right where it is so wide, as a share of the torso's length, or of the head's.
_WIDE = 0.3


def outside(joints_px: NDArray[np.floating], size: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) share of the labelled joints that lie outside the picture; NaN where no joint is labelled or no size known.

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
    """Who is too small and who too large to be a `body` or a `hand`, (N,) each."""
    low, high = PLAUSIBLE_EXTENT_M[kind]
    return extent < low, extent > high


def mirrored(
    points: NDArray[np.floating],
    reference: NDArray[np.floating],
    valid: NDArray[np.bool_],
    flip: Sequence[int],
) -> NDArray[np.bool_]:
    """(N,) whether points meet a reference far better once left and right are exchanged.

    Far better is: at less than half the distance, over the joints that have a side, all moved to their mean. A person
    seen from the side, whose left and right fall together, is therefore not called mirrored.

    Args:
        points, reference: (N, J, D) of the same joints.
        valid: (N, J) which of them are known in both.
        flip: `JointSet.flip_permutation`.
    """
    sides = np.array(flip) != np.arange(len(flip))
    both = valid & valid[:, flip] & sides
    weight = both / np.maximum(both.sum(1, keepdims=True), 1)

    def distance(these: NDArray[np.floating]) -> NDArray[np.floating]:
        offset = np.where(both[..., None], these - reference, 0)
        mean = (offset * weight[..., None]).sum(1, keepdims=True)
        return (np.linalg.norm(offset - mean, axis=-1) * weight).sum(1)

    # Two pairs at least: of one, the other joints may simply be missing.
    return (distance(points[:, flip]) < 0.5 * distance(points)) & (both.sum(1) >= 4)


def crossed(joints_px: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whose 2D labels exchange left and right, as far as joints that were labelled by hand can tell.

    A face that is seen (nose, eyes and ears labelled) has the person's left eye on the right, for one who stands
    upright; and shoulders and hips turn the same way, where both are wide. Projected joints are labelled where they are
    hidden, too: for these there is `backwards`.

    Args:
        joints_px: (N, J, 3) x, y, visibility.
        names: Of the joints; those of COCO are looked at.
    """
    look = _Joints(joints_px[..., :2], joints_px[..., 2] > 0, names)

    def turn(up: NDArray[np.floating], pair: str) -> NDArray[np.floating]:
        """How far the left one of a pair is on the right of who looks at them, as a share of |up|."""
        side = look.side(pair)
        return (up[:, 0] * side[:, 1] - up[:, 1] * side[:, 0]) / np.maximum((up**2).sum(1), 1e-9)

    neck, hips = look.middle("shoulder"), look.middle("hip")
    shoulder_turn, hip_turn = turn(neck - hips, "shoulder"), turn(neck - hips, "hip")
    twisted = (shoulder_turn * hip_turn < 0) & (np.minimum(np.abs(shoulder_turn), np.abs(hip_turn)) > _WIDE)
    head = look.middle("eye") - neck
    face = (turn(head, "eye") < 0) & (turn(head, "ear") < -_WIDE)
    return (look.known("nose", "eye", "ear", "shoulder") & face) | (look.known("shoulder", "hip") & twisted)


def backwards(joints_m: NDArray[np.floating], valid: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whose 3D labels exchange left and right: nose or toes point away from where the body faces.

    A body faces along left × up. The nose is asked where it is labelled with neck and head or with the ears, the toes
    of people whose legs are straight under them else.

    Args:
        joints_m: (N, J, 3) in the camera's axes.
        valid: (N, J) which are labelled.
        names: Of the joints.
    """
    look = _Joints(joints_m, valid, names)
    answers = np.zeros(len(joints_m), bool)
    asked = np.zeros(len(joints_m), bool)
    neck, hips = look.middle("shoulder"), look.middle("hip")
    up = neck - hips
    feet = look.middle("foot") - look.middle("ankle")
    straight = _cosine(look.middle("ankle") - hips, -up) > 0.9
    for front, side, pairs, fit in (
        (look.at("nose") - look.middle("ear"), "ear", ("nose", "ear", "hip", "shoulder"), None),
        (look.at("nose") - (look.at("neck") + look.at("head_top")) / 2, "shoulder", _HEAD, None),
        (feet, "hip", ("hip", "shoulder", "ankle", "foot"), straight),
    ):
        known = look.known(*pairs) & ~asked
        known &= True if fit is None else fit
        answers |= known & (_cosine(front, np.cross(look.side(side), up)) < -0.5)
        asked |= known
    return answers


_HEAD = ("nose", "neck", "head_top", "shoulder", "hip")


class _Joints:
    """Joints by name: (N, J, D) and which are known (N, J). What is not among them is never known, and 0."""

    def __init__(self, points: NDArray[np.floating], known: NDArray[np.bool_], names: Sequence[str]) -> None:
        self.points, self.labelled, self.where = points, known, {name: index for index, name in enumerate(names)}

    def at(self, name: str) -> NDArray[np.floating]:
        if name not in self.where:
            return np.zeros((len(self.points), self.points.shape[-1]))
        return np.asarray(self.points[:, self.where[name]], np.float64)

    def side(self, pair: str) -> NDArray[np.floating]:
        """From the right one of a pair to the left one."""
        return self.at(f"left_{pair}") - self.at(f"right_{pair}")

    def middle(self, pair: str) -> NDArray[np.floating]:
        return (self.at(f"left_{pair}") + self.at(f"right_{pair}")) / 2

    def known(self, *names: str) -> NDArray[np.bool_]:
        """(N,) who has all of these joints, or both of a pair."""
        found = np.ones(len(self.points), bool)
        for name in names:
            for joint in (name,) if name in self.where else (f"left_{name}", f"right_{name}"):
                found &= self.labelled[:, self.where[joint]] if joint in self.where else False
        return found


def _cosine(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    return (one * other).sum(1) / np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-9)


def repeated(image: NDArray[np.integer], box: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) who has the box of somebody before them in the same image: one person under two ids."""
    told = (image >= 0) & np.isfinite(box).all(1)
    key = np.column_stack([image, np.where(told[:, None], box, 0)]).astype(np.float64)
    _, first = np.unique(key, axis=0, return_index=True)
    again = np.ones(len(image), bool)
    again[first] = False
    return again & told
