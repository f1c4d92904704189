"""Joint angles of poses with angles set by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.pose_tree import to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.evaluation.robustness.joint_angles import LIMITS, BoneRotations, beyond_limits, joint_angles
from pose2mesh.geometry.rotations import rotation_from_vector


def posed(bone: str, vector_deg: tuple[float, float, float]) -> torch.Tensor:
    """(1, 22, 3, 3) the body at rest but for one joint turned by a rotation vector in its parent's axes."""
    local = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    local[0, BODY_BONES.index(bone)] = rotation_from_vector(torch.deg2rad(torch.tensor(vector_deg)))
    return to_world(local)


def angles(bone: str = "Hips", vector_deg: tuple[float, float, float] = (0, 0, 0)) -> dict[str, np.ndarray]:
    return joint_angles(posed(bone, vector_deg).double().numpy())


def test_rotations_are_found_from_vertices(anny: BodyModel) -> None:
    orientations = sample_procedural(8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        vertices = anny(anny.mean_phenotypes[None].expand(8, -1), orientations)
    found = torch.from_numpy(BoneRotations(anny)(vertices.numpy())).float()
    cosine = (torch.einsum("pbij,pbij->pb", found, orientations) - 1) / 2
    error = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).mean(0)
    for bone in ("Arm", "ForeArm", "UpLeg", "Leg"):
        assert error[BODY_BONES.index(f"Left{bone}")] < 1, bone
        assert error[BODY_BONES.index(f"Right{bone}")] < 1, bone
    assert error[BODY_BONES.index("Hips")] < 3
    assert error[BODY_BONES.index("Head")] < 1


def test_the_body_at_rest() -> None:
    rest = angles()
    np.testing.assert_allclose(rest["elbow bend"], 42, atol=3)  # the template's arms hang bent
    np.testing.assert_allclose(rest["knee bend"], 10, atol=2)
    np.testing.assert_allclose(rest["hip flexion"], 5, atol=2)
    np.testing.assert_allclose(rest["head to chest"], 0, atol=1e-6)
    assert not any(beyond.any() for beyond in beyond_limits(rest).values())


@pytest.mark.parametrize(
    ("bone", "vector", "name", "change"),
    [
        ("LeftLeg", (70, 0, 0), "knee bend", 70),  # shank backwards
        ("RightLeg", (70, 0, 0), "knee bend", 70),
        ("LeftLeg", (-40, 0, 0), "knee bend", -40),  # a knee does not bend this way
        ("LeftUpLeg", (-80, 0, 0), "hip flexion", 80),  # thigh forwards
        ("LeftUpLeg", (40, 0, 0), "hip flexion", -40),
        ("LeftUpLeg", (0, -40, 0), "hip abduction", 40),
        ("RightUpLeg", (0, 40, 0), "hip abduction", 40),
    ],
)
def test_a_joint_turned_by_hand(bone: str, vector: tuple[float, float, float], name: str, change: float) -> None:
    before, after = angles()[name], angles(bone, vector)[name]
    side = 0 if bone.startswith("Left") else 1
    assert after[0, side] - before[0, side] == pytest.approx(change, abs=4)
    assert after[0, 1 - side] == pytest.approx(before[0, 1 - side], abs=1e-6)


@pytest.mark.parametrize(
    ("bone", "vector", "name"),
    [
        ("LeftLeg", (-50, 0, 0), "knee bend"),
        ("RightLeg", (0, 60, 0), "knee sideways"),
        ("LeftForeArm", (66, 0, 75), "elbow bend"),  # straightened by 100°, past straight
        ("LeftUpLeg", (-160, 0, 0), "hip flexion"),
        ("Head", (0, 100, 0), "head to chest"),
    ],
)
def test_impossible_angles_are_found(bone: str, vector: tuple[float, float, float], name: str) -> None:
    caught = {limit for limit, beyond in beyond_limits(angles(bone, vector)).items() if beyond.any()}
    assert name in caught
    assert len(caught) <= 2  # an elbow that is twisted out of its plane is sideways as well


def test_procedural_poses_keep_to_the_limits() -> None:
    poses = sample_procedural(500, torch.Generator().manual_seed(1)).double().numpy()
    for name, beyond in beyond_limits(joint_angles(poses)).items():
        assert beyond.mean() < 0.02, name
    assert {limit.name for limit in LIMITS} == set(joint_angles(poses))
