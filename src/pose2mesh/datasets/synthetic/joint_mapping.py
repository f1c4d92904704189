"""Mapping of the joints of a motion capture skeleton to parts of the body, by name and hierarchy.

Joints are identified by index, since names repeat in some files. A name gives the part (`LeftUpLeg`, `l_thigh`,
`Hip`), and the hierarchy resolves ambiguous names: whether a `Shoulder` is the collar or the upper arm, and the side
of a `Knee`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pose2mesh.body_models.bones import FINGERS
from pose2mesh.datasets.synthetic.bvh import Array, Bvh
from pose2mesh.errors import InputError

_THIGH = {"upleg", "upperleg", "thigh", "hip", "femur"}
_SHANK = {"leg", "lowerleg", "lowleg", "knee", "shin", "calf", "tibia"}
_FOOT = {"foot", "ankle"}
_TOE = {"toe", "toes", "toebase", "ball", "foot"}
_COLLAR = {"shoulder", "collar", "clavicle", "collarbone"}
_UPPER_ARM = {"arm", "uparm", "upperarm", "shoulder", "shldr", "humerus"}
_FOREARM = {"forearm", "lowerarm", "lowarm", "elbow", "radius"}
_HAND = {"hand", "wrist"}
_PARTS = _THIGH | _SHANK | _FOOT | _TOE | _COLLAR | _UPPER_ARM | _FOREARM | _HAND
_FINGER_NAMES = {
    "Thumb": ("thumb",),
    "Index": ("index",),
    "Middle": ("middle",),
    "Ring": ("ring",),
    "Pinky": ("pinky", "little"),
}
_SIDES = {"left": "Left", "l": "Left", "right": "Right", "r": "Right"}


@dataclass(frozen=True)
class Roles:
    """Joint indices by body part.

    Attributes:
        limbs: The index of LeftUpLeg, LeftLeg, LeftFoot, LeftArm, LeftForeArm, LeftHand and the same on the right, and
            of LeftToeBase and LeftShoulder (the collar) where the skeleton has them.
        tips: For the foot, toe and hand of either side, the index of the joint or end site the bone points to.
        hips: The common ancestor of the legs.
        spine: From above the hips to the chest, the common ancestor of the arms; empty where that is the hips.
        neck: From above the chest to the head; may be empty.
        head_tip: The joint or end site that the last bone of `neck` points to, or None.
    """

    limbs: dict[str, int]
    tips: dict[str, int]
    hips: int
    spine: tuple[int, ...]
    neck: tuple[int, ...]
    head_tip: int | None


def find_roles(bvh: Bvh) -> Roles:
    """Find the body parts of a skeleton.

    Raises:
        InputError: a leg or an arm is not found, or which one is the left cannot be determined.
    """
    parts = [_part(name) for name in bvh.names]
    limbs: dict[str, int] = {}
    for middle, upper, lower, labels in (
        (_SHANK, _THIGH, _FOOT, ("UpLeg", "Leg", "Foot")),
        (_FOREARM, _UPPER_ARM, _HAND, ("Arm", "ForeArm", "Hand")),
    ):
        found = _chains(bvh, parts, middle, upper, lower)
        for side, chain in _by_side(bvh, parts, found, labels[1]).items():
            limbs.update({side + label: joint for label, joint in zip(labels, chain, strict=True)})
    tips: dict[str, int] = {}
    for side in ("Left", "Right"):
        _extremities(bvh, parts, side, limbs, tips)
    hips = _meeting(bvh, limbs["LeftUpLeg"], limbs["RightUpLeg"])
    chest = _meeting(bvh, limbs["LeftArm"], limbs["RightArm"])
    spine = _path(bvh, _meeting(bvh, hips, chest), chest)
    heads = [i for i, (_, part) in enumerate(parts) if part == "head" and not bvh.is_end[i]]
    heads += [i for i, (_, part) in enumerate(parts) if part.endswith("neck") and not bvh.is_end[i]][-1:]
    head = next((i for i in heads if chest in _ancestors(bvh, i)), None)
    neck = () if head is None else _path(bvh, chest, head)
    return Roles(limbs, tips, hips, spine, neck, None if head is None else _tip(bvh, head))


def find_fingers(bvh: Bvh) -> dict[str, tuple[int, int]] | None:
    """The joints at the head and the tail of each finger bone (`body_models.bones.FINGER_BONES`), and of the hands.

    Bones are numbered from the finger's base in their names, where a fourth one is the tip, or else the last three of
    the finger: a joint inside the palm comes before them.

    Returns:
        (head, tail) by bone; the tail of a hand is its middle finger. None where one of the thirty is not found.

    Raises:
        InputError: as `find_roles`.
    """
    roles = find_roles(bvh)
    joints: dict[str, tuple[int, int]] = {}
    for side in ("Left", "Right"):
        hand = roles.limbs[f"{side}Hand"]
        below = [i for i in range(len(bvh.names)) if hand in _ancestors(bvh, i)]
        for finger in FINGERS:
            named = [i for i in below if any(word in bvh.names[i].lower() for word in _FINGER_NAMES[finger])]
            chain = _finger_chain(bvh, [i for i in named if not bvh.is_end[i]])
            if len(chain) != 3:
                return None
            tips = [i for i in _children(bvh, chain[-1]) if np.linalg.norm(bvh.offsets[i]) > 1e-6]
            if not tips:
                return None
            for number, (head, tail) in enumerate(pairwise([*chain, tips[0]]), 1):
                joints[f"{side}Hand{finger}{number}"] = (head, tail)
        joints[f"{side}Hand"] = (hand, joints[f"{side}HandMiddle1"][0])
    return joints


def _finger_chain(bvh: Bvh, named: list[int]) -> list[int]:
    """The joints of a finger's three bones among those with its name, in the order of the hierarchy."""
    own = {i: bvh.names[i].rsplit(":", 1)[-1] for i in named}
    numbers = {i: int(found[1]) for i, name in own.items() if (found := re.search(r"(\d+)(?!.*\d)", name))}
    if numbers:
        return [i for number in (1, 2, 3) for i in named if numbers.get(i) == number]
    return named[-3:]


