"""Points of the template: against the body model, their centre of mass, and limbs inside each other."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.archetypes import sample_archetype
from pose2mesh.datasets.synthetic.body_points import centre_of_mass, overlaps, point_matrix, positions, surface_spheres
from pose2mesh.datasets.synthetic.pose_tree import mirror, random_rotations, to_local, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import axis_rotation

REST = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)


def test_heads_of_bones_are_those_of_the_body(anny_body: BodyModel) -> None:
    """The mean adult is larger than the template; in proportion, its joints are where these points are."""
    poses = sample_procedural(20, torch.Generator().manual_seed(0))
    phenotypes = anny_body.mean_phenotypes.expand(len(poses), -1)
    coefficients = anny_body.coefficients(phenotypes)
    rotations, translations = anny_body.bone_transforms(coefficients, poses)
    names = list(anny_body.bone_names)
    bones = [names.index(name) for name in BODY_BONES]
    at_rest = anny_body._rest_skeleton(coefficients)[0]
    heads = ((rotations @ at_rest[..., None])[..., 0] + translations)[:, bones]
    heads = heads - heads[:, :1]
    found = positions(poses, point_matrix([(name, 0.0, 0.0) for name in BODY_BONES])).mT
    scale = (heads * found).sum() / found.square().sum()
    assert 1.05 < scale < 1.25
    assert (scale * found - heads).norm(dim=-1).mean() < 0.015
    assert (scale * found - heads).norm(dim=-1).max() < 0.04


def test_points_turn_with_the_body_and_mirror() -> None:
    poses = sample_procedural(10, torch.Generator().manual_seed(1))
    turn = random_rotations(1, torch.Generator().manual_seed(2))
    torch.testing.assert_close(centre_of_mass(turn[:, None] @ poses), centre_of_mass(poses) @ turn[0].mT)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(centre_of_mass(mirror(poses)), centre_of_mass(poses) * flip, atol=0.005, rtol=0)


def test_a_body_at_rest() -> None:
    centre = centre_of_mass(REST)[0]
    assert abs(centre[0]) < 0.005
    assert -0.05 < centre[2] < 0.15  # near the navel, above the heads of the thighs
    at, radii = surface_spheres(REST)
    assert at.shape == (1, 3, len(radii))
    assert float((at[0, 2] - radii).min()) == pytest.approx(-0.93, abs=0.08)  # the soles


def test_overlaps() -> None:
    assert not overlaps(REST)
    local = to_local(REST)
    crossing = local.clone()
    crossing[:, BODY_BONES.index("LeftUpLeg")] = axis_rotation(1, torch.tensor([0.44]))
    assert overlaps(to_world(crossing))  # one shank through the other
    inside = local.clone()
    inside[:, BODY_BONES.index("LeftArm")] = axis_rotation(1, torch.tensor([0.9]))
    inside[:, BODY_BONES.index("LeftForeArm")] = axis_rotation(1, torch.tensor([0.6]))
    assert overlaps(to_world(inside))  # a forearm through the hips
    seated = to_world(sample_archetype("chair", 300, torch.Generator().manual_seed(0)))
    assert overlaps(seated).float().mean() < 0.3
    assert (overlaps(mirror(seated)) == overlaps(seated)).float().mean() > 0.97  # the collars differ by millimetres
