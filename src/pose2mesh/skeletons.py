"""Joint sets: names, bones, left-right pairs, root and evaluation joints; and conversions between joint sets.

Every joint set is defined here once. An array of joints is always `(…, J, C)` in the order of `JointSet.names`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError


@dataclass(frozen=True)
class JointSet:
    """A named, ordered set of body joints.

    Attributes:
        name: Name on the command line and in configs.
        names: The `J` joint names, in array order. Sides are the person's own left and right.
        bones: Pairs of joint names, drawn as lines and joined in the joint graph of MeshNet.
        root: The joint that root-relative coordinates are measured from.
        evaluation: The joints over which MPJPE is averaged.
        oks_sigmas: Per-joint standard deviation of human annotation, relative to the square root of the person's area
            (COCO's keypoint evaluation, cocodataset.org); a joint that COCO does not define has its nearest joint's.
        derived: Joints computed as the mean of others (name, sources) where a data set does not label them.
        alike: Further pairs that the joint graph of MeshNet joins: joints of neighbouring fingers.
    """

    name: str
    names: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    root: str
    evaluation: tuple[str, ...]
    oks_sigmas: tuple[float, ...]
    derived: tuple[tuple[str, tuple[str, ...]], ...] = ()
    alike: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of a joint in the array."""
        return self.names.index(name)

    @cached_property
    def root_index(self) -> int:
        """Index of the root joint."""
        return self.index(self.root)

    @cached_property
    def evaluation_indices(self) -> list[int]:
        """Indices of the evaluation joints."""
        return [self.index(name) for name in self.evaluation]

    @cached_property
    def edges(self) -> list[tuple[int, int]]:
        """The bones as index pairs."""
        return [(self.index(a), self.index(b)) for a, b in self.bones]

    @cached_property
    def graph_edges(self) -> list[tuple[int, int]]:
        """Edges of the joint graph of MeshNet: bones, left-right pairs, and `alike` pairs."""
        return [*self.edges, *self.flip_pairs, *((self.index(a), self.index(b)) for a, b in self.alike)]

    @cached_property
    def flip_pairs(self) -> list[tuple[int, int]]:
        """Index pairs (left, right) that mirroring exchanges."""
        lefts = [name for name in self.names if name.startswith("left_")]
        return [(self.index(name), self.index("right_" + name.removeprefix("left_"))) for name in lefts]

    @cached_property
    def flip_permutation(self) -> list[int]:
        """Permutation such that `joints[flip_permutation]` is in order again after mirroring."""
        order = list(range(len(self.names)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return order


COCO17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

COCO = JointSet(
    name="coco",
    names=(*COCO17, "pelvis", "neck"),
    bones=(
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("neck", "nose"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("pelvis", "neck"), ("pelvis", "left_hip"), ("pelvis", "right_hip"),
        ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ),
    root="pelvis",
    evaluation=COCO17,
    oks_sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
        0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.107, 0.079,
    ),
    derived=(("pelvis", ("left_hip", "right_hip")), ("neck", ("left_shoulder", "right_shoulder"))),
)  # fmt: skip

HUMAN36 = JointSet(
    name="human36",
    names=(
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "torso", "neck", "nose", "head_top",
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    bones=(
        ("pelvis", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("pelvis", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("pelvis", "torso"), ("torso", "neck"), ("neck", "nose"), ("nose", "head_top"),
        ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ),
    root="pelvis",
    # Human3.6M protocols 1 and 2 as HMR (Kanazawa et al. 2018) evaluates them: pelvis, torso and nose are left out.
    evaluation=(
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "neck", "head_top",
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    oks_sigmas=(
        0.107, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.107, 0.079, 0.026, 0.035,
        0.079, 0.072, 0.062, 0.079, 0.072, 0.062,
    ),
)  # fmt: skip

_SMPL_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hand", "right_hand",
)  # fmt: skip
_SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

SMPL = JointSet(
    name="smpl",
    names=_SMPL_NAMES,
    bones=tuple(
        (_SMPL_NAMES[parent], name) for name, parent in zip(_SMPL_NAMES, _SMPL_PARENTS, strict=True) if parent >= 0
    ),
    root="pelvis",
    evaluation=_SMPL_NAMES,
    oks_sigmas=(
        0.107, 0.107, 0.107, 0.107, 0.087, 0.087, 0.107, 0.089, 0.089, 0.107, 0.089, 0.089, 0.079, 0.079, 0.079, 0.035,
        0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.062, 0.062,
    ),
)  # fmt: skip

_FINGERS = ("thumb", "index", "middle", "ring", "little")

# A hand, left or right alike, in FreiHAND's order (Zimmermann et al. 2019): wrist, then each finger from base to tip.
# Spreads are COCO-WholeBody's (Jin et al. 2020).
HAND = JointSet(
    name="hand",
    names=("wrist", *(f"{finger}_{part}" for finger in _FINGERS for part in ("1", "2", "3", "tip"))),
    bones=tuple(
        (f"{finger}_{start}" if start else "wrist", f"{finger}_{end}")
        for finger in _FINGERS
        for start, end in (("", "1"), ("1", "2"), ("2", "3"), ("3", "tip"))
    ),
    root="wrist",
    evaluation=("wrist", *(f"{finger}_{part}" for finger in _FINGERS for part in ("1", "2", "3", "tip"))),
    oks_sigmas=(
        0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017, 0.021, 0.021,
        0.032, 0.020, 0.019, 0.022, 0.031,
    ),
    alike=tuple(
        (f"{finger}_{part}", f"{other}_{part}")
        for finger, other in pairwise(_FINGERS)
        for part in ("1", "2", "3", "tip")
    ),
)  # fmt: skip

# The six points of the feet in COCO-WholeBody's order, and the 21 of either hand in that of `HAND`.
FEET = tuple(f"{side}_{point}" for side in ("left", "right") for point in ("big_toe", "small_toe", "heel"))


def _hand_joints(side: str) -> tuple[str, ...]:
    """The joints of `HAND` with their side; its wrist is the hand's root, beside COCO's wrist of the arm."""
    return tuple(_hand_joint(side, name) for name in HAND.names)


def _hand_joint(side: str, name: str) -> str:
    return f"{side}_{'hand_root' if name == 'wrist' else name}"


HANDS: dict[str, tuple[str, ...]] = {side: _hand_joints(side) for side in ("left", "right")}
_HANDS = HANDS["left"] + HANDS["right"]
HAND_JOINTS = frozenset(_HANDS)  # without the wrists of the arms

# COCO's 17 joints, the feet and both hands, as COCO-WholeBody labels them (Jin et al. 2020), and the derived pelvis and
# neck. MPJPE is averaged over COCO's joints alone, so that it compares with that of `coco`: 42 of the others are of
# hands. Spreads are COCO-WholeBody's, for the feet the mean of both sides.
WHOLEBODY = JointSet(
    name="wholebody",
    names=(*COCO17, *FEET, *_HANDS, "pelvis", "neck"),
    bones=(
        *COCO.bones,
        *((f"{point.partition('_')[0]}_ankle", point) for point in FEET),
        *((f"{side}_wrist", f"{side}_hand_root") for side in HANDS),
        *((_hand_joint(side, a), _hand_joint(side, b)) for side in HANDS for a, b in HAND.bones),
    ),
    root="pelvis",
    evaluation=COCO17,
    oks_sigmas=(
        *COCO.oks_sigmas[: len(COCO17)],
        *(0.080, 0.080, 0.080) * 2,
        *HAND.oks_sigmas, *HAND.oks_sigmas,
        *COCO.oks_sigmas[len(COCO17) :],
    ),
    derived=COCO.derived,
    alike=tuple((_hand_joint(side, a), _hand_joint(side, b)) for side in HANDS for a, b in HAND.alike),
)  # fmt: skip

BODY_JOINT_SETS: dict[str, JointSet] = {joint_set.name: joint_set for joint_set in (HUMAN36, COCO, SMPL, WHOLEBODY)}
JOINT_SETS: dict[str, JointSet] = {**BODY_JOINT_SETS, HAND.name: HAND}

# BODY_25 (OpenPose, doc/02_output.md).
OPENPOSE25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

# BlazePose's 33 landmarks (MediaPipe, docs/solutions/pose.md).
MEDIAPIPE33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

_FACE = tuple(f"face_{number}" for number in range(1, 69))  # the 68 points of 300-W, which no joint set has

# COCO-WholeBody (github.com/jin-s13/COCO-WholeBody, data_format.md): body, feet, face, left hand, right hand.
WHOLEBODY133 = (*COCO17, *FEET, *_FACE, *_HANDS)

# Halpe (github.com/Fang-Haoshu/Halpe-FullBody, README.md): 26 of the body, of which "Head" is the top of the head and
# "Hip" the pelvis; with face, left hand and right hand 136. Its hands have COCO-WholeBody's order.
HALPE26 = (
    *COCO17, "head_top", "neck", "pelvis",
    "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel",
)  # fmt: skip
HALPE136 = (*HALPE26, *_FACE, *_HANDS)

# The joint orders of input arrays, by their name for `--joints`.
INPUT_ORDERS: dict[str, tuple[str, ...]] = {
    "coco": COCO.names,
    "coco17": COCO17,
    "human36": HUMAN36.names,
    "smpl": SMPL.names,
    "hand": HAND.names,
    "wholebody": WHOLEBODY.names,
    "wholebody133": WHOLEBODY133,
    "halpe26": HALPE26,
    "halpe136": HALPE136,
    "openpose25": OPENPOSE25,
    "mediapipe33": MEDIAPIPE33,
}

# Orders with another number of joints under the same name: without the derived joints, or followed by the left and the
# right hand. OpenPose (poseParameters.cpp, the hands of BODY_135) and MediaPipe (docs/solutions/hands.md) have the
# wrist, then each finger from base to tip from the thumb to the little finger, as `HAND` has them.
_OTHER_COUNTS: dict[str, tuple[str, ...]] = {
    "coco": COCO17,
    "openpose25": (*OPENPOSE25, *_HANDS),
    "mediapipe33": (*MEDIAPIPE33, *_HANDS),
}

# Joints of an input that take the place of one that it lacks. BlazePose's `index` and `pinky` are the first knuckles of
# these fingers, its `foot_index` the tip of the foot; its `thumb` lies on no joint of a hand and is left out.
_STAND_INS: dict[str, str] = {
    f"{side}_{name}": f"{side}_{stand_in}"
    for side in ("left", "right")
    for name, stand_in in (("index_1", "index"), ("little_1", "pinky"), ("big_toe", "foot_index"))
}


# Largest coordinate accepted as a pixel position, and the spread below which joints count as coinciding.
LARGEST_COORDINATE_PX, _SMALLEST_SPREAD_PX = 1e6, 1e-3


def input_order(name: str, count: int) -> tuple[str, ...]:
    """Joint names of an input array with `count` joints in the order `name`.

    `coco` stands for both the 17 labelled joints and the 19 with pelvis and neck, `openpose25` and `mediapipe33` for
    the body alone and for the body, the left hand and the right hand.

    Raises:
        InputError: the order is unknown, or has another number of joints.
    """
    if name not in INPUT_ORDERS:
        raise InputError(f"joint set {name!r} is not known; expected one of {', '.join(INPUT_ORDERS)}")
    orders = sorted((INPUT_ORDERS[name], *([_OTHER_COUNTS[name]] if name in _OTHER_COUNTS else [])), key=len)
    for order in orders:
        if len(order) == count:
            return order
    expected = " or ".join(str(len(order)) for order in orders)
    raise InputError(f"{count} joints given, but joint set {name!r} has {expected}")


def convert(
    joints: NDArray[np.floating], confidence: NDArray[np.floating], source: tuple[str, ...], target: JointSet
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Convert joints to a joint set; joints that the source lacks are masked.

    Args:
        joints: (…, J, C) coordinates in the order `source`; C is 2 or 3.
        confidence: (…, J) in [0, 1]; 0 marks a missing joint.
        source: Names of the input joints.
        target: The joint set to convert to.

    Returns:
        Coordinates (…, len(target), C) and confidences (…, len(target)). A missing joint has confidence 0 and
        coordinates 0. A derived joint (pelvis, neck) that the input lacks is the mean of its sources, with the lowest
        of their confidences, so that it is missing when one of them is. A joint of a hand or foot that the input lacks
        is taken from a landmark of BlazePose nearby, where there is one.
    """
    shape = joints.shape[:-2]
    out = np.zeros((*shape, len(target), joints.shape[-1]), np.float32)
    out_confidence = np.zeros((*shape, len(target)), np.float32)
    for position, name in enumerate(target.names):
        if name in source:
            column = source.index(name)
            out[..., position, :] = joints[..., column, :]
            out_confidence[..., position] = confidence[..., column]
        if (stand_in := _STAND_INS.get(name)) in source:
            column, lacking = source.index(stand_in), out_confidence[..., position] <= 0
            out[..., position, :] = np.where(lacking[..., None], joints[..., column, :], out[..., position, :])
            out_confidence[..., position] = np.where(lacking, confidence[..., column], out_confidence[..., position])
    for name, parts in target.derived:
        position, columns = target.index(name), [target.index(part) for part in parts]
        lacking = out_confidence[..., position] <= 0
        out[..., position, :] = np.where(lacking[..., None], out[..., columns, :].mean(axis=-2), out[..., position, :])
        out_confidence[..., position] = np.where(
            lacking, out_confidence[..., columns].min(axis=-1), out_confidence[..., position]
        )
    out[out_confidence <= 0] = 0
    return out, out_confidence


def where_without_spread(joints_px: NDArray[np.floating]) -> str | None:
    """A description of the position of joints (N, 2) whose spread vanishes along an axis; None if it does not.

    The network's input is divided by the spread of each axis, so that such joints cannot be used.
    """
    spread = np.ptp(joints_px, axis=0)
    if spread.min() >= _SMALLEST_SPREAD_PX:
        return None
    return "in one place" if spread.max() < _SMALLEST_SPREAD_PX else "on one vertical or horizontal line"
