"""Synthetic samples: random bodies in poses of clips and joint limits, under random cameras, with detector errors.

Nothing is stored: a batch is generated on the device of the network, from a seed, an epoch and an index, and only the
needed points are posed. Two cores sample some 100,000 people a second where only joints are needed, 25,000 with the
points of the light network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pose2mesh.body_models.finger_pose import resting_fingers, with_fingers
from pose2mesh.body_models.interface import AGE, BodyModel
from pose2mesh.body_models.skinning import SkinnedPoints, skin
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig, Cameras, sample_cameras
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, add_detection_noise
from pose2mesh.datasets.synthetic.finger_sampling import sample_fingers
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.geometry.rotations import rotation_between
from pose2mesh.skeletons import JointSet


@dataclass
class ShapeConfig:
    """Distribution of body shapes, adults by default: each phenotype of Anny is uniform between two bounds.

    Attributes:
        gender, age, muscle, weight, height, proportions: Anny's scales from 0 to 1. Gender is 0 for male; age 1/3 is a
            child, 2/3 a young adult, 1 an old one; heights of 0.2 to 0.8 are statures of 1.43 m to 2.22 m.
        children: Share of samples whose age is taken from `child_age` instead.
        child_age: Age of these; 0.1 is a toddler of 0.9 m.
    """

    gender: tuple[float, float] = (0.0, 1.0)
    age: tuple[float, float] = (0.6, 1.0)
    muscle: tuple[float, float] = (0.0, 1.0)
    weight: tuple[float, float] = (0.0, 1.0)
    height: tuple[float, float] = (0.2, 0.8)
    proportions: tuple[float, float] = (0.0, 1.0)
    children: float = 0.0
    child_age: tuple[float, float] = (0.1, 0.6)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 6) phenotypes in the order of `body_models.interface.PHENOTYPES`."""
        bounds = (self.gender, self.age, self.muscle, self.weight, self.height, self.proportions)
        low, high = torch.tensor(bounds, device=generator.device).unbind(1)
        phenotypes = low + (high - low) * torch.rand(count, 6, generator=generator, device=generator.device)
        if self.children > 0:
            chance, age = torch.rand(2, count, generator=generator, device=generator.device)
            youngest, oldest = self.child_age
            is_child = chance < self.children
            phenotypes[:, AGE] = torch.where(is_child, youngest + (oldest - youngest) * age, phenotypes[:, AGE])
        return phenotypes


