"""Retargeting of fingers: a pair of hands written here, and the development clips that have fingers."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.bones import FINGER_BONES, FINGERS
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.finger_pose import mirror_fingers
from pose2mesh.datasets.synthetic.bvh import Bvh, forward_kinematics
from pose2mesh.datasets.synthetic.finger_retarget import TEMPLATE_FINGERS, retarget_fingers, template_fingers
from pose2mesh.datasets.synthetic.mocap import load_clip

# A T pose with the palms down, Y up and facing Z, in centimetres: joint, parent, offset. Thumbs point forward.
BODY = [
    ("Hips", "", (0, 0, 0)),
    ("LeftUpLeg", "Hips", (10, 0, 0)), ("LeftLeg", "LeftUpLeg", (0, -40, 0)), ("LeftFoot", "LeftLeg", (0, -40, 0)),
    ("LeftToeBase", "LeftFoot", (0, -5, 15)),
    ("RightUpLeg", "Hips", (-10, 0, 0)), ("RightLeg", "RightUpLeg", (0, -40, 0)),
    ("RightFoot", "RightLeg", (0, -40, 0)), ("RightToeBase", "RightFoot", (0, -5, 15)),
    ("Spine", "Hips", (0, 40, 0)), ("Head", "Spine", (0, 30, 0)),
    ("LeftArm", "Spine", (15, 15, 0)), ("LeftForeArm", "LeftArm", (28, 0, 0)), ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("RightArm", "Spine", (-15, 15, 0)), ("RightForeArm", "RightArm", (-28, 0, 0)),
    ("RightHand", "RightForeArm", (-25, 0, 0)),
]  # fmt: skip
KNUCKLES = {"Thumb": (3, -1, 3), "Index": (9, 0, 3), "Middle": (9.5, 0, 1), "Ring": (9, 0, -1), "Pinky": (8, 0, -3)}


def hands(
    angles_deg: dict[str, tuple[float, float, float]] | None = None,
    frames: int = 1,
    suffixes: tuple[str, ...] = ("1", "2", "3"),
    palm_joints: bool = False,
    without: tuple[str, ...] = (),
    flipped_end: str = "",
) -> Bvh:
    """A skeleton with fingers, each frame of which has the local rotation vectors given for joints, in degrees."""
    joints = [(name, parent, offset, False) for name, parent, offset in BODY]
    for side, sign in (("Left", 1), ("Right", -1)):
        for finger, (x, y, z) in KNUCKLES.items():
            if f"{side}{finger}" in without:
                continue
            way = (3.0, 0.0, 1.5) if finger == "Thumb" else (3.0, 0.0, 0.0)
            parent, offset = f"{side}Hand", (sign * float(x), float(y), float(z))
            if palm_joints and finger != "Thumb":
                joints.append((f"{side}InHand{finger}", parent, (sign * 2.0, 0.0, 0.0), False))
                parent, offset = f"{side}InHand{finger}", (sign * (x - 2.0), y, z)
            for suffix in suffixes:
                name = f"{side}Hand{finger}{suffix}"
                joints.append((name, parent, offset, False))
                parent, offset = name, (sign * way[0], way[1], way[2])
            end = tuple(-value for value in offset) if flipped_end == f"{side}{finger}" else offset
            joints.append((f"{parent} end", parent, end, True))
    names = [name for name, *_ in joints]
    rotations = np.tile(np.eye(3), (frames, len(names), 1, 1))
    for name, vector in (angles_deg or {}).items():
        rotations[:, names.index(name)] = Rotation.from_rotvec(np.deg2rad(vector)).as_matrix()
    offsets = np.array([offset for _, _, offset, _ in joints], float)
    return Bvh(
        source="hands.bvh",
        names=tuple(names),
        parents=tuple(names.index(parent) if parent else -1 for _, parent, _, _ in joints),
        is_end=np.array([end for *_, end in joints]),
        offsets=offsets,
        rotations=rotations,
        translations=np.tile(offsets, (frames, 1, 1)),
        frame_time=1 / 30,
    )


def fist(degrees: float = 80) -> dict[str, tuple[float, float, float]]:
    """Every finger but the thumb curled towards the palm, which faces down: about −Z on the left, Z on the right."""
    return {
        f"{side}Hand{finger}{number}": (0, 0, -sign * degrees)
        for side, sign in (("Left", 1), ("Right", -1))
        for finger in FINGERS[1:]
        for number in (1, 2, 3)
    }


def directions(fingers: np.ndarray) -> np.ndarray:
    """(30, 3) unit directions of the finger bones in the frame of the hand, from rotations (30, 3, 3)."""
    templates = [template_fingers(side) for side in ("Left", "Right")]
    ways = np.array([way for template in templates for finger in FINGERS for way in template[finger][1:]])
    posed = np.einsum("bij,bj->bi", fingers, ways)
    return posed / np.linalg.norm(posed, axis=1, keepdims=True)


def fingertip(fingers: np.ndarray, side: str, finger: str) -> np.ndarray:
    """(3,) the tip of a finger from the hand's head in the template's axes, in metres."""
    template = template_fingers(side)[finger]
    first = FINGER_BONES.index(f"{side}Hand{finger}1")
    return template[0] + sum(fingers[first + joint] @ template[joint + 1] for joint in range(3))


def test_template_is_the_body_models() -> None:
    body = default_body()
    heads = {name: head.numpy() for name, head in body.template_heads().items()}
    rest = torch.eye(3).expand(1, 22, 3, 3)
    tails = dict(zip(body.bone_names, body.bone_tails(body.mean_phenotypes[None], rest)[0].numpy(), strict=True))
    for side in ("Left", "Right"):
        template = template_fingers(side)
        for finger in FINGERS:
            base = heads[f"{side}Hand{finger}1"] - heads[f"{side}Hand"]
            np.testing.assert_allclose(template[finger][0], base, atol=2e-3)
            for number in (1, 2, 3):
                bone = f"{side}Hand{finger}{number}"
                np.testing.assert_allclose(template[finger][number], tails[bone] - heads[bone], atol=2e-3)
    assert set(TEMPLATE_FINGERS) == set(FINGERS)


def test_angles_between_bones_are_those_of_the_source() -> None:
    rng = np.random.default_rng(0)
    turned = {name: tuple(rng.uniform(-60, 60, 3)) for name in FINGER_BONES}
    turned |= {"LeftHand": (10, 40, 20), "RightForeArm": (30, 5, 60)}
    bvh = hands(turned)
    fingers = retarget_fingers(bvh)
    assert fingers is not None
    rotations, _ = forward_kinematics(bvh)
    found = directions(fingers[0])
    ways = []
    for bone in FINGER_BONES:
        joint = bvh.names.index(bone)
        way = rotations[0, joint] @ bvh.offsets[bvh.parents.index(joint)]
        ways.append(way / np.linalg.norm(way))
    for side in (range(15), range(15, 30)):
        for one, other in combinations(side, 2):
            assert found[one] @ found[other] == pytest.approx(ways[one] @ ways[other], abs=1e-5)


def test_fingers_curl_to_the_palm_on_both_sides() -> None:
    opened, closed = retarget_fingers(hands()), retarget_fingers(hands(fist()))
    assert opened is not None
    assert closed is not None
    # The template's palms face the body and down: fingertips move there, and near the wrist.
    for side, inwards in (("Left", -1), ("Right", 1)):
        for finger in FINGERS[1:]:
            before, after = (fingertip(pose[0], side, finger) for pose in (opened, closed))
            assert np.linalg.norm(after) < 0.75 * np.linalg.norm(before)
            assert inwards * (after - before)[0] > 0.01, (side, finger)
    np.testing.assert_allclose(mirror_fingers(torch.from_numpy(closed)), closed, atol=1e-5)


def test_a_turn_of_the_whole_hand_changes_nothing() -> None:
    turned = {"LeftHand": (50.0, -20.0, 30.0), "RightArm": (0.0, 70.0, 10.0), "Hips": (90.0, 0.0, 0.0)}
    still, moved = retarget_fingers(hands(fist())), retarget_fingers(hands(fist() | turned))
    np.testing.assert_allclose(still, moved, atol=1e-6)


def test_bones_are_numbered_by_name_or_by_order() -> None:
    expected = retarget_fingers(hands(fist()))
    np.testing.assert_allclose(retarget_fingers(hands(fist(), palm_joints=True)), expected, atol=1e-6)
    with_tips = retarget_fingers(hands(fist(), suffixes=("1", "2", "3", "4")))
    np.testing.assert_allclose(with_tips, expected, atol=1e-6)
    unnumbered = {bone[:-1] + "abc"[int(bone[-1]) - 1]: turn for bone, turn in fist().items()}
    np.testing.assert_allclose(retarget_fingers(hands(unnumbered, suffixes=("a", "b", "c"))), expected, atol=1e-6)


def test_an_end_site_that_points_back_is_not_a_bone() -> None:
    straight, flipped = retarget_fingers(hands()), retarget_fingers(hands(flipped_end="RightIndex"))
    np.testing.assert_allclose(flipped, straight, atol=1e-6)


@pytest.mark.parametrize("bvh", [hands(without=("LeftRing",)), hands(suffixes=("1", "2"))], ids=["ring", "two bones"])
def test_hands_without_all_bones_have_no_fingers(bvh: Bvh) -> None:
    assert retarget_fingers(bvh) is None


def test_clips_carry_fingers(shared_data: Path) -> None:
    """A punch is a fist on both sides, a body standing idly has open hands, and CMU's captures have no fingers."""
    folder = shared_data / "mocap"
    punch, idle = (load_clip(folder / "quaternius" / f"{name}.bvh") for name in ("punch_jab", "idle"))
    assert punch.fingers is not None
    assert idle.fingers is not None
    assert punch.fingers.shape == (len(punch), 30, 3, 3)
    for side in ("Left", "Right"):
        for finger in FINGERS[1:]:
            closed, opened = (np.linalg.norm(fingertip(clip.fingers[0], side, finger)) for clip in (punch, idle))
            assert closed < 0.7 * opened, (side, finger)
    assert load_clip(next((folder / "cmu").glob("*.bvh"))).fingers is None