def _part(name: str) -> tuple[str, str]:
    """Side ('Left', 'Right' or '') and part of a joint name: `mixamorig:LeftUpLeg` is ('Left', 'upleg')."""
    name = name.rsplit(":", 1)[-1]
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    words = [word for word in words if word not in ("bip", "b", "jnt", "joint", "bone")]
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    part = "".join(word for word in words if word not in _SIDES)
    if not side:  # lower case throughout, as in `lfemur` or `leftknee`
        for prefix, label in _SIDES.items():
            if part.startswith(prefix) and part.removeprefix(prefix) in _PARTS:
                return label, part.removeprefix(prefix)
    return side, part


def _ancestors(bvh: Bvh, joint: int) -> list[int]:
    """The ancestors of a joint, nearest first."""
    above = []
    while (joint := bvh.parents[joint]) >= 0:
        above.append(joint)
    return above


def _children(bvh: Bvh, joint: int) -> list[int]:
    return [i for i, parent in enumerate(bvh.parents) if parent == joint]


def _meeting(bvh: Bvh, a: int, b: int) -> int:
    """The lowest common ancestor of two joints, which can be one of them."""
    above = {a, *_ancestors(bvh, a)}
    return next(i for i in (b, *_ancestors(bvh, b)) if i in above)


def _path(bvh: Bvh, top: int, joint: int) -> tuple[int, ...]:
    """The joints from below `top` down to `joint`."""
    chain = [joint, *_ancestors(bvh, joint)]
    return tuple(reversed(chain[: chain.index(top)]))


def _chains(
    bvh: Bvh, parts: list[tuple[str, str]], middle: set[str], upper: set[str], lower: set[str]
) -> list[tuple[int, int, int]]:
    """Every (thigh, shank, foot), or (upper arm, forearm, hand), of the skeleton."""
    found = []
    for joint, (_, part) in enumerate(parts):
        if part not in middle or bvh.is_end[joint]:
            continue
        above = next((i for i in _ancestors(bvh, joint)[:-1] if parts[i][1] in upper), None)
        below = [i for i, (_, name) in enumerate(parts) if name in lower and joint in _ancestors(bvh, i)]
        below = [i for i in below if not bvh.is_end[i]]
        if above is not None and below:
            found.append((above, joint, min(below, key=lambda i: len(_ancestors(bvh, i)))))
    return found


