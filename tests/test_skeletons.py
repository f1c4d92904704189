"""Joint sets: their graphs, their mirror images, and the conversions between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose2mesh.errors import InputError
from pose2mesh.skeletons import (
    COCO,
    COCO17,
    HAND,
    HAND_JOINTS,
    HANDS,
    HUMAN36,
    INPUT_ORDERS,
    JOINT_SETS,
    MEDIAPIPE33,
    OPENPOSE25,
    SMPL,
    WHOLEBODY,
    JointSet,
    convert,
    input_order,
)

SETS = [*JOINT_SETS.values()]
every_set = pytest.mark.parametrize("joints", SETS, ids=lambda joints: joints.name)

# Where a person facing the camera has each joint, (x, y) with x to the right and y down: their left is at larger x.
# Told once more here, by name, so that a joint taken from the wrong column lands in the wrong place.
SIDED = {
    "eye": (3, 8), "ear": (6, 10), "shoulder": (20, 30), "elbow": (30, 55), "wrist": (33, 75),
    "hip": (10, 90), "knee": (12, 130), "ankle": (13, 170),
}  # fmt: skip
MIDDLE = {"nose": (100, 12), "pelvis": (100, 88), "neck": (100, 28)}
PLACES = MIDDLE | {f"{side}_{part}": (100 + sign * x, y)
                   for part, (x, y) in SIDED.items() for side, sign in (("left", 1), ("right", -1))}  # fmt: skip


def places(names: Sequence[str]) -> np.ndarray:
    """The joints `names` at their places; those COCO does not have, far off where they would be noticed."""
    return np.array([PLACES.get(name, (-1000 - index, -1000)) for index, name in enumerate(names)], float)


# The sets themselves


@every_set
def test_sizes_agree_and_names_differ(joints: JointSet) -> None:
    assert len(joints) == len(joints.names) == len(set(joints.names)) == len(joints.oks_sigmas)
    assert set(joints.evaluation) <= set(joints.names)
    assert joints.names[joints.root_index] == joints.root == ("wrist" if joints is HAND else "pelvis")
    assert [joints.names[index] for index in joints.evaluation_indices] == list(joints.evaluation)
    assert all(0 < sigma < 0.2 for sigma in joints.oks_sigmas)


def test_sizes_of_the_literature() -> None:
    assert {name: len(joints) for name, joints in JOINT_SETS.items()} == {
        "human36": 17,
        "coco": 19,
        "smpl": 24,
        "wholebody": 67,
        "hand": 21,
    }
    assert len(HUMAN36.evaluation) == 14  # Human3.6M's protocol 2
    assert {name: len(order) for name, order in INPUT_ORDERS.items()} == {
        "coco": 19, "coco17": 17, "human36": 17, "smpl": 24, "hand": 21, "wholebody": 67, "wholebody133": 133,
        "halpe26": 26, "halpe136": 136, "openpose25": 25, "mediapipe33": 33,
    }  # fmt: skip
    assert all(len(set(order)) == len(order) for order in INPUT_ORDERS.values())


@every_set
def test_bones_make_a_tree(joints: JointSet) -> None:
    """One bone fewer than joints, and every joint reached from the root: connected, without cycles or repeats."""
    assert len(joints.edges) == len(joints) - 1
    reached = {joints.root_index}
    for _ in joints.names:
        reached |= {b for edge in joints.edges for a, b in (edge, edge[::-1]) if a in reached}
    assert reached == set(range(len(joints)))


@every_set
def test_bones_are_the_same_on_both_sides(joints: JointSet) -> None:
    flip = joints.flip_permutation
    bones = {frozenset(edge) for edge in joints.edges}
    assert {frozenset((flip[a], flip[b])) for a, b in joints.edges} == bones


def test_a_hand_has_no_sides() -> None:
    assert len(HAND) == 21
    assert HAND.flip_pairs == []
    assert len(HAND.alike) == 16
    assert HAND.graph_edges[-4:] == [(13, 17), (14, 18), (15, 19), (16, 20)]  # ring to little finger, joint by joint
    assert HAND.flip_permutation == list(range(21))
    fingers = [HAND.edges[start : start + 4] for start in range(0, 20, 4)]
    assert fingers == [
        [(0, base), (base, base + 1), (base + 1, base + 2), (base + 2, base + 3)] for base in range(1, 21, 4)
    ]


@every_set
def test_flip_is_an_involution_that_swaps_the_names(joints: JointSet) -> None:
    flip = np.array(joints.flip_permutation)
    np.testing.assert_array_equal(flip[flip], np.arange(len(joints)))
    for index, name in enumerate(joints.names):
        other = name.replace("left_", "RIGHT_").replace("right_", "left_").lower()
        assert joints.names[flip[index]] == other
    lateral = sum(name.startswith(("left_", "right_")) for name in joints.names)
    assert 2 * len(joints.flip_pairs) == lateral
    assert (flip != np.arange(len(joints))).sum() == lateral


@pytest.mark.parametrize("joints", [COCO, HUMAN36, SMPL], ids=lambda joints: joints.name)
def test_flip_of_a_mirrored_person_is_the_person(joints: JointSet) -> None:
    known = np.array([name in PLACES for name in joints.names])
    person = places(joints.names)
    mirrored = person * [-1, 1] + [200, 0]
    np.testing.assert_array_equal(mirrored[joints.flip_permutation][known], person[known])


@every_set
def test_sides_have_equal_sigmas(joints: JointSet) -> None:
    sigmas = np.array(joints.oks_sigmas)
    np.testing.assert_array_equal(sigmas[joints.flip_permutation], sigmas)


def test_derived_joints_are_in_their_set() -> None:
    for joints in SETS:
        for name, parts in joints.derived:
            assert {name, *parts} <= set(joints.names)


def test_orders_as_published() -> None:
    """Single positions, each read off the format's own documentation."""
    assert [COCO17.index(name) for name in ("nose", "left_eye", "left_shoulder", "right_ankle")] == [0, 1, 5, 16]
    assert [HUMAN36.index(name) for name in ("pelvis", "right_ankle", "left_hip", "head_top")] == [0, 3, 4, 10]
    assert [HUMAN36.index(name) for name in ("left_shoulder", "right_wrist")] == [11, 16]
    assert [SMPL.index(name) for name in ("left_hip", "right_hip", "neck", "head", "right_hand")] == [1, 2, 12, 15, 23]
    assert [OPENPOSE25.index(name) for name in ("neck", "right_shoulder", "pelvis", "left_hip")] == [1, 2, 8, 12]
    assert [OPENPOSE25.index(name) for name in ("right_eye", "left_ear", "left_big_toe")] == [15, 18, 19]
    assert [MEDIAPIPE33.index(name) for name in ("left_eye", "right_eye", "left_ear", "mouth_left")] == [2, 5, 7, 9]
    assert [HAND.index(name) for name in ("wrist", "thumb_1", "thumb_tip", "index_1", "middle_tip")] == [0, 1, 4, 5, 12]
    assert [HAND.index(name) for name in ("ring_3", "little_1", "little_tip")] == [15, 17, 20]
    assert [MEDIAPIPE33.index(name) for name in ("left_shoulder", "left_hip", "right_ankle")] == [11, 23, 28]


