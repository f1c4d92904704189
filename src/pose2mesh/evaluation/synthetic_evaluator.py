"""Evaluation of a model on synthetic samples: bodies of known shape in the poses of motion clips.

The network gets 2D joints in pixels and the size of the image, as for a user without a calibrated camera. The same
errors are reported again without a camera, and given the true camera, the person's height, or both. The surfaces are
measured, too (`evaluation.surface_quality`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation.expected_errors import (
    LAPLACE_QUANTILES,
    absolute_error_values,
    summarise_expected_errors,
)
from pose2mesh.evaluation.surface_quality import SURFACE_MEASURES, SurfaceMeter, summarise_surfaces
from pose2mesh.evaluation.synthetic_chunks import CameraGiven, SyntheticChunk, SyntheticTest, synthetic_chunks
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.person import Person, solve_camera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.metrics import STANDARD_MEASURES, BodyPoints, Measure, compute_errors

# The measures in the order of the report.
ALL_MEASURES: tuple[Measure, ...] = ("mpjpe", "mpvpe", "pa_mpjpe", "pa_mpvpe", "scaled_mpjpe", "scaled_mpvpe")
# Names of the joints' absolute and expected errors (N, J, 2) among the values of all samples.
_OF_JOINTS = _ERRORS, _EXPECTED = "absolute_errors", "expected_errors"
# Prefix of the errors with each camera in the report.
_PREFIXES: dict[CameraGiven, str] = {"none": "no_camera_", "nominal": "nominal_camera_", "known": "known_camera_"}


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
        samples, seed, input_, drop_joints, noise_scale, refine, camera: See `SyntheticTest`.
        body: The default body on the CPU, if the caller has already built it, which takes seconds.

    Returns:
        Means over samples. `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm`: with the camera `camera`. `scaled_…`:
        after the best scale. `no_camera_…`, `nominal_camera_…`, `known_camera_…`: with each camera. `known_height_…`:
        with `camera`, given the standing height; `known_both_…`: given the true camera and the height. `spread_mm`: the
        standard error of `mpjpe_mm`, where there is more than one sample. With `camera`, too: the figures of
        `surface_quality.summarise_surfaces`.

    Raises:
        InputError: the model has another body, or `drop_joints` leaves fewer joints than the model needs.
    """
    test = SyntheticTest(samples, seed, input_, drop_joints, noise_scale, refine, camera)
    return evaluate_kinds(predictor, {"": source}, test, body)


def evaluate_kinds(
    predictor: Predictor, sources: Mapping[str, PoseSource], test: SyntheticTest, body: BodyModel | None = None
) -> dict[str, Any]:
    """`evaluate_synthetic` by kind of motion, with equally many samples of each kind.

    The samples of a kind depend on the seed, on its name and on their number, not on the other kinds.

    Args:
        predictor: A model of the default body.
        sources: The test poses of each kind; one kind without a name, "", gives what `evaluate_synthetic` gives.
        test: The test; its samples are divided among the kinds, the first of which get the remainder.
        body: The default body on the CPU, if the caller has already built it.

    Returns:
        As `evaluate_synthetic`, over the samples of all kinds, and `kinds`: for each kind its number of `samples`, its
        errors with the camera of the test, and the figures of its surfaces. With a model that predicts how large its
        errors are, `expected_errors`: see `summarise_expected_errors`.

    Raises:
        InputError: as `evaluate_synthetic`, or there are fewer samples than kinds.
    """
    body = body or default_body()
    meter = SurfaceMeter(body)
    parts = kind_tests(list(sources), test)
    by_kind = {kind: _values(predictor, sources[kind], part, body, meter) for kind, part in parts.items()}
    first = next(iter(by_kind.values()))
    results = _settings(predictor, test)
    if _EXPECTED in first:
        quantiles = predictor.info.error_quantiles or LAPLACE_QUANTILES
        errors, expected = (torch.cat([values.pop(name) for values in by_kind.values()]) for name in _OF_JOINTS)
        root = predictor.joint_set.root_index
        results["expected_errors"] = summarise_expected_errors(errors, expected, quantiles, root)
    results |= _means({name: torch.cat([values[name] for values in by_kind.values()]) for name in first})
    if set(by_kind) != {""}:
        results["kinds"] = {kind: _of_kind(values) for kind, values in by_kind.items()}
    return results


def kind_tests(kinds: Sequence[str], test: SyntheticTest) -> dict[str, SyntheticTest]:
    """The part of a test that each kind of motion gets; the kind "" has the seed of the test itself.

    Raises:
        InputError: there are fewer samples than kinds.
    """
    if test.samples < len(kinds):
        raise InputError(f"--samples {test.samples}: expected at least one for each of {len(kinds)} kinds of motion")
    share, remainder = divmod(test.samples, len(kinds))
    return {
        kind: replace(test, samples=share + (index < remainder), seed=(test.seed + crc32(kind.encode())) % 2**63)
        for index, kind in enumerate(kinds)
    }


def _settings(predictor: Predictor, test: SyntheticTest) -> dict[str, Any]:
    """The first lines of a report."""
    settings: dict[str, Any] = {"model": predictor.info.name, "samples": test.samples, "seed": test.seed}
    settings |= {"input": test.input_, "camera": test.camera}
    settings |= {"dropped_joints": test.drop_joints, "noise_scale": test.noise_scale}
    return settings | ({"refined": True} if test.refine else {})


