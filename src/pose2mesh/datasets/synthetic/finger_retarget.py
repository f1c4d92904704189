"""Retargeting of the fingers of motion capture skeletons to the 30 finger bones of the body model.

Convention: as in `retarget`, with W a source joint's world rotation, the orientation of a bone is D = C W A, where A
takes the template's bone to the source's joint frame. Finger rotations are relative to the hand, D_handᵀ D_finger, so
that the motion's world C is not needed. Directions of all finger bones agree exactly with the source's.

The template's hand is laid over the source's by its knuckles, not by the direction of the hand alone, since the twist
of a palm about its forearm decides where fingers bend to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import FINGER_BONES, FINGERS
from pose2mesh.datasets.synthetic.bvh import Array, Bvh, forward_kinematics
from pose2mesh.datasets.synthetic.directions import frame, turn
from pose2mesh.datasets.synthetic.joint_mapping import find_fingers

Vector = tuple[float, float, float]

# For each finger of the left hand in the template (default phenotype), in metres, the mean of both sides: the head of
# its first bone from that of the hand, and the way along each of its three bones. The right hand is its mirror image.
# Written out so that motion is read without building the body; a test compares them with it.
TEMPLATE_FINGERS: dict[str, tuple[Vector, Vector, Vector, Vector]] = {
    "Thumb": (
        (0.0007, -0.0494, -0.0090),
        (-0.0228, -0.0237, -0.0095), (-0.0137, -0.0350, -0.0156), (-0.0063, -0.0238, -0.0186),
    ),
    "Index": (
        (0.0304, -0.1062, -0.0455),
        (0.0038, -0.0234, -0.0166), (-0.0005, -0.0185, -0.0180), (-0.0037, -0.0198, -0.0220),
    ),
    "Middle": (
        (0.0481, -0.0864, -0.0582),
        (0.0085, -0.0232, -0.0285), (0.0031, -0.0193, -0.0237), (0.0003, -0.0169, -0.0247),
    ),
    "Ring": (
        (0.0567, -0.0672, -0.0668),
        (0.0107, -0.0161, -0.0269), (0.0049, -0.0143, -0.0233), (0.0031, -0.0129, -0.0265),
    ),
    "Pinky": (
        (0.0588, -0.0456, -0.0763),
        (0.0067, -0.0088, -0.0212), (0.0020, -0.0065, -0.0160), (0.0030, -0.0079, -0.0204),
    ),
}  # fmt: skip


def retarget_fingers(bvh: Bvh) -> NDArray[np.float32] | None:
    """Rotations (T, 30, 3, 3) of `FINGER_BONES` relative to their hands; None where a finger is not in the skeleton.

    Raises:
        InputError: as `joint_mapping.find_roles`.
    """
    joints = find_fingers(bvh)
    if joints is None:
        return None
    rotations, _ = forward_kinematics(bvh)
    out = {}
    for side in ("Left", "Right"):
        template = template_fingers(side)
        hand = joints[f"{side}Hand"][0]
        knuckles = {finger: _offset(bvh, hand, joints[f"{side}Hand{finger}1"][0]) for finger in FINGERS}
        onto_hand = frame(knuckles["Middle"], knuckles["Pinky"] - knuckles["Index"]) @ _palm(template).T
        posed_hand = rotations[:, hand] @ onto_hand
        for finger in FINGERS:
            carried, before = onto_hand, np.zeros(3)
            for number in (1, 2, 3):
                bone = f"{side}Hand{finger}{number}"
                head, tail = joints[bone]
                way = _offset(bvh, head, tail)
                if number == 3 and way @ before < 0:  # an end site, which in some files is that of the other side
                    way = before
                before = way
                carried = turn(carried @ template[finger][number], way) @ carried
                out[bone] = posed_hand.swapaxes(-1, -2) @ rotations[:, head] @ carried
    return np.stack([out[bone] for bone in FINGER_BONES], axis=1).astype(np.float32)


def template_fingers(side: str) -> dict[str, Array]:
    """`TEMPLATE_FINGERS` of a side, `Left` or `Right`, as arrays (4, 3)."""
    mirror = np.array([1.0 if side == "Left" else -1.0, 1.0, 1.0])
    return {finger: np.array(ways) * mirror for finger, ways in TEMPLATE_FINGERS.items()}


def _palm(template: dict[str, Array]) -> Array:
    return frame(template["Middle"][0], template["Pinky"][0] - template["Index"][0])


def _offset(bvh: Bvh, joint: int, below: int) -> Array:
    """(3,) the way from a joint to one below it in the rest pose, in the file's unit."""
    way = np.zeros(3)
    while below != joint:
        way = way + bvh.offsets[below]
        below = bvh.parents[below]
    return way