# Conversions


@pytest.mark.parametrize(
    ("order", "missing"),
    [
        ("coco", set()),
        ("coco17", set()),
        ("openpose25", set()),
        ("mediapipe33", set()),
        ("human36", {"left_eye", "right_eye", "left_ear", "right_ear"}),
        ("smpl", {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}),
    ],
)
def test_every_joint_lands_under_its_name(order: str, missing: set[str]) -> None:
    source = INPUT_ORDERS[order]
    joints, confidence = convert(places(source), np.linspace(0.5, 1, len(source)), source, COCO)
    assert joints.shape == (19, 2)
    assert confidence.shape == (19,)
    assert joints.dtype == confidence.dtype == np.float32
    for index, name in enumerate(COCO.names):
        if name in missing:
            assert confidence[index] == 0, name
            np.testing.assert_array_equal(joints[index], 0, err_msg=name)
        elif name in source:
            np.testing.assert_array_equal(joints[index], PLACES[name], err_msg=name)
            assert confidence[index] == np.linspace(0.5, 1, len(source)).astype(np.float32)[source.index(name)]
        else:
            parts = [PLACES[part] for part in dict(COCO.derived)[name]]
            np.testing.assert_array_equal(joints[index], np.mean(parts, axis=0), err_msg=name)


# The column of each of COCO's 19 joints in the other formats, from their own documentation; -1 where it is derived or
# missing: OpenPose's BODY_25 and MediaPipe's pose landmarks, the 17 joints of Human3.6M, the 24 of SMPL.
COLUMNS = {
    "openpose25": [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11, 8, 1],
    "mediapipe33": [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, -1, -1],
    "human36": [9, -1, -1, -1, -1, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3, 0, 8],
    "smpl": [-1, -1, -1, -1, -1, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8, 0, 12],
}


