"""Evaluation of a model on synthetic samples: bodies of known shape in the poses of motion clips.

The network gets 2D joints in pixels and the size of the image, as for a user without a calibrated camera. The same
errors are reported again without a camera, and given the true camera, the person's height, or both.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.default_body import default_body
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
from pose2mesh.inference.person import Person, solve_camera
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.metrics import STANDARD_MEASURES, BodyPoints, Measure, compute_errors
from pose2mesh.skeletons import JointSet

CHUNK = 64  # samples whose whole mesh is in memory at a time
# The measures in the order of the report.
ALL_MEASURES: tuple[Measure, ...] = ("mpjpe", "mpvpe", "pa_mpjpe", "pa_mpvpe", "scaled_mpjpe", "scaled_mpvpe")

# The camera that the model is given, and the prefix of its errors in the report.
CameraGiven: TypeAlias = Literal["known", "nominal", "none"]
_PREFIXES: dict[CameraGiven, str] = {"none": "no_camera_", "nominal": "nominal_camera_", "known": "known_camera_"}


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


def evaluate_synthetic(
    predictor: Predictor,
    source: PoseSource,
    samples: int,
    seed: int,
    input_: str,
    drop_joints: int = 0,
    noise_scale: float = 1.0,
    body: BodyModel | None = None,
    refine: bool = False,
    camera: CameraGiven = "nominal",
) -> dict[str, Any]:
    """Mean errors in millimetres on samples of `source`, with the cameras, shapes and noise of the default configs.

    Args:
        predictor: A model of the default body.
        source: The test poses.
        samples: Number of samples.
        seed: Seed of all samples, cameras and detection errors.
        input_: Source of the 2D joints, `gt` or `noisy`.
        drop_joints: Number of joints removed at random from each sample.
        noise_scale: Size of the `noisy` errors; see `datasets.synthetic.detection_noise.measured_noise`.
        body: The default body on the CPU, if the caller has already built it, which takes seconds.
        refine: Whether the bodies are moved to their 2D joints (`inference.refinement`).
        camera: Camera of the errors without a prefix: `nominal`, guessed from the size of the image, as `predict` does;
            `known`, the true one; `none`, from pixels alone.

    Returns:
        Means over samples. `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm`: with the camera `camera`. `scaled_…`:
        after the best scale. `no_camera_…`, `nominal_camera_…`, `known_camera_…`: with each camera. `known_height_…`:
        with `camera`, given the standing height; `known_both_…`: given the true camera and the height. `spread_mm`: the
        standard error of `mpjpe_mm`, where there is more than one sample.

    Raises:
        InputError: the model has another body, or `drop_joints` leaves fewer joints than the model needs.
    """
    from tqdm import tqdm

    joint_set = predictor.joint_set
    body = body or default_body()
    _check_model(predictor, body, drop_joints)
    synthesiser = BodySynthesiser(body, joint_set, None)
    config = SyntheticConfig(views=1)
    noise = measured_noise(input_, joint_set, noise_scale)
    generator = torch.Generator().manual_seed(seed)
    regressor = body.regressor(joint_set).double()  # the sum of a long row is off by 1e-5 m in single precision
    observer = None
    if predictor.needs_image:
        assert isinstance(predictor.backend, SyntheticImageBackend)
        observer = predictor.backend.sample_observer(source, input_)
    errors: dict[str, list[Tensor]] = {}
    for start in tqdm(range(0, samples, CHUNK), desc="evaluating", unit="part", disable=None):
        with torch.no_grad():
            people = sample_people(min(CHUNK, samples - start), source, synthesiser, config, generator)
            batch = detect(people, joint_set, noise, generator)
            vertices = people.cameras.to_camera(body(people.phenotypes, people.orientations))
            joints = (regressor @ vertices.double()).float()
            heights_m = body.stature(people.phenotypes).numpy()
        pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
        if drop_joints:
            pixels, confidence = drop_random_joints(pixels, confidence, drop_joints, seed + start, joint_set)
        images = None
        if observer is not None:
            given = torch.from_numpy(pixels), torch.from_numpy(confidence)
            images = observer.observe(people, *given, start // CHUNK, seed)
        chunk_errors = _errors_by_camera(
            predictor, people, (pixels, confidence, images), BodyPoints(joints, vertices), heights_m, refine, camera
        )
        for name, values in chunk_errors.items():
            errors.setdefault(name, []).append(values)
    results: dict[str, Any] = {"model": predictor.info.name, "samples": samples, "seed": seed, "input": input_}
    results |= {"camera": camera}
    results |= {"dropped_joints": drop_joints, "noise_scale": noise_scale}
    if refine:
        results["refined"] = True
    results |= {f"{name}_mm": float(1000 * torch.cat(values).mean()) for name, values in errors.items()}
    if samples > 1:
        per_sample = torch.cat(errors["mpjpe"])
        results["spread_mm"] = float(1000 * per_sample.std() / samples**0.5)
    return results


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


def _errors_by_camera(
    predictor: Predictor,
    people: SyntheticSamples,
    inputs: tuple[NDArray[np.floating], NDArray[np.floating], Images | None],
    ground_truth: BodyPoints,
    heights_m: NDArray[np.floating],
    refine: bool,
    camera: CameraGiven,
) -> dict[str, Tensor]:
    """Errors (B,) in metres of one chunk, by name: without a camera, with a nominal one, and with the true one.

    Args:
        predictor: The model.
        people: The samples, with their cameras.
        inputs: 2D joints (B, J, 2), confidences (B, J) and, for models that take them, images.
        ground_truth: Joints and vertices of the samples.
        heights_m: (B,) true standing heights.
        refine: Whether to move the bodies to the 2D joints.
        camera: The camera whose errors have no prefix, too.
    """
    pixels, confidence, images = inputs
    sizes = [(int(width), int(height)) for width, height in people.cameras.size_px]
    nominal = [nominal_intrinsics(size) for size in sizes]
    joint_set, errors = predictor.joint_set, {}
    cameras: dict[CameraGiven, list[Intrinsics] | None]
    cameras = {"none": None, "nominal": nominal, "known": people.cameras.intrinsics()}
    for given, intrinsics in cameras.items():
        joints, vertices = predictor.run(pixels, confidence, intrinsics, images)
        if refine:
            joints, vertices = _refined(predictor, (joints, vertices), (pixels, confidence), intrinsics, sizes)
        prediction = BodyPoints(torch.from_numpy(joints), torch.from_numpy(vertices))
        measures: tuple[Measure, ...] = ALL_MEASURES if given == camera else STANDARD_MEASURES
        for name, values in compute_errors(prediction, ground_truth, joint_set, measures).items():
            if given == camera:
                errors[name] = values
            if name in STANDARD_MEASURES:
                errors[f"{_PREFIXES[given]}{name}"] = values
        with_height = [
            prefix for name, prefix in ((camera, "known_height_"), ("known", "known_both_")) if name == given
        ]
        if not with_height:
            continue
        statures = np.array([predictor.stature(person) for person in joints])
        if np.isfinite(statures).all():
            factor = torch.from_numpy(heights_m / statures)[:, None, None].float()
            resized = BodyPoints(torch.from_numpy(joints) * factor, torch.from_numpy(vertices) * factor)
            for name, values in compute_errors(resized, ground_truth, joint_set, ("mpjpe", "mpvpe")).items():
                errors |= {prefix + name: values for prefix in with_height}
    return errors


def _refined(
    predictor: Predictor,
    bodies: tuple[NDArray[np.float32], NDArray[np.float32]],
    observed: tuple[NDArray[np.floating], NDArray[np.floating]],
    intrinsics: list[Intrinsics] | None,
    sizes: list[tuple[int, int]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints and vertices `bodies` after they are moved to the 2D joints and confidences `observed`."""
    people = []
    for index, (joints, vertices, pixels, confidence) in enumerate(zip(*bodies, *observed, strict=True)):
        of_person = None if intrinsics is None else intrinsics[index]
        camera = solve_camera(joints, pixels, confidence, of_person, sizes[index])
        stature = predictor.stature(joints)
        people.append(Person(joints, vertices, pixels, confidence, camera, stature, 1.0))
    people = refine_people(predictor, people)
    return np.stack([person.joints for person in people]), np.stack([person.vertices for person in people])


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