def _by_side(
    bvh: Bvh, parts: list[tuple[str, str]], chains: list[tuple[int, int, int]], label: str
) -> dict[str, tuple[int, int, int]]:
    sided: dict[str, tuple[int, int, int]] = {}
    for chain in chains:
        named = [parts[i][0] for i in (*reversed(chain), *_ancestors(bvh, chain[0])) if parts[i][0]]
        if named:
            sided.setdefault(named[0], chain)
    if len(sided) == 2:
        return sided
    if sided or len(chains) != 2:
        missing = " and ".join(side + label for side in ("Left", "Right") if side not in sided)
        listed = ", ".join(name for name, end in zip(bvh.names, bvh.is_end, strict=True) if not end)
        raise InputError(f"{bvh.source}: no joint is known as {missing}; the joints are {listed[:300]}")
    # The same names on both sides: left is up × forward, where forward is the direction of the feet in the rest pose.
    rest = bvh.rest_positions()
    legs = _chains(bvh, parts, _SHANK, _THIGH, _FOOT)
    feet = [foot for _, _, foot in legs]
    up = rest[[thigh for thigh, _, _ in legs]].mean(0) - rest[feet].mean(0)
    forward = sum((rest[_tip(bvh, foot)] - rest[foot] for foot in feet), start=np.zeros(3))
    across = rest[chains[0][0]] - rest[chains[1][0]]
    leftness = float(np.cross(up, forward) @ across)
    if abs(leftness) < 0.3 * np.linalg.norm(up) * np.linalg.norm(forward) * np.linalg.norm(across) + 1e-12:
        raise InputError(
            f"{bvh.source}: which {bvh.names[chains[0][1]]!r} is the left one cannot be determined from the rest pose"
        )
    first, second = chains if leftness > 0 else (chains[1], chains[0])
    return {"Left": first, "Right": second}


def _extremities(
    bvh: Bvh, parts: list[tuple[str, str]], side: str, limbs: dict[str, int], tips: dict[str, int]
) -> None:
    """Add the toe, the collar and the tips of feet, toes and hands."""
    foot, hand = limbs[f"{side}Foot"], limbs[f"{side}Hand"]
    toes = [i for i in _children(bvh, foot) if parts[i][1] in _TOE and not bvh.is_end[i]]
    tips[f"{side}Foot"] = toes[0] if toes else _tip(bvh, foot)
    if toes:
        limbs[f"{side}ToeBase"] = toes[0]
        tips[f"{side}ToeBase"] = _tip(bvh, toes[0])
    tips[f"{side}Hand"] = _tip(bvh, hand)
    above = _ancestors(bvh, limbs[f"{side}Arm"])
    other = "Right" if side == "Left" else "Left"
    chest_and_up = {limbs[f"{other}Arm"], *_ancestors(bvh, limbs[f"{other}Arm"])}
    collars = [i for i in above if i not in chest_and_up]
    if collars:
        limbs[f"{side}Shoulder"] = next((i for i in collars if parts[i][1] in _COLLAR), collars[-1])


def _tip(bvh: Bvh, joint: int) -> int:
    """The joint or end site a bone points to: the nearest descendant at another position, the middle finger first."""
    level = [joint]
    offsets: dict[int, Array] = {joint: np.zeros(3)}
    while level:
        level = [child for i in level for child in _children(bvh, i)]
        for i in level:
            offsets[i] = offsets[bvh.parents[i]] + bvh.offsets[i]
        away = [i for i in level if np.linalg.norm(offsets[i]) > 1e-6]
        if away:
            return min(away, key=lambda i: ("thumb" in bvh.names[i].lower(), "middle" not in bvh.names[i].lower()))
    return joint