@pytest.mark.parametrize("order", COLUMNS)
def test_every_joint_comes_from_the_published_column(order: str) -> None:
    columns = np.array(COLUMNS[order])
    source = INPUT_ORDERS[order]
    numbers = np.arange(1, len(source) + 1)
    joints, confidence = convert(numbers[:, None] * [1.0, 2.0], np.ones(len(source)), source, COCO)
    known = columns >= 0
    np.testing.assert_array_equal(joints[known], (columns[known, None] + 1) * [1, 2])
    np.testing.assert_array_equal(confidence[:17], known[:17])


def test_real_human36_person_has_a_body(shared_data: Path) -> None:
    """In a real pose a wrong order would put feet above the head, or make a left limb unlike the right."""
    person = np.load(shared_data / "keypoints" / "h36m_one_person.npy").astype(float)
    height = [person[HUMAN36.index(name), 1] for name in ("head_top", "nose", "neck", "torso", "pelvis", "left_ankle")]
    assert height == sorted(height)
    flip = HUMAN36.flip_permutation
    for a, b in HUMAN36.edges:
        one, other = (np.linalg.norm(person[i] - person[j]) for i, j in ((a, b), (flip[a], flip[b])))
        assert 0.4 < one / other < 2.5, (HUMAN36.names[a], HUMAN36.names[b])


def test_coco_to_human36_masks_what_coco_lacks() -> None:
    joints, confidence = convert(places(COCO.names), np.ones(19), COCO.names, HUMAN36)
    lacking = {name for name, value in zip(HUMAN36.names, confidence, strict=True) if value == 0}
    assert lacking == {"torso", "head_top"}
    for index, name in enumerate(HUMAN36.names):
        np.testing.assert_array_equal(joints[index], PLACES.get(name, (0, 0)), err_msg=name)


@pytest.mark.parametrize("joints", [*SETS], ids=lambda joints: joints.name)
def test_a_set_converts_to_itself_unchanged(joints: JointSet) -> None:
    rng = np.random.default_rng(0)
    person = rng.normal(size=(len(joints), 3)).astype(np.float32)
    confidence = rng.uniform(0.1, 1, len(joints)).astype(np.float32)
    out, out_confidence = convert(person, confidence, joints.names, joints)
    np.testing.assert_array_equal(out, person)
    np.testing.assert_array_equal(out_confidence, confidence)


def coco17(**confidences: float) -> tuple[np.ndarray, np.ndarray]:
    confidence = np.ones(17)
    for name, value in confidences.items():
        confidence[COCO17.index(name)] = value
    return convert(places(COCO17), confidence, COCO17, COCO)


