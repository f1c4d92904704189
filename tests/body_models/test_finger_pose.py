"""Poses of the fingers beside those of the body."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.body_models.bones import (
    BODY_BONES,
    FINGER_BONES,
    FINGER_MIRROR,
    FINGER_PARENTS,
    HAND_OF_FINGER,
    POSED_BONES,
)
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.finger_pose import fingers_of, mirror_fingers, resting_fingers, with_fingers
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.pose_tree import mirror, random_rotations
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture
def pose() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Phenotypes (3, 6), body rotations (3, 22, 3, 3) and random finger rotations (3, 30, 3, 3)."""
    generator = torch.Generator().manual_seed(0)
    fingers = random_rotations(90, generator).reshape(3, 30, 3, 3)
    return torch.rand(3, 6, generator=generator), sample_procedural(3, generator), fingers


def test_bones_of_fingers_have_their_hands_and_parents(body: BodyModel) -> None:
    assert len(FINGER_BONES) == 30
    assert POSED_BONES[:22] == BODY_BONES
    assert set(POSED_BONES) == set(body.bone_names)
    for bone, hand, parent in zip(FINGER_BONES, HAND_OF_FINGER, FINGER_PARENTS, strict=True):
        assert BODY_BONES[hand] == bone[: bone.index("Hand") + 4]
        assert POSED_BONES[parent] == body.bone_names[body.parents[body.bone_names.index(bone)]]
    assert [FINGER_BONES[index] for index in FINGER_MIRROR[:2]] == ["RightHandThumb1", "RightHandThumb2"]


def test_fingers_at_rest_follow_the_hand(
    body: BodyModel, pose: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    phenotypes, orientations, _ = pose
    posed = with_fingers(orientations, resting_fingers(3))
    torch.testing.assert_close(body(phenotypes, posed), body(phenotypes, orientations), rtol=0, atol=0)
    torch.testing.assert_close(body.bone_heads(phenotypes, posed), body.bone_heads(phenotypes, orientations))


def test_a_finger_moves_its_own_vertices_alone(
    body: BodyModel, pose: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    phenotypes, orientations, _ = pose
    fingers = resting_fingers(3).clone()
    tip = FINGER_BONES.index("LeftHandIndex3")
    fingers[:, tip] = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    moved = (body(phenotypes, with_fingers(orientations, fingers)) - body(phenotypes, orientations)).norm(dim=-1)
    weight = body.skin_weights[:, body.bone_names.index("LeftHandIndex3")]
    assert (moved[:, weight == 0] < 1e-6).all()
    assert moved[:, weight > 0.9].mean() > 0.005


def test_heads_and_tails_of_a_finger_meet(
    body: BodyModel, pose: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    phenotypes, orientations, fingers = pose
    posed = with_fingers(orientations, fingers)
    heads, tails = body.bone_heads(phenotypes, posed), body.bone_tails(phenotypes, posed)
    for finger in ("Thumb", "Index", "Pinky"):
        first, second = (body.bone_names.index(f"RightHand{finger}{number}") for number in (1, 2))
        torch.testing.assert_close(tails[:, first], heads[:, second], rtol=0, atol=1e-5)


def test_finger_rotations_come_back(pose: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    _, orientations, fingers = pose
    torch.testing.assert_close(fingers_of(with_fingers(orientations, fingers)), fingers, rtol=0, atol=1e-5)


def test_mirrored_fingers_belong_to_the_mirrored_body(
    body: BodyModel, pose: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    """The mean adult's hands are alike to 3 mm, so that bone heads of the mirrored pose are mirrored ones."""
    _, orientations, fingers = pose
    phenotypes = body.mean_phenotypes[None].expand(3, 6)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    heads = body.bone_heads(phenotypes, with_fingers(orientations, fingers))
    mirrored = body.bone_heads(phenotypes, with_fingers(mirror(orientations), mirror_fingers(fingers)))

    def from_hand(points: torch.Tensor, bone: str) -> torch.Tensor:
        hand, index = (body.bone_names.index(name) for name in (bone[: bone.index("Hand") + 4], bone))
        return points[:, index] - points[:, hand]

    for bone, other in zip(FINGER_BONES, FINGER_MIRROR, strict=True):
        apart = from_hand(heads, bone) * flip - from_hand(mirrored, FINGER_BONES[other])
        assert apart.norm(dim=-1).max() < 0.006, bone
    torch.testing.assert_close(mirror_fingers(mirror_fingers(fingers)), fingers)
