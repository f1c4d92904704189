"""Sample sets of the robustness report: from motion clips, with 3D ground truth, or from a keypoint file, without.

Every sample belongs to a group, its clip or its image. Samples of one group are correlated, so intervals are resampled
over groups, not over samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    rotation_to_ray,
    sample_people,
    weighted_centre,
)
from pose2mesh.datasets.synthetic.detection_noise import person_area
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation.image_metrics import polygon_mask
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.inference.predictor import unusable
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.keypoints import ImageInput, PoseInput, read_keypoints
from pose2mesh.skeletons import JointSet, convert

Floats: TypeAlias = NDArray[np.floating]
Role = Literal["train", "validation", "clips", "own"]
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class SampleGroundTruth:
    """Ground truth of samples from clips; metres, camera axes, relative to the root joint.

    Attributes:
        joints: (P, J, 3).
        vertices: (P, V, 3).
        intrinsics: P cameras.
        up: (P, 3) direction against gravity.
        to_ray: (P, 3, 3) from the camera's axes to those of a camera that faces the person.
        facing_rad: (P,) yaw: 0 faces the camera, π/2 turns the person's left side to it, ±π the back.
    """

    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    intrinsics: list[Intrinsics]
    up: NDArray[np.float32]
    to_ray: NDArray[np.float32]
    facing_rad: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SampleSet:
    """`P` samples in the joint set of the model.

    Attributes:
        name: Name of the set in the report.
        role: Relation of the set to the model: its training or validation clips, other clips, or the user's own data.
        joints_px: (P, J, 2); 0 where missing.
        confidence: (P, J) in [0, 1]; 0 where missing.
        area_px: (P,) area of each person in square pixels.
        group: (P,) index of each sample's clip or image.
        group_names: Names of the groups.
        labels: Label of each sample in the report.
        sizes: (width, height) of each sample's image, where known.
        masks: COCO's polygons of each sample, where known.
        ground_truth: Ground truth of samples from clips; None for a keypoint file.
    """

    name: str
    role: Role
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    area_px: NDArray[np.float32]
    group: NDArray[np.intp]
    group_names: tuple[str, ...]
    labels: tuple[str, ...]
    sizes: list[tuple[int, int] | None]
    masks: list[list[Any] | None]
    ground_truth: SampleGroundTruth | None = None

    def __len__(self) -> int:
        return len(self.joints_px)

    def mask(self, person: int) -> NDArray[np.bool_] | None:
        """Mask (H, W) of a sample in its image; None if unknown.

        Raises:
            InputError: the polygons of the file are invalid.
        """
        polygons, size = self.masks[person], self.sizes[person]
        if polygons is None or size is None:
            return None
        return polygon_mask(polygons, size, f"{self.name}: {self.labels[person]}")


class _ChosenPoses(PoseSource):
    """Pose source that returns given poses in their order."""

    def __init__(self, poses: Tensor) -> None:
        super().__init__(poses, PoseConfig(procedural=0.0))
        self.poses = poses

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return self.poses[:count]


def from_clips(
    name: str,
    role: Role,
    clips: Sequence[Clip],
    body: BodyModel,
    synthesiser: BodySynthesiser,
    samples: int,
    seed: int,
) -> SampleSet:
    """Samples in poses of clips, as bodies of random adult shape before random cameras, the same number from each clip.

    With the same seed two sets have the same shapes and, up to the body's size, cameras: they differ in the poses.

    Args:
        name, role: Name and role of the set.
        clips: At least one clip.
        body: The body model that poses the vertices.
        synthesiser: Poses the joints of the model's joint set with the same body model.
        samples: Number of samples.
        seed: Seed of frames, shapes and cameras.
    """
    rng = np.random.default_rng(seed)
    counts = np.full(len(clips), samples // len(clips))
    counts[rng.permutation(len(clips))[: samples % len(clips)]] += 1
    frames = [
        rng.choice(len(clip), count, replace=len(clip) < count) for clip, count in zip(clips, counts, strict=True)
    ]
    poses = np.concatenate([clip.orientations[chosen] for clip, chosen in zip(clips, frames, strict=True)])
    labels = [
        f"{clip.name} at {clip.times_s[frame]:.2f} s"
        for clip, chosen in zip(clips, frames, strict=True)
        for frame in chosen
    ]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        people = sample_people(
            samples, _ChosenPoses(torch.from_numpy(poses)), synthesiser, SyntheticConfig(views=1), generator
        )
        regressor, root = body.regressor(synthesiser.joint_set), synthesiser.joint_set.root_index
        vertices = []
        for start in range(0, samples, _CHUNK):
            part = slice(start, start + _CHUNK)
            posed = body(people.phenotypes[part], people.orientations[part])
            posed = posed @ people.cameras.rotation[part].mT
            vertices.append(posed - (regressor[root] @ posed)[:, None])
        full_confidence = torch.ones(people.joints_px.shape[:2])
        joints_px, confidence = rederive(people.joints_px.numpy(), full_confidence.numpy(), synthesiser.joint_set)
        to_ray = rotation_to_ray(people.cameras.ray(weighted_centre(torch.from_numpy(joints_px), full_confidence)))
    cameras = people.cameras
    return SampleSet(
        name,
        role,
        joints_px,
        confidence,
        person_area(torch.from_numpy(joints_px)).numpy(),
        np.repeat(np.arange(len(clips)), counts),
        tuple(clip.name for clip in clips),
        tuple(labels),
        [(int(width), int(height)) for width, height in cameras.size_px],
        [None] * samples,
        SampleGroundTruth(
            people.joints_cam.numpy(),
            torch.cat(vertices).numpy(),
            cameras.intrinsics(),
            cameras.rotation[:, :, 2].numpy(),
            to_ray.numpy(),
            _facing(to_ray @ cameras.rotation @ people.orientations[:, 0]),
        ),
    )


def rederive(
    joints_px: Floats, confidence: Floats, joint_set: JointSet
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pixels (P, J, 2) and confidences (P, J) with the derived joints recomputed from their sources."""
    confidence = confidence.copy()
    confidence[:, [joint_set.index(name) for name, _ in joint_set.derived]] = 0
    return convert(joints_px, confidence, joint_set.names, joint_set)


