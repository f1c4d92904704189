"""What looks wrong in the records of a data set: measures per person, in NumPy, for `pose2mesh data check`.

Each function answers for people at once, (N,) bool or NaN-padded numbers; nothing here decides what is done about it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import COCO17

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
    """(N,) whose labels exchange left and right, as far as one person's 2D joints can tell.

    Two signs are looked for. A face that is seen (nose and both eyes labelled) has the person's left eye on the right,
    for one who stands upright. And shoulders and hips turn the same way, where both are wide.

    Args:
        joints_px: (N, J, 3) x, y, visibility.
        names: Of the joints; those of COCO are looked at.
    """
    where = {name: index for index, name in enumerate(names) if name in COCO17}

    def known(*joints: str) -> NDArray[np.bool_]:
        if not all(joint in where for joint in joints):
            return np.zeros(len(joints_px), bool)
        return np.asarray((joints_px[:, [where[joint] for joint in joints], 2] > 0).all(1))

    def at(joint: str) -> NDArray[np.floating]:
        return joints_px[:, where[joint], :2] if joint in where else np.zeros((len(joints_px), 2))

    def turn(up: NDArray[np.floating], side: NDArray[np.floating]) -> NDArray[np.floating]:
        """1 where the person's left is on the right of who looks at them, -1 the other way round, over |up|²."""
        return (up[:, 0] * side[:, 1] - up[:, 1] * side[:, 0]) / np.maximum((up**2).sum(1), 1e-9)

    shoulders, hips = at("left_shoulder") - at("right_shoulder"), at("left_hip") - at("right_hip")
    neck = (at("left_shoulder") + at("right_shoulder")) / 2
    torso = neck - (at("left_hip") + at("right_hip")) / 2
    eyes, head = at("left_eye") - at("right_eye"), (at("left_eye") + at("right_eye")) / 2 - neck
    trunk = known("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    face = known("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")
    # Both ears labelled rule out a face turned so far that one eye was guessed behind the nose.
    face &= known("left_ear", "right_ear") & (turn(head, at("left_ear") - at("right_ear")) < -_WIDE)
    twisted = (turn(torso, shoulders) * turn(torso, hips) < 0) & (
        np.minimum(np.abs(turn(torso, shoulders)), np.abs(turn(torso, hips))) > _WIDE
    )
    return (face & (turn(head, eyes) < 0)) | (trunk & twisted)


def repeated(image: NDArray[np.integer], box: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) who has the box of somebody before them in the same image: one person under two ids."""
    told = (image >= 0) & np.isfinite(box).all(1)
    key = np.column_stack([image, np.where(told[:, None], box, 0)]).astype(np.float64)
    _, first = np.unique(key, axis=0, return_index=True)
    again = np.ones(len(image), bool)
    again[first] = False
    return again & told
