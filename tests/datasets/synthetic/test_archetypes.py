"""The table of archetypes: every one is what its name says, with joints that bend the right way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.archetypes import ARCHETYPES, sample_archetype, sample_archetypes
from pose2mesh.datasets.synthetic.body_points import overlaps, point_matrix, positions
from pose2mesh.datasets.synthetic.pose_limits import limit_joints
from pose2mesh.datasets.synthetic.pose_tree import to_world


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def points(name: str, count: int = 200) -> dict[str, Tensor]:
    """Head of each bone (count, 3) relative to the hips, metres."""
    poses = to_world(limit_joints(sample_archetype(name, count, seeded())))
    heads = positions(poses, point_matrix([(bone, 0.0, 0.0) for bone in BODY_BONES]))
    return dict(zip(BODY_BONES, heads.unbind(2), strict=True))


@pytest.mark.parametrize("name", ARCHETYPES)
def test_most_of_an_archetype_is_possible(name: str) -> None:
    local = sample_archetype(name, 300, seeded())
    torch.testing.assert_close(local @ local.mT, torch.eye(3).expand_as(local), atol=1e-5, rtol=0)
    changed = (limit_joints(local) - local).abs().amax((1, 2, 3)) > 0.2
    assert changed.float().mean() < 0.3
    assert overlaps(to_world(local)).float().mean() < 0.6


def test_ranges_are_ordered_and_named() -> None:
    for name, archetype in ARCHETYPES.items():
        for ranges in (archetype.ranges, archetype.other or {}):
            assert all(low <= high for low, high in ranges.values()), name
    assert sample_archetypes(50, seeded()).shape == (50, 22, 3, 3)
    assert torch.equal(sample_archetypes(50, seeded()), sample_archetypes(50, seeded()))


def test_seated() -> None:
    at = points("chair")
    assert (at["LeftLeg"][:, 1] < -0.15).all()  # knees before the hips
    assert (at["LeftFoot"][:, 2] < at["LeftLeg"][:, 2]).float().mean() > 0.95
    assert (at["Head"][:, 2] > 0.3).all()


def test_knees_and_feet() -> None:
    heels = points("sit_on_heels")
    assert ((heels["LeftFoot"] - heels["LeftUpLeg"]).norm(dim=1) < 0.37).all()
    crossed = points("cross_legged")
    assert (crossed["LeftLeg"][:, 0] > crossed["LeftFoot"][:, 0] + 0.1).float().mean() > 0.9  # shanks go inwards


def test_arms() -> None:
    up = points("arms_up")
    assert (up["LeftForeArm"][:, 2] > up["LeftArm"][:, 2]).float().mean() > 0.9
    behind = points("behind_back")
    assert (behind["LeftForeArm"][:, 1] > behind["LeftArm"][:, 1]).float().mean() > 0.8
    crossed = points("arms_crossed")
    assert (crossed["LeftHand"][:, 1] < crossed["LeftForeArm"][:, 1]).float().mean() > 0.7
    assert (crossed["LeftHand"][:, 0] < 0.12).float().mean() > 0.9  # before the trunk


def test_lying_and_on_hands() -> None:
    assert (points("on_back")["Head"][:, 2].abs() < 0.35).all()
    four = points("all_fours")
    assert (four["LeftHand"][:, 2] < four["LeftArm"][:, 2]).float().mean() > 0.95
    assert (points("handstand")["Head"][:, 2] < 0).all()
