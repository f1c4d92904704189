"""Virtual cameras: projection by hand, and the distribution of sampled cameras."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from pose2mesh.datasets.synthetic.bodies import SyntheticSamples
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig, Cameras, sample_cameras
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA

COUNT = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def camera() -> Cameras:
    """1000 pixels of focal length, level, 4 m in front of a person who faces it."""
    return Cameras(
        rotation=torch.tensor(WORLD_TO_CAMERA)[None],
        position_cam=torch.tensor([[0.0, 0.0, 4.0]]),
        focal_px=torch.tensor([1000.0]),
        centre_px=torch.tensor([[500.0, 400.0]]),
        size_px=torch.tensor([[1000.0, 800.0]]),
    )


@pytest.fixture(scope="module")
def drawn() -> Cameras:
    return sample_cameras(COUNT, 1.7, CameraConfig(), seeded())


def test_projection_by_hand(camera: Cameras) -> None:
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.4, -0.2, 0.0], [0.4, -0.2, 4.0], [-1.0, 1.0, -2.0]]])
    expected = torch.tensor([[[500.0, 400.0], [600.0, 350.0], [550.0, 375.0], [0.0, 900.0]]])
    torch.testing.assert_close(camera.project(points), expected)


def test_a_point_behind_the_camera_stays_finite(camera: Cameras) -> None:
    assert torch.isfinite(camera.project(torch.tensor([[[1.0, 1.0, -9.0]]]))).all()


def test_a_person_who_faces_the_camera_has_the_left_hand_on_the_right(camera: Cameras) -> None:
    """World: x to the person's left, y backwards, z up."""
    head, left_hand, nose = camera.to_camera(torch.tensor([[[0, 0, 0.7], [0.6, 0, 0], [0, -0.1, 0.6]]])).unbind(1)
    assert head[0, 1] < 0  # up in the picture
    assert left_hand[0, 0] > 0
    assert nose[0, 2] < 0  # nearer than the hips


def test_ray_is_the_inverse_of_projection(drawn: Cameras) -> None:
    points = 0.5 * torch.randn(COUNT, 1, 3, generator=seeded(1))
    ray = drawn.ray(drawn.project(points)[:, 0])
    absolute = points[:, 0] + drawn.position_cam
    torch.testing.assert_close(ray * absolute[:, 2:], absolute, atol=1e-4, rtol=1e-4)


def test_the_same_state_gives_the_same_cameras(drawn: Cameras) -> None:
    again = sample_cameras(COUNT, 1.7, CameraConfig(), seeded())
    for item in dataclasses.fields(Cameras):
        assert torch.equal(getattr(drawn, item.name), getattr(again, item.name))


def test_rotations_are_proper(drawn: Cameras) -> None:
    torch.testing.assert_close(drawn.rotation @ drawn.rotation.mT, torch.eye(3).expand(COUNT, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(drawn.rotation) > 0).all()


def test_yaw_is_uniform(drawn: Cameras) -> None:
    """The direction from which the person is seen, about the vertical."""
    view = drawn.rotation[:, 2]  # the optical axis in the world
    yaw = torch.atan2(view[:, 0], view[:, 1])
    for harmonic in (1, 2, 3):
        resultant = torch.hypot(torch.cos(harmonic * yaw).mean(), torch.sin(harmonic * yaw).mean())
        assert resultant < 3 / math.sqrt(COUNT)


def test_pitch_and_roll(drawn: Cameras) -> None:
    config = CameraConfig()
    level = sample_cameras(COUNT, 1.7, CameraConfig(steep=0.0), seeded(2))
    down = torch.rad2deg(torch.arcsin(-level.rotation[:, 2, 2]))  # the optical axis below the horizon
    assert abs(down.mean() - config.pitch_deg[0]) < 0.6
    assert abs(down.std() - config.pitch_deg[1]) < 0.6
    roll = torch.rad2deg(torch.atan2(-level.rotation[:, 0, 2], -level.rotation[:, 1, 2]))
    assert abs(roll.mean()) < 0.4
    assert abs(roll.std() - config.roll_deg) < 0.4
    steep = sample_cameras(COUNT, 1.7, CameraConfig(steep=1.0), seeded(2))
    down = torch.rad2deg(torch.arcsin(-steep.rotation[:, 2, 2]))
    assert down.abs().max() <= config.steep_deg + 0.01
    assert abs(down.std() - 2 * config.steep_deg / math.sqrt(12)) < 1


def test_a_camera_that_looks_down_sees_the_head_nearer_than_the_feet() -> None:
    config = CameraConfig(pitch_deg=(30.0, 0.0), steep=0.0, roll_deg=0.0)
    cameras = sample_cameras(8, 1.7, config, seeded(3))
    head, feet = cameras.to_camera(torch.tensor([[0.0, 0.0, 0.7], [0.0, 0.0, -0.9]]).expand(8, 2, 3)).unbind(1)
    assert (head[:, 2] < feet[:, 2]).all()


def test_lenses_and_pictures(drawn: Cameras) -> None:
    view = torch.rad2deg(2 * torch.atan(0.5 * drawn.size_px.amax(1) / drawn.focal_px))
    assert view.min() >= 19.9
    assert view.max() <= 80.1
    assert (
        abs(drawn.focal_px.mean() - 1000 * 0.25 * (1 / math.tan(math.radians(10)) + 1 / math.tan(math.radians(40))))
        < 40
    )
    assert (drawn.size_px.amax(1) == 1000).all()
    assert drawn.size_px.amin() >= 550
    assert 0.45 < (drawn.size_px[:, 0] > drawn.size_px[:, 1]).float().mean() < 0.55
    torch.testing.assert_close(drawn.centre_px, drawn.size_px / 2)


def test_the_person_fills_the_share_of_the_picture_that_is_asked_for() -> None:
    config = CameraConfig(fill=(0.5, 0.5))
    cameras = sample_cameras(200, torch.full((200,), 1.6), config, seeded(4))
    standing_px = 1.6 * cameras.focal_px / cameras.position_cam[:, 2]
    asked = 0.5 * cameras.size_px.amin(1)
    near = cameras.position_cam[:, 2] < 1.3 + 1e-6
    torch.testing.assert_close(standing_px[~near], asked[~near], atol=0.1, rtol=1e-4)
    assert (standing_px[near] <= asked[near] + 0.1).all()
    assert near.float().mean() < 0.1


def test_people_are_mostly_in_the_picture(coco_people: SyntheticSamples) -> None:
    pixels, size = coco_people.joints_px, coco_people.cameras.size_px[:, None]
    inside = ((pixels >= 0) & (pixels <= size)).all(-1)
    assert inside.float().mean() > 0.93
    assert 0.6 < inside.all(1).float().mean() < 0.95  # some are cut by the border
    assert (inside.sum(1) >= 5).float().mean() > 0.99


def test_people_stand_near_the_optical_axis(coco_people: SyntheticSamples) -> None:
    root = coco_people.root_cam
    off_axis_deg = torch.rad2deg(torch.arccos(root[:, 2] / root.norm(dim=-1)))
    median, most, nearly_all = torch.quantile(off_axis_deg, torch.tensor([0.5, 0.95, 0.99])).tolist()
    assert 3 < median < 7
    assert 10 < most < 22
    assert nearly_all < 32
    assert coco_people.root_cam[:, 2].min() > 0.7
    nearest = (coco_people.joints_cam + root[:, None])[..., 2]
    assert nearest.min() > 0.2
