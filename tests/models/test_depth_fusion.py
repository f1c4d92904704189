"""Merging of lifted joints with 3D joints estimated from the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.models.depth_fusion import bone_matrices
from pose2mesh.models.layers.fusion import DepthFusion
from pose2mesh.skeletons import COCO, JOINT_SETS


def bone_lengths(joints: torch.Tensor) -> torch.Tensor:
    a, b = torch.tensor(COCO.edges).T
    return (joints[:, a] - joints[:, b]).norm(dim=-1)


@pytest.fixture
def people() -> torch.Tensor:
    joints = 0.3 * torch.randn(4, len(COCO), 3, generator=torch.Generator().manual_seed(0))
    return joints - joints[:, COCO.root_index, None]


@pytest.mark.parametrize("name", JOINT_SETS)
def test_bones_and_joints_are_the_same(name: str) -> None:
    joint_set = JOINT_SETS[name]
    bones, paths = bone_matrices(joint_set)
    joints = np.random.default_rng(0).normal(size=(len(joint_set), 3))
    np.testing.assert_allclose(paths @ bones @ joints, joints - joints[joint_set.root_index], atol=1e-12)


def test_without_3d_joints_the_lifted_ones_stay(people: torch.Tensor) -> None:
    torch.testing.assert_close(DepthFusion(COCO)(people, torch.full_like(people, torch.nan)), people)


def test_the_same_joints_from_another_origin_change_nothing(people: torch.Tensor) -> None:
    torch.testing.assert_close(DepthFusion(COCO)(people, people + 2.0), people)


def test_a_limb_on_whose_depth_they_disagree_keeps_its_length(people: torch.Tensor) -> None:
    wrist, elbow = COCO.index("left_wrist"), COCO.index("left_elbow")
    people[:, wrist] = people[:, elbow] + torch.tensor([0.2, 0.05, 0.15])
    mirrored = people.clone()
    mirrored[:, wrist] = people[:, elbow] + torch.tensor([0.2, 0.05, -0.15])
    fused = DepthFusion(COCO)(people, mirrored)
    torch.testing.assert_close(bone_lengths(fused), bone_lengths(people))
    assert float((fused - people)[:, wrist, 2].abs().min()) > 0.1


def test_opposite_directions_keep_the_lifted_one(people: torch.Tensor) -> None:
    torch.testing.assert_close(DepthFusion(COCO)(people, -people), people)


def test_the_size_is_the_mean_of_both(people: torch.Tensor) -> None:
    torch.testing.assert_close(DepthFusion(COCO)(people, 0.8 * people), 0.9 * people)


def test_a_bone_at_a_missing_joint_stays_as_lifted(people: torch.Tensor) -> None:
    given = 0.8 * people
    knee, ankle, hip = (COCO.index(f"right_{name}") for name in ("knee", "ankle", "hip"))
    given[:, knee] = torch.nan
    fused = DepthFusion(COCO)(people, given)
    assert torch.isfinite(fused).all()
    for a, b in ((hip, knee), (knee, ankle)):
        torch.testing.assert_close(fused[:, b] - fused[:, a], people[:, b] - people[:, a])
    torch.testing.assert_close(fused[:, hip], 0.9 * people[:, hip])