@dataclass
class SyntheticConfig:
    """Distributions of everything that is random in a synthetic sample.

    Attributes:
        shapes, poses, cameras, noise: See their classes.
        views: Cameras (and detections) per posed body: posing costs more than projecting.
        fingers: Share of bodies whose fingers are sampled (`finger_sampling`); those of the others follow their hands.
    """

    shapes: ShapeConfig = field(default_factory=ShapeConfig)
    poses: PoseConfig = field(default_factory=PoseConfig)
    cameras: CameraConfig = field(default_factory=CameraConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    views: int = 2
    fingers: float = 0.0


@dataclass(frozen=True)
class SyntheticSamples:
    """Posed bodies under cameras: the values of a `Batch`, and further values for evaluation.

    Attributes:
        phenotypes: (B, 6).
        orientations: (B, 22, 3, 3), or (B, 52, 3, 3) where fingers are sampled.
        cameras: B cameras.
        joints_cam: (B, J, 3) in camera axes, relative to the root joint.
        points_cam: (B, R, 3) likewise, or None.
        root_cam: (B, 3) the root joint in the camera frame, metres.
    """

    phenotypes: Tensor
    orientations: Tensor
    cameras: Cameras
    joints_cam: Tensor
    points_cam: Tensor | None
    root_cam: Tensor

    def __getitem__(self, which: slice | Tensor) -> SyntheticSamples:
        points = None if self.points_cam is None else self.points_cam[which]
        return SyntheticSamples(
            self.phenotypes[which],
            self.orientations[which],
            self.cameras[which],
            self.joints_cam[which],
            points,
            self.root_cam[which],
        )

    @property
    def joints_px(self) -> Tensor:
        """(B, J, 2) true joints in pixels."""
        return self.cameras.project(self.joints_cam + (self.root_cam - self.cameras.position_cam)[:, None])


class BodySynthesiser(nn.Module):
    """Poses only the requested points of a body: the joints of a joint set and a subset of the vertices.

    Args:
        body: The Anny body.
        joint_set: The joints.
        points: (R,) vertex indices that MeshNet predicts, or None for joints alone.
    """

    point_rest: Tensor
    point_shapes: Tensor
    point_weights: Tensor

    def __init__(self, body: BodyModel, joint_set: JointSet, points: Tensor | None) -> None:
        super().__init__()
        self.body, self.joint_set = body, joint_set
        self.joints = SkinnedPoints(body, body.regressor(joint_set))
        self.has_points = points is not None
        if points is not None:
            shapes = body.shapes.reshape(-1, *body.rest_vertices.shape)[:, points].flatten(1)
            self.register_buffer("point_rest", body.rest_vertices[points], persistent=False)
            self.register_buffer("point_shapes", shapes.contiguous(), persistent=False)
            self.register_buffer("point_weights", body.skin_weights[points], persistent=False)

    def forward(self, phenotypes: Tensor, orientations: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Joints (B, J, 3) and points (B, R, 3) relative to the root joint, and that joint (B, 3).

        All in metres and world axes, that joint relative to the hips.
        """
        coefficients = self.body.coefficients(phenotypes)
        transforms = self.body.bone_transforms(coefficients, orientations)
        joints = self.joints(coefficients, *transforms)
        root = joints[:, self.joint_set.root_index]
        points = None
        if self.has_points:
            rest = self.point_rest + (coefficients @ self.point_shapes).reshape(len(phenotypes), -1, 3)
            points = skin(rest, self.point_weights, *transforms) - root[:, None]
        return joints - root[:, None], points, root


def sample_people(
    count: int, source: PoseSource, synthesiser: BodySynthesiser, config: SyntheticConfig, generator: torch.Generator
) -> SyntheticSamples:
    """Sample `count` people: `count / views` bodies, each under `views` cameras."""
    bodies = -(-count // config.views)
    phenotypes = config.shapes.sample(bodies, generator)
    orientations = pose_fingers(source.sample(bodies, generator), config.fingers, 1, generator)
    joints, points, root = synthesiser(phenotypes, orientations)
    repeat = torch.arange(count, device=joints.device) // config.views
    stature = (joints[..., 2].amax(1) - joints[..., 2].amin(1)).clamp_min(1.2)[repeat]
    cameras = sample_cameras(count, stature, config.cameras, generator)
    points = None if points is None else points[repeat]
    return _under(cameras, phenotypes[repeat], orientations[repeat], joints[repeat], points, root[repeat])


def sample_videos(
    count: int,
    frames: int,
    stride: int,
    source: PoseSource,
    synthesiser: BodySynthesiser,
    config: SyntheticConfig,
    generator: torch.Generator,
) -> SyntheticSamples:
    """Sample `count / frames` people, each in `frames` successive frames of a static camera.

    Args:
        count: Number of frames of all people, a multiple of `frames`.
        frames, stride: See `PoseSource.sample_motion`.
        source, synthesiser, config, generator: As for `sample_people`.
    """
    videos = count // frames
    phenotypes = config.shapes.sample(videos, generator).repeat_interleave(frames, dim=0)
    orientations, path = source.sample_motion(videos, frames, stride, generator)
    orientations = pose_fingers(orientations, config.fingers, frames, generator)
    joints, points, root = synthesiser(phenotypes, orientations)
    stature = (joints[..., 2].amax(1) - joints[..., 2].amin(1)).unflatten(0, (videos, frames)).amax(1)
    cameras = sample_cameras(videos, stature.clamp_min(1.2), config.cameras, generator).repeated(frames)
    away = (cameras.rotation @ path[..., None])[..., 0]
    # No frame is nearer to the camera than the sampled distance.
    away[:, 2] -= away[:, 2].unflatten(0, (videos, frames)).amin(1).repeat_interleave(frames)
    cameras = replace(cameras, position_cam=cameras.position_cam + away)
    return _under(cameras, phenotypes, orientations, joints, points, root)


def pose_fingers(orientations: Tensor, share: float, frames: int, generator: torch.Generator) -> Tensor:
    """Poses (B, 22, 3, 3) with sampled fingers (B, 52, 3, 3), still over each `frames` in a row; as given at share 0.

    In a share of the samples the fingers are sampled, in the others they follow their hands.
    """
    if share == 0:
        return orientations
    count = len(orientations) // frames
    sampled = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device) < share
    fingers = torch.where(sampled, sample_fingers(count, generator), resting_fingers(count, generator.device))
    return with_fingers(orientations, fingers.repeat_interleave(frames, dim=0))


def _under(
    cameras: Cameras, phenotypes: Tensor, orientations: Tensor, joints: Tensor, points: Tensor | None, root: Tensor
) -> SyntheticSamples:
    """Samples from the joints, points and root of `BodySynthesiser`, each under a camera."""
    return SyntheticSamples(
        phenotypes,
        orientations,
        cameras,
        cameras.to_camera(joints),
        None if points is None else cameras.to_camera(points),
        cameras.position_cam + (cameras.rotation @ root[..., None])[..., 0],
    )


def detect(samples: SyntheticSamples, joint_set: JointSet, noise: NoiseConfig, generator: torch.Generator) -> Batch:
    """Make a batch: 2D joints with synthesised detector errors, and the ground truth rotated to the viewing ray."""
    joints_px, confidence = add_detection_noise(samples.joints_px, joint_set, noise, generator, samples.cameras.size_px)
    to_ray = rotation_to_ray(samples.cameras.ray(weighted_centre(joints_px, confidence)))
    valid = torch.ones(samples.joints_cam.shape[:2], dtype=torch.bool, device=joints_px.device)
    return Batch(
        joints_px=joints_px,
        confidence=confidence,
        joints=samples.joints_cam @ to_ray.mT,
        points=None if samples.points_cam is None else samples.points_cam @ to_ray.mT,
        joints_valid=valid,
        surface_valid=valid[:, 0],
        to_ray=to_ray,
    )


def weighted_centre(joints_px: Tensor, confidence: Tensor) -> Tensor:
    """(B, 2) centre of the joints weighted by confidence: the pixel that stands for the person's place in the image."""
    weight = confidence[..., None]
    return (weight * joints_px).sum(1) / weight.sum(1).clamp_min(1e-6)


def rotation_to_ray(ray: Tensor) -> Tensor:
    """(B, 3, 3) rotation of the camera that brings viewing directions (B, 3) onto its axis."""
    return rotation_between(ray, ray.new_tensor([0.0, 0.0, 1.0]).expand_as(ray))