def test_derived_joints_take_the_least_confidence_of_their_sources() -> None:
    joints, confidence = coco17(left_hip=0.25, right_shoulder=0)
    assert confidence[COCO.index("pelvis")] == 0.25
    np.testing.assert_array_equal(joints[COCO.index("pelvis")], (100, 90))  # between the hips
    for name in ("neck", "right_shoulder"):
        assert confidence[COCO.index(name)] == 0
        np.testing.assert_array_equal(joints[COCO.index(name)], 0)


def test_given_pelvis_and_neck_are_kept_and_derived_only_where_missing() -> None:
    confidence = np.ones((2, 19))
    confidence[1, COCO.index("pelvis")] = 0
    people = np.broadcast_to(places(COCO.names), (2, 19, 2))
    joints, out = convert(people, confidence, COCO.names, COCO)
    np.testing.assert_array_equal(joints[:, COCO.index("pelvis")], [(100, 88), (100, 90)])
    np.testing.assert_array_equal(joints[:, COCO.index("neck")], [(100, 28), (100, 28)])
    assert (out == 1).all()


def test_missing_joints_are_zero_whatever_their_coordinates() -> None:
    person = places(COCO17)
    person[[0, COCO17.index("left_hip")]] = np.nan
    confidence = np.ones(17)
    confidence[[0, COCO17.index("left_hip")]] = 0
    joints, out = convert(person, confidence, COCO17, COCO)
    assert np.isfinite(joints).all()
    for name in ("nose", "left_hip", "pelvis"):
        assert out[COCO.index(name)] == 0
        np.testing.assert_array_equal(joints[COCO.index(name)], 0)


@given(st.integers(0, 2), st.sampled_from([2, 3]), st.sampled_from(sorted(INPUT_ORDERS)))
def test_leading_axes_are_kept_and_inputs_untouched(axes: int, columns: int, order: str) -> None:
    source = INPUT_ORDERS[order]
    rng = np.random.default_rng(axes)
    shape = (2, 3)[:axes]
    people = rng.normal(size=(*shape, len(source), columns))
    confidence = rng.uniform(0, 1, (*shape, len(source))).round()
    before = people.copy(), confidence.copy()
    joints, out = convert(people, confidence, source, COCO)
    assert joints.shape == (*shape, 19, columns)
    assert out.shape == (*shape, 19)
    np.testing.assert_array_equal(people, before[0])
    np.testing.assert_array_equal(confidence, before[1])
    for place in np.ndindex(*shape):  # a batch is its people, one by one
        one, one_confidence = convert(people[place], confidence[place], source, COCO)
        np.testing.assert_array_equal(joints[place], one)
        np.testing.assert_array_equal(out[place], one_confidence)


# Whole bodies: the columns of the feet and hands of the left side in each order, from its own documentation.
FEET_AND_HANDS = {
    ("wholebody133", 133): {"left_big_toe": 17, "right_heel": 22, "left_hand_root": 91, "left_thumb_1": 92,
                            "left_index_1": 96, "left_middle_tip": 103, "left_ring_1": 104, "left_little_tip": 111,
                            "right_hand_root": 112, "right_thumb_tip": 116, "right_little_tip": 132},
    ("halpe26", 26): {"left_big_toe": 20, "right_big_toe": 21, "left_small_toe": 22, "right_small_toe": 23,
                      "left_heel": 24, "right_heel": 25, "pelvis": 19, "neck": 18},
    ("halpe136", 136): {"left_heel": 24, "left_hand_root": 94, "left_index_2": 100, "left_little_tip": 114,
                        "right_hand_root": 115, "right_little_tip": 135},
    ("openpose25", 25): {"left_big_toe": 19, "left_small_toe": 20, "left_heel": 21, "right_heel": 24},
    ("openpose25", 67): {"right_heel": 24, "left_hand_root": 25, "left_thumb_1": 26, "right_hand_root": 46,
                         "right_little_tip": 66},
    ("mediapipe33", 33): {"left_heel": 29, "left_big_toe": 31, "right_big_toe": 32, "left_little_1": 17,
                          "right_little_1": 18, "left_index_1": 19, "right_index_1": 20},
    ("mediapipe33", 75): {"left_index_1": 38, "left_hand_root": 33, "right_hand_root": 54, "right_index_tip": 62},
}  # fmt: skip


