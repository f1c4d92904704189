"""Synthetic samples of an evaluation, chunk by chunk: bodies of known shape in given poses, and the model's input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    SyntheticSamples,
    detect,
    sample_people,
)
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, nominal_intrinsics
from pose2mesh.inference.backend import Images
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor
from pose2mesh.metrics import BodyPoints
from pose2mesh.skeletons import JointSet

CHUNK = 64  # samples whose whole mesh is in memory at a time

# The camera that a model is given.
CameraGiven: TypeAlias = Literal["known", "nominal", "none"]


class SampleObserver(Protocol):
    """Renders the observations of synthetic samples for a model that takes images."""

    def observe(self, people: SyntheticSamples, joints_px: Tensor, confidence: Tensor, chunk: int, seed: int) -> Images:
        """Crops of the samples around their 2D joints (B, J, 2) with confidences (B, J).

        `chunk` and `seed` determine the random parts of the images.
        """


@runtime_checkable
class SyntheticImageBackend(Protocol):
    """Backend of a model that takes images and can be evaluated on synthetic samples."""

    def sample_observer(self, poses: PoseSource, input_: str) -> SampleObserver:
        """The renderer of this model's observations: with `gt` or `noisy` maps and landmarks."""


@dataclass(frozen=True)
class SyntheticTest:
    """Synthetic samples of an evaluation, and what the model is given.

    Attributes:
        samples: Number of samples.
        seed: Seed of all samples, cameras and detection errors.
        input_: Source of the 2D joints, `gt` or `noisy`.
        drop_joints: Number of joints removed at random from each sample.
        noise_scale: Size of the `noisy` errors; see `datasets.synthetic.detection_noise.measured_noise`.
        refine: Whether the bodies are moved to their 2D joints (`inference.refinement`).
        camera: Camera of the errors without a prefix: `nominal`, guessed from the size of the image, as `predict` does;
            `known`, the true one; `none`, from pixels alone.
    """

    samples: int
    seed: int
    input_: str
    drop_joints: int = 0
    noise_scale: float = 1.0
    refine: bool = False
    camera: CameraGiven = "nominal"


@dataclass(frozen=True, eq=False)
class SyntheticChunk:
    """Up to `CHUNK` samples with their input and ground truth.

    Attributes:
        people: The samples, with their cameras.
        pixels, confidence: (B, J, 2) and (B, J) 2D joints in the model's joint set.
        images: For models that take them.
        ground_truth: Joints and vertices in camera axes, metres.
        heights_m: (B,) true standing heights.
    """

    people: SyntheticSamples
    pixels: NDArray[np.floating]
    confidence: NDArray[np.floating]
    images: Images | None
    ground_truth: BodyPoints
    heights_m: NDArray[np.floating]

    def cameras(self) -> dict[CameraGiven, list[Intrinsics] | None]:
        """The cameras that the model can be given, by name."""
        nominal = [nominal_intrinsics(size) for size in self.sizes_px()]
        return {"none": None, "nominal": nominal, "known": self.people.cameras.intrinsics()}

    def sizes_px(self) -> list[tuple[int, int]]:
        """(width, height) of the image of each sample."""
        return [(int(width), int(height)) for width, height in self.people.cameras.size_px]


def synthetic_chunks(
    predictor: Predictor, source: PoseSource, test: SyntheticTest, body: BodyModel
) -> Iterator[SyntheticChunk]:
    """The samples of a test, with the cameras, shapes and noise of the default configs.

    Args:
        predictor: The model that takes them.
        source: The test poses.
        test: The test.
        body: The default body on the CPU.

    Raises:
        InputError: the model has another body, or `drop_joints` leaves fewer joints than the model needs.
    """
    joint_set, seed = predictor.joint_set, test.seed
    _check_model(predictor, body, test.drop_joints)
    synthesiser = BodySynthesiser(body, joint_set, None)
    config = SyntheticConfig(views=1)
    noise = measured_noise(test.input_, joint_set, test.noise_scale)
    generator = torch.Generator().manual_seed(seed)
    regressor = body.regressor(joint_set).double()  # the sum of a long row is off by 1e-5 m in single precision
    observer = None
    if predictor.needs_image:
        assert isinstance(predictor.backend, SyntheticImageBackend)
        observer = predictor.backend.sample_observer(source, test.input_)
    for start in range(0, test.samples, CHUNK):
        with torch.no_grad():
            people = sample_people(min(CHUNK, test.samples - start), source, synthesiser, config, generator)
            batch = detect(people, joint_set, noise, generator)
            vertices = people.cameras.to_camera(body(people.phenotypes, people.orientations))
            joints = (regressor @ vertices.double()).float()
            heights_m = body.stature(people.phenotypes).numpy()
        pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
        if test.drop_joints:
            pixels, confidence = drop_random_joints(pixels, confidence, test.drop_joints, seed + start, joint_set)
        images = None
        if observer is not None:
            given = torch.from_numpy(pixels), torch.from_numpy(confidence)
            images = observer.observe(people, *given, start // CHUNK, seed)
        yield SyntheticChunk(people, pixels, confidence, images, BodyPoints(joints, vertices), heights_m)


def _check_model(predictor: Predictor, body: BodyModel, drop_joints: int) -> None:
    """Refuse a model of another body, and a number of dropped joints that leaves too few for the model."""
    joint_set, info = predictor.joint_set, predictor.info
    most = len(joint_set) - len(joint_set.derived) - LEAST_JOINTS
    if drop_joints > most:
        raise InputError(f"--drop-joints {drop_joints}: expected at most {most} for joint set {joint_set.name!r}")
    if len(predictor.template) != len(body.template):
        raise InputError(
            f"model {info.name!r} is of body {info.body!r}; clips are posed as 'anny', so it must be of that"
        )


def drop_random_joints(
    pixels: NDArray[np.floating], confidence: NDArray[np.floating], count: int, seed: int, joint_set: JointSet
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Copies of the inputs in which `count` random joints of each person are missing, and the joints derived from them.

    Args:
        pixels, confidence: (B, J, 2) and (B, J).
        count: Number of joints to drop, among those that are not derived.
        seed: Seed of the choice.
        joint_set: The `J` joints.
    """
    rng = np.random.default_rng(seed)
    pixels, confidence = pixels.copy(), confidence.copy()
    derived = dict(joint_set.derived)
    labelled = [index for index, name in enumerate(joint_set.names) if name not in derived]
    for person in range(len(pixels)):
        confidence[person, rng.choice(labelled, count, replace=False)] = 0
    for name, parts in derived.items():
        sources = confidence[:, [joint_set.index(part) for part in parts]]
        confidence[:, joint_set.index(name)] = np.minimum(confidence[:, joint_set.index(name)], sources.min(axis=1))
    pixels[confidence <= 0] = 0
    return pixels, confidence
