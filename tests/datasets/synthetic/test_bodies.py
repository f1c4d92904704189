"""Synthetic samples: the batch, its geometry, and its points compared with the full body."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pose2mesh.body_models.finger_pose import fingers_of
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    ShapeConfig,
    SyntheticConfig,
    SyntheticSamples,
    detect,
    pose_fingers,
    rotation_to_ray,
    sample_people,
    sample_videos,
    weighted_centre,
)
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import BODY_JOINT_SETS, COCO, HUMAN36, WHOLEBODY, JointSet
from tests.moving_poses import STEP_M, moving_poses

POINTS = torch.arange(0, 13718, 97)
EXACT = NoiseConfig(model="none", drop=0.0, plain_confidence=1.0, out_of_picture=False)
COUNT = 65  # odd: the last body is seen once


def draw(
    body: BodyModel, joint_set: JointSet, points: torch.Tensor | None, views: int = 2, seed: int = 0
) -> SyntheticSamples:
    config = SyntheticConfig(poses=PoseConfig(procedural=1.0), views=views)
    source = PoseSource(None, config.poses)
    generator = torch.Generator().manual_seed(seed)
    return sample_people(COUNT, source, BodySynthesiser(body, joint_set, points), config, generator)


def test_a_share_of_the_bodies_has_sampled_fingers(anny_body: BodyModel) -> None:
    config = SyntheticConfig(poses=PoseConfig(procedural=1.0), views=1, fingers=0.5)
    source, synthesiser = PoseSource(None, config.poses), BodySynthesiser(anny_body, WHOLEBODY, POINTS)
    samples = sample_people(200, source, synthesiser, config, torch.Generator().manual_seed(0))
    fingers = fingers_of(samples.orientations)
    at_rest = (fingers - torch.eye(3)).abs().amax((1, 2, 3)) < 1e-5
    assert 60 < at_rest.sum() < 140
    posed = anny_body(samples.phenotypes, samples.orientations)
    joints = samples.cameras.to_camera(anny_body.regressor(WHOLEBODY) @ posed)
    expected = joints - joints[:, WHOLEBODY.root_index, None]
    torch.testing.assert_close(samples.joints_cam, expected, rtol=0, atol=1e-4)


def test_without_a_share_poses_and_random_numbers_stay() -> None:
    pose, generator = torch.eye(3).expand(4, 22, 3, 3), torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert pose_fingers(pose, 0.0, 1, generator) is pose
    assert torch.equal(generator.get_state(), state)
    video = pose_fingers(pose, 1.0, 2, generator)
    torch.testing.assert_close(video[0], video[1])
    assert not torch.allclose(video[1], video[2])


@pytest.fixture(scope="module")
def people(anny_body: BodyModel) -> SyntheticSamples:
    return draw(anny_body, COCO, POINTS)


@pytest.fixture(scope="module")
def batch(people: SyntheticSamples) -> Batch:
    return detect(people, COCO, NoiseConfig(), torch.Generator().manual_seed(1))


def test_shapes(batch: Batch) -> None:
    assert batch.shape is None
    names = [item.name for item in dataclasses.fields(Batch) if item.name != "shape"]
    shapes = {name: tuple(getattr(batch, name).shape) for name in names}
    assert shapes == {
        "joints_px": (COUNT, 19, 2),
        "confidence": (COUNT, 19),
        "joints": (COUNT, 19, 3),
        "points": (COUNT, len(POINTS), 3),
        "joints_valid": (COUNT, 19),
        "surface_valid": (COUNT,),
        "to_ray": (COUNT, 3, 3),
    }
    for name in names:
        assert torch.isfinite(getattr(batch, name)).all()
    assert batch.joints_valid.all()
    assert batch.surface_valid.all()


@pytest.mark.parametrize("name", BODY_JOINT_SETS)
def test_joints_alone_are_the_same_joints(name: str, anny_body: BodyModel) -> None:
    joint_set = BODY_JOINT_SETS[name]
    alone, both = (draw(anny_body, joint_set, points) for points in (None, POINTS))
    assert alone.points_cam is None
    assert detect(alone, joint_set, EXACT, torch.Generator()).points is None
    torch.testing.assert_close(alone.joints_cam, both.joints_cam)
    assert alone.joints_cam[:, joint_set.root_index].abs().max() < 1e-6


def test_the_same_state_gives_the_same_people(people: SyntheticSamples, anny_body: BodyModel) -> None:
    again, other = draw(anny_body, COCO, POINTS), draw(anny_body, COCO, POINTS, seed=1)
    assert torch.equal(people.joints_cam, again.joints_cam)
    assert torch.equal(people.joints_px, again.joints_px)
    assert not torch.equal(people.joints_cam, other.joints_cam)


def test_each_body_is_seen_by_several_cameras(people: SyntheticSamples) -> None:
    assert torch.equal(people.phenotypes[0], people.phenotypes[1])
    assert torch.equal(people.orientations[2], people.orientations[3])
    assert not torch.equal(people.phenotypes[1], people.phenotypes[2])
    assert not torch.equal(people.cameras.rotation[0], people.cameras.rotation[1])
    in_world = people.joints_cam @ people.cameras.rotation  # the rows of a rotation: R⁻¹ applied to each joint
    torch.testing.assert_close(in_world[0], in_world[1], atol=1e-5, rtol=0)


def test_true_joints_at_the_root_project_to_the_true_pixels(people: SyntheticSamples) -> None:
    absolute = people.joints_cam + people.root_cam[:, None]
    assert absolute[..., 2].min() > 0.2
    expected = absolute[..., :2] / absolute[..., 2:] * people.cameras.focal_px[:, None, None]
    expected = expected + people.cameras.centre_px[:, None]
    torch.testing.assert_close(people.joints_px, expected, atol=1e-2, rtol=1e-4)


def test_to_ray_puts_the_person_on_the_axis(people: SyntheticSamples) -> None:
    """Seen exactly, the turned person projects about the optical axis of a camera that looks straight at them."""
    batch = detect(people, COCO, EXACT, torch.Generator().manual_seed(2))
    torch.testing.assert_close(batch.to_ray @ batch.to_ray.mT, torch.eye(3).expand(COUNT, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.joints, people.joints_cam @ batch.to_ray.mT, atol=1e-6, rtol=0)
    assert batch.points is not None
    assert people.points_cam is not None
    torch.testing.assert_close(batch.points, people.points_cam @ batch.to_ray.mT, atol=1e-6, rtol=0)
    centre = weighted_centre(batch.joints_px, batch.confidence)
    axis = (batch.to_ray @ people.cameras.ray(centre)[..., None])[..., 0]
    assert axis[:, :2].abs().max() < 1e-5
    absolute = batch.joints + (batch.to_ray @ people.root_cam[..., None])[..., 0][:, None]
    slopes = absolute[..., :2] / absolute[..., 2:]
    before = people.joints_cam + people.root_cam[:, None]
    off_axis = (before[..., :2] / before[..., 2:]).mean(1).norm(dim=-1)
    assert slopes.mean(1).norm(dim=-1).max() < 0.06
    assert slopes.mean(1).norm(dim=-1).mean() < 0.1 * off_axis.mean()


def test_rotation_to_ray_of_the_axis_is_nothing() -> None:
    torch.testing.assert_close(rotation_to_ray(torch.tensor([[0.0, 0.0, 2.0]])), torch.eye(3)[None])


def test_weighted_centre_ignores_missing_joints() -> None:
    joints = torch.tensor([[[0.0, 0.0], [10.0, 20.0], [14.0, 28.0]]])
    confidence = torch.tensor([[0.0, 0.5, 0.5]])
    torch.testing.assert_close(weighted_centre(joints, confidence), torch.tensor([[12.0, 24.0]]))


@pytest.mark.parametrize("joint_set", [COCO, HUMAN36], ids=lambda joint_set: joint_set.name)
def test_points_and_joints_agree_with_the_full_body(joint_set: JointSet, anny_body: BodyModel) -> None:
    people = draw(anny_body, joint_set, POINTS, seed=3)
    some = slice(0, 8)
    vertices = anny_body(people.phenotypes[some], people.orientations[some])
    vertices = vertices @ people.cameras.rotation[some].mT
    joints = anny_body.regressor(joint_set).double() @ vertices.double()
    root = joints[:, joint_set.root_index, None]
    torch.testing.assert_close(people.joints_cam[some].double(), joints - root, atol=3e-6, rtol=0)
    assert people.points_cam is not None
    expected = vertices[:, POINTS].double() - root
    torch.testing.assert_close(people.points_cam[some].double(), expected, atol=3e-6, rtol=0)
    # Where the body's origin is put, the root joint lies beside it.
    torch.testing.assert_close(
        people.root_cam[some].double(), people.cameras.position_cam[some] + root[:, 0], atol=3e-6, rtol=0
    )


def test_shapes_lie_in_their_bounds_and_fill_them() -> None:
    config = ShapeConfig(age=(0.7, 0.8), height=(0.4, 0.4))
    drawn = config.sample(500, torch.Generator().manual_seed(4))
    assert drawn.shape == (500, 6)
    assert drawn[:, 1].min() >= 0.7
    assert drawn[:, 1].max() <= 0.8
    assert (drawn[:, 4] == 0.4).all()
    assert drawn[:, 0].min() < 0.02
    assert drawn[:, 0].max() > 0.98


def test_adults_have_adult_statures(anny_body: BodyModel) -> None:
    stature = anny_body.stature(ShapeConfig().sample(300, torch.Generator().manual_seed(5)))
    assert stature.min() > 1.35
    assert stature.max() < 2.3
    assert 1.6 < stature.mean() < 1.9


def test_people_fill_the_picture_as_configured(anny_body: BodyModel) -> None:
    config = SyntheticConfig(
        poses=PoseConfig(procedural=1.0, tumble=0.0), cameras=CameraConfig(fill=(0.5, 0.5), steep=0.0), views=1
    )
    synthesiser = BodySynthesiser(anny_body, COCO, None)
    generator = torch.Generator().manual_seed(6)
    people = sample_people(200, PoseSource(None, config.poses), synthesiser, config, generator)
    extent = (people.joints_px.amax(1) - people.joints_px.amin(1))[:, 1] / people.cameras.size_px.amin(1)
    assert 0.4 < extent.median() < 0.6


def test_a_video_is_filmed_by_one_camera_that_nobody_comes_too_near(anny_body: BodyModel) -> None:
    """People walk their clip's path before it, from where they were drawn to be away from it."""
    config = SyntheticConfig(views=1, cameras=CameraConfig(steep=0.0))
    synthesiser = BodySynthesiser(anny_body, COCO, None)
    people = sample_videos(24, 8, 2, moving_poses(), synthesiser, config, torch.Generator().manual_seed(0))
    cameras = people.cameras
    for values in (cameras.rotation, cameras.focal_px, cameras.size_px, cameras.centre_px, people.phenotypes):
        by_video = values.unflatten(0, (3, 8))
        assert torch.equal(by_video, by_video[:, :1].expand_as(by_video))
    assert len(cameras.focal_px.unique()) == 3
    walked = cameras.position_cam.unflatten(0, (3, 8)).diff(dim=1)
    along = cameras.rotation.unflatten(0, (3, 8))[:, 1:, :, 0]  # the world's x axis
    torch.testing.assert_close(walked, 2 * STEP_M * along, atol=1e-5, rtol=0)
    assert (cameras.position_cam[:, 2] > 1.29).all()
    moved = people.root_cam - cameras.position_cam
    torch.testing.assert_close(moved.norm(dim=-1), moved[::8].norm(dim=-1).repeat_interleave(8), atol=1e-4, rtol=0)