def _facing(hips: Tensor) -> NDArray[np.float32]:
    """Yaw (P,) of hips, given rotations (P, 3, 3) from the axes of the rest pose to those of a facing camera."""
    level = torch.tensor(WORLD_TO_CAMERA)
    left = (hips @ level.new_tensor([1.0, 0.0, 0.0])[:, None])[..., 0]
    return torch.atan2(-left[:, 2], left[:, 0]).numpy()


def from_keypoints(
    name: str, file: Path, images: Path | None, joint_set: JointSet, samples: int, seed: int
) -> SampleSet:
    """The people of a keypoint file, at most `samples` of them chosen at random, in the order of the file.

    Args:
        name: Name of the set.
        file: COCO annotations or results, or another format that `read_keypoints` takes.
        images: Folder of the images, for sizes that the file lacks and for names in the report. No pixel is used.
        joint_set: Joint set of the model.
        samples: Largest number of people.
        seed: Seed of the choice of people.

    Raises:
        InputError: the file cannot be used, or no person in it has enough joints.
    """
    inputs = read_keypoints(file)
    files = match_images(inputs, images) if images is not None else {}
    found: list[tuple[ImageInput, PoseInput, NDArray[np.float32], NDArray[np.float32]]] = []
    for image in inputs:
        for person in image.people:
            original = person.original
            pixels, confidence = convert(original[:, :2], original[:, 2], person.original_names, joint_set)
            if unusable(pixels, confidence, joint_set) is None:
                found.append((image, person, pixels, confidence))
    if not found:
        raise InputError(f"{file}: no person has enough joints of the set {joint_set.name!r}; expected at least one")
    if len(found) > samples:
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), samples, replace=False))
        found = [found[index] for index in chosen]
    stems = list(dict.fromkeys(image.stem for image, *_ in found))
    sizes = {image.stem: image.size or _size(files.get(image.stem)) for image, *_ in found}
    return SampleSet(
        name,
        "own",
        np.stack([pixels for _, _, pixels, _ in found]),
        np.stack([confidence for *_, confidence in found]),
        np.array([_area(person, pixels, confidence) for _, person, pixels, confidence in found], np.float32),
        np.array([stems.index(image.stem) for image, *_ in found]),
        tuple(stems),
        tuple(f"{image.image_name or image.stem}, person {person.identifier}" for image, person, *_ in found),
        [sizes[image.stem] for image, *_ in found],
        [person.mask if isinstance(person.mask, list) else None for _, person, *_ in found],
    )


def _size(file: Path | None) -> tuple[int, int] | None:
    from pose2mesh.io.images import read_image

    if file is None:
        return None
    height, width = read_image(file).shape[:2]
    return width, height


def _area(person: PoseInput, pixels: Floats, confidence: Floats) -> float:
    """Area of the person's polygons in square pixels, else an estimate from the joints."""
    if isinstance(person.mask, list):
        try:
            outlines = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in person.mask]
        except (TypeError, ValueError):
            outlines = []
        area = sum(abs(_shoelace(outline)) for outline in outlines)
        if area >= 1:
            return area
    present = torch.from_numpy(pixels[confidence > 0])
    return float(person_area(present[None]))


def _shoelace(outline: Floats) -> float:
    x, y = outline.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