@pytest.mark.parametrize(("order", "count"), FEET_AND_HANDS)
def test_feet_and_hands_come_from_the_published_columns(order: str, count: int) -> None:
    source = input_order(order, count)
    numbers = np.arange(1, count + 1)
    joints, confidence = convert(numbers[:, None] * [1.0, 2.0], np.ones(count), source, WHOLEBODY)
    for name, column in FEET_AND_HANDS[order, count].items():
        np.testing.assert_array_equal(joints[WHOLEBODY.index(name)], [column + 1, 2 * (column + 1)], err_msg=name)
        assert confidence[WHOLEBODY.index(name)] == 1
    hands = confidence[[WHOLEBODY.index(name) for name in HANDS["left"]]]
    assert hands.sum() == (21 if count > 60 else 2 if order == "mediapipe33" else 0)


def test_whole_body_holds_coco_and_two_hands() -> None:
    assert WHOLEBODY.names[:17] == COCO17
    assert {frozenset(bone) for bone in COCO.bones} <= {frozenset(bone) for bone in WHOLEBODY.bones}
    assert len(HAND_JOINTS) == 42
    assert not HAND_JOINTS & set(COCO.names)
    assert len(WHOLEBODY.alike) == 2 * len(HAND.alike)


def test_a_coco_network_ignores_feet_hands_and_face() -> None:
    source = INPUT_ORDERS["wholebody133"]
    whole = convert(places(source), np.ones(133), source, COCO)
    body = convert(places(source)[:17], np.ones(17), COCO17, COCO)
    for one, other in zip(whole, body, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_hand_without_confidence_falls_back_to_the_knuckles_of_the_pose() -> None:
    source = input_order("mediapipe33", 75)
    confidence = np.ones(75)
    confidence[33:54] = 0
    joints, found = convert(np.arange(75)[:, None] * [1.0, 1.0], confidence, source, WHOLEBODY)
    assert joints[WHOLEBODY.index("left_index_1"), 0] == 19
    assert joints[WHOLEBODY.index("right_index_1"), 0] == 54 + 5
    assert found[WHOLEBODY.index("left_index_2")] == 0


# Input orders


def test_coco_stands_for_17_and_19_joints() -> None:
    assert input_order("coco", 17) == COCO17
    assert input_order("coco", 19) == COCO.names
    assert input_order("smpl", 24) == SMPL.names


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("coco", 18, "18 joints given, but joint set 'coco' has 17 or 19"),
        ("coco17", 19, "19 joints given, but joint set 'coco17' has 17"),
        ("human36", 16, "16 joints given, but joint set 'human36' has 17"),
        ("mediapipe33", 0, "0 joints given, but joint set 'mediapipe33' has 33 or 75"),
        ("openpose25", 46, "46 joints given, but joint set 'openpose25' has 25 or 67"),
        ("wholebody133", 132, "132 joints given, but joint set 'wholebody133' has 133"),
    ],
)
def test_wrong_count(name: str, count: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        input_order(name, count)
    assert str(caught.value) == message


def test_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="joint set 'body' is not known; expected one of coco, coco17, human36, smpl"):
        input_order("body", 17)


def test_joint_sets_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(COCO, "name", "mine")  # noqa: B010
    with pytest.raises(ValueError, match="not in tuple"):
        COCO.index("tail")
