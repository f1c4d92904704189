"""Ranges of motion: the table of both sides, and poses brought inside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_augmentation import perturbation
from pose2mesh.datasets.synthetic.pose_limits import angle_limits, limit_joints
from pose2mesh.datasets.synthetic.pose_tree import mirror, to_local, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES
from pose2mesh.geometry.rotations import axis_rotation, rotation_from_vector

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
    changed = (limit_joints(local) - local).abs().amax((2, 3))
    arms = [BODY_BONES.index("LeftArm"), BODY_BONES.index("RightArm")]
    others = [bone for bone in range(len(BODY_BONES)) if bone not in arms]
    assert changed[:, others].max() < 1e-5
    assert (changed[:, arms] > 1e-3).float().mean() < 0.1
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


def arm(elevation: float, backwards: float, twist: float) -> Tensor:
    """The left arm raised, swung back and turned inwards, degrees; the rest as in the template."""
    angles = torch.deg2rad(torch.tensor([elevation, backwards, twist]))
    way = torch.nn.functional.normalize(torch.tensor(TEMPLATE_BONES["LeftArm"]), dim=0)
    raised = axis_rotation(1, -(angles[0] + torch.asin(-way[2])))
    local = REST.clone()
    turn = axis_rotation(2, angles[1]) @ raised @ rotation_from_vector(angles[2] * way)
    local[:, BODY_BONES.index("LeftArm")] = turn
    return local


def changed_deg(local: Tensor) -> float:
    turn = (local.mT @ limit_joints(local))[0, BODY_BONES.index("LeftArm")]
    return float(torch.rad2deg(torch.arccos(((turn.trace() - 1) / 2).clamp(-1, 1))))


def test_how_far_an_arm_turns_and_reaches_depends_on_its_elevation() -> None:
    assert changed_deg(arm(-60, 0, 100)) < 0.1
    assert changed_deg(arm(60, 0, 100)) == pytest.approx(100, abs=3)  # 120° − 2 · 60°
    assert changed_deg(arm(60, 0, -100)) < 0.1
    assert changed_deg(arm(-80, 0, -120)) > 40
    assert changed_deg(arm(-10, 45, 0)) < 0.1
    assert changed_deg(arm(30, 45, 0)) > 10  # behind and above the shoulder


def test_limits_are_met_after_one_pass_and_mirror() -> None:
    generator = torch.Generator().manual_seed(1)
    local = to_local(sample_procedural(100, generator)) @ perturbation(100, 0.3, torch.ones(100).bool(), generator)
    once = limit_joints(local)
    assert ((once - local).abs().amax((1, 2, 3)) > 0.05).float().mean() > 0.3
    torch.testing.assert_close(once @ once.mT, torch.eye(3).expand_as(once), atol=1e-4, rtol=0)
    again = (limit_joints(once) - once).abs().amax((1, 2, 3))
    assert (again > 0.02).float().mean() < 0.15  # a limited direction has another elevation
    assert again.max() < 0.5
    other = limit_joints(to_local(mirror(to_world(local))))
    different = (to_local(mirror(to_world(once))) - other).abs().amax((1, 2, 3))
    assert (different > 0.01).float().mean() < 0.03  # the template's sides differ by fractions of a degree


def test_limits_are_the_same_on_both_sides() -> None:
    limits = angle_limits()
    rows = set(zip(limits.bone.tolist(), *(limits.axis * 1e4).round().int().T.tolist(), strict=True))
    assert len(rows) == len(limits.bone)
    for side in ("Left", "Right"):
        bend = (limits.bone == BODY_BONES.index(f"{side}ForeArm")).nonzero()[0, 0]
        assert float(torch.rad2deg(limits.low[bend])) == pytest.approx(-108)
        assert float(torch.rad2deg(limits.high[bend])) == pytest.approx(42)
