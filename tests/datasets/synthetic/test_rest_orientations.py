"""Bodies at rest on a floor."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.body_points import centre_of_mass, surface_spheres
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.datasets.synthetic.rest_orientations import sample_rest_rotations
from pose2mesh.geometry.rotations import rotation_from_vector

STANDING = torch.eye(3).repeat(300, len(BODY_BONES), 1, 1)


def height_m(poses: Tensor) -> Tensor:
    """(B,) height of the centre of mass above the lowest point of the body."""
    at, radii = surface_spheres(poses)
    return centre_of_mass(poses)[:, 2] - (at[:, 2] - radii).amin(1)


def test_they_are_rotations_of_the_whole_body() -> None:
    turns = sample_rest_rotations(STANDING, 0.2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5, rtol=0)
    assert torch.equal(turns, sample_rest_rotations(STANDING, 0.2, torch.Generator().manual_seed(0)))


def test_a_standing_pose_lies_at_a_low_temperature() -> None:
    generator = torch.Generator().manual_seed(0)
    turns = sample_rest_rotations(STANDING, 0.05, generator)
    resting = turns[:, None] @ STANDING
    assert height_m(resting).mean() < 0.3 < 0.8 < height_m(STANDING).min()
    spine = resting[:, 0, :, 2]  # the trunk's direction in the world
    assert (spine[:, 2].abs() < 0.6).float().mean() > 0.9
    facing = -resting[:, 0, 2, 1]  # up: on the back; down: on the belly
    assert (facing > 0.5).any()
    assert (facing < -0.5).any()


def test_the_temperature_raises_bodies() -> None:
    poses = sample_procedural(300, torch.Generator().manual_seed(1))
    low, high = (
        height_m(sample_rest_rotations(poses, temperature, torch.Generator().manual_seed(2))[:, None] @ poses).mean()
        for temperature in (0.03, 1.0)
    )
    assert low + 0.05 < high


def test_small_turns_do_not_lower_the_body_much() -> None:
    """A local minimum: bodies rolled by 25° stand higher on average."""
    poses = sample_procedural(200, torch.Generator().manual_seed(3))
    resting = sample_rest_rotations(poses, 0.1, torch.Generator().manual_seed(4))[:, None] @ poses
    angle = torch.tensor(0.44)
    for axis in ((1.0, 0, 0), (0, 1.0, 0)):
        turned = rotation_from_vector(angle * torch.tensor(axis)) @ resting
        assert (height_m(turned) - height_m(resting)).mean() > 0.02