def _values(
    predictor: Predictor, source: PoseSource, test: SyntheticTest, body: BodyModel, meter: SurfaceMeter
) -> dict[str, Tensor]:
    """Errors in metres (N,) and measures of surfaces of all samples of a test, by name."""
    from tqdm import tqdm

    values: dict[str, list[Tensor]] = {}
    with tqdm(total=test.samples, desc="evaluating", unit="sample", disable=None) as bar:
        for chunk in synthetic_chunks(predictor, source, test, body):
            for name, of_chunk in _chunk_values(predictor, chunk, test, meter).items():
                values.setdefault(name, []).append(of_chunk)
            bar.update(len(chunk.pixels))
    return {name: torch.cat(of_chunks) for name, of_chunks in values.items()}


def _means(values: dict[str, Tensor]) -> dict[str, float]:
    """Figures of the report from the values of all samples."""
    errors = {name: of_samples for name, of_samples in values.items() if name not in SURFACE_MEASURES}
    results = {f"{name}_mm": float(1000 * of_samples.mean()) for name, of_samples in errors.items()}
    if len(values["mpjpe"]) > 1:
        results["spread_mm"] = _standard_error_mm(values["mpjpe"])
    return results | summarise_surfaces(values)


def _of_kind(values: dict[str, Tensor]) -> dict[str, float]:
    """Figures of a kind of motion: `samples`, the errors without a prefix, and those of its surfaces."""
    results: dict[str, float] = {"samples": len(values["mpjpe"])}
    results |= {f"{name}_mm": float(1000 * values[name].mean()) for name in STANDARD_MEASURES}
    if len(values["mpjpe"]) > 1:
        results["spread_mm"] = _standard_error_mm(values["mpjpe"])
    return results | summarise_surfaces(values)


def _standard_error_mm(errors: Tensor) -> float:
    return float(1000 * errors.std() / len(errors) ** 0.5)


def _chunk_values(
    predictor: Predictor, chunk: SyntheticChunk, test: SyntheticTest, meter: SurfaceMeter
) -> dict[str, Tensor]:
    """Errors (B,) in metres of one chunk by name, without a camera, with a nominal one and with the true one; and the
    measures of its surfaces with the camera of the test.
    """
    joint_set, values = predictor.joint_set, {}
    for given, intrinsics in chunk.cameras().items():
        bodies = predictor.run_bodies(chunk.pixels, chunk.confidence, intrinsics, chunk.images)
        joints, vertices = bodies.joints, bodies.vertices
        if given == test.camera and bodies.expected_errors_m is not None:
            observed = chunk.pixels, chunk.confidence, intrinsics, joint_set.root_index
            values[_ERRORS] = absolute_error_values(joints, chunk.ground_truth.joints, *observed)
            values[_EXPECTED] = torch.from_numpy(bodies.expected_errors_m)
        if test.refine:
            joints, vertices = _refined(predictor, (joints, vertices), chunk, intrinsics)
        prediction = BodyPoints(torch.from_numpy(joints), torch.from_numpy(vertices))
        measures: tuple[Measure, ...] = ALL_MEASURES if given == test.camera else STANDARD_MEASURES
        for name, errors in compute_errors(prediction, chunk.ground_truth, joint_set, measures).items():
            if given == test.camera:
                values[name] = errors
            if name in STANDARD_MEASURES:
                values[f"{_PREFIXES[given]}{name}"] = errors
        if given == test.camera:
            assert prediction.vertices is not None
            assert chunk.ground_truth.vertices is not None
            values |= meter(prediction.vertices, chunk.ground_truth.vertices)
        with_height = [
            prefix for name, prefix in ((test.camera, "known_height_"), ("known", "known_both_")) if name == given
        ]
        if not with_height:
            continue
        statures = np.array([predictor.stature(person) for person in joints])
        if np.isfinite(statures).all():
            factor = torch.from_numpy(chunk.heights_m / statures)[:, None, None].float()
            resized = BodyPoints(torch.from_numpy(joints) * factor, torch.from_numpy(vertices) * factor)
            for name, errors in compute_errors(resized, chunk.ground_truth, joint_set, ("mpjpe", "mpvpe")).items():
                values |= {prefix + name: errors for prefix in with_height}
    return values


def _refined(
    predictor: Predictor,
    bodies: tuple[NDArray[np.float32], NDArray[np.float32]],
    chunk: SyntheticChunk,
    intrinsics: list[Intrinsics] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints and vertices `bodies` after they are moved to the 2D joints of the chunk."""
    people, sizes = [], chunk.sizes_px()
    samples = zip(*bodies, chunk.pixels, chunk.confidence, strict=True)
    for index, (joints, vertices, pixels, confidence) in enumerate(samples):
        of_person = None if intrinsics is None else intrinsics[index]
        camera = solve_camera(joints, pixels, confidence, of_person, sizes[index])
        stature = predictor.stature(joints)
        people.append(Person(joints, vertices, pixels, confidence, camera, stature, 1.0))
    people = refine_people(predictor, people)
    return np.stack([person.joints for person in people]), np.stack([person.vertices for person in people])
