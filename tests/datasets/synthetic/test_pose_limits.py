"""Ranges of motion: the table of both sides, and poses brought inside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_limits import angle_limits, limit_joints
from pose2mesh.datasets.synthetic.pose_tree import mirror, random_rotations, to_local, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES
from pose2mesh.geometry.rotations import axis_rotation

REST = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)


def with_turn(bone: str, axis: int, degrees: float) -> Tensor:
    local = REST.clone()
    local[:, BODY_BONES.index(bone)] = axis_rotation(axis, torch.deg2rad(torch.tensor(degrees)))
    return local


def bend_deg(local: Tensor, upper: str, lower: str) -> float:
    """Angle between two bones, degrees."""
    turn = local[0, BODY_BONES.index(lower)]
    a, b = torch.tensor(TEMPLATE_BONES[upper]), turn @ torch.tensor(TEMPLATE_BONES[lower])
    return float(torch.rad2deg(torch.arccos(torch.nn.functional.cosine_similarity(a, b, dim=0))))


def test_poses_inside_the_limits_stay() -> None:
    local = to_local(sample_procedural(200, torch.Generator().manual_seed(0)))
    assert (limit_joints(local) - local).abs().max() < 1e-5
    torch.testing.assert_close(limit_joints(REST), REST)


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_knees_do_not_bend_forwards(side: str) -> None:
    for degrees in (-40, -90, 175):
        limited = limit_joints(with_turn(f"{side}Leg", 0, degrees))
        bend = bend_deg(limited, f"{side}UpLeg", f"{side}Leg")
        assert bend == pytest.approx(152 if degrees > 0 else 6, abs=4)


def test_a_straight_knee_limits_the_hip() -> None:
    def flexion(knee: float) -> float:
        local = with_turn("LeftUpLeg", 0, -150)
        local[:, BODY_BONES.index("LeftLeg")] = axis_rotation(0, torch.deg2rad(torch.tensor(knee)))
        way = limit_joints(local)[0, BODY_BONES.index("LeftUpLeg")] @ torch.tensor(TEMPLATE_BONES["LeftUpLeg"])
        return float(torch.rad2deg(torch.atan2(-way[1], -way[2])))

    assert flexion(-10) == pytest.approx(115, abs=1)
    assert flexion(100) == pytest.approx(140, abs=1)
    assert 118 < flexion(40) < 137


def test_limits_are_met_after_one_pass_and_mirror() -> None:
    local = to_local(random_rotations(50 * 22, torch.Generator().manual_seed(1)).reshape(50, 22, 3, 3))
    once = limit_joints(local)
    torch.testing.assert_close(once @ once.mT, torch.eye(3).expand_as(once), atol=1e-4, rtol=0)
    torch.testing.assert_close(limit_joints(once), once, atol=2e-3, rtol=0)
    mirrored = to_local(mirror(to_world(once)))
    other = limit_joints(to_local(mirror(to_world(local))))
    torch.testing.assert_close(mirrored, other, atol=2e-3, rtol=0)


def test_limits_are_the_same_on_both_sides() -> None:
    limits = angle_limits()
    rows = set(zip(limits.bone.tolist(), *(limits.axis * 1e4).round().int().T.tolist(), strict=True))
    assert len(rows) == len(limits.bone)
    for side in ("Left", "Right"):
        bend = (limits.bone == BODY_BONES.index(f"{side}ForeArm")).nonzero()[0, 0]
        assert float(torch.rad2deg(limits.low[bend])) == pytest.approx(-108)
        assert float(torch.rad2deg(limits.high[bend])) == pytest.approx(42)
