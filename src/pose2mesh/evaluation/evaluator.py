"""Measure a model: on data sets by their protocols, on motion clips posed as bodies of known shape, and on photos.

On clips the network gets pixels alone, as a user without a calibrated camera has them; the same errors are reported
again for what a user may know besides: the camera, and the person's height.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.evaluation.evaluate_options import EvaluateOptions
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.mesh_files import write_json
from pose2mesh.metrics import BodyPoints, Measure, compute_errors
from pose2mesh.skeletons import JointSet

if TYPE_CHECKING:
    from pose2mesh.body_models.anny import AnnyBody
    from pose2mesh.config.train_config import TrainConfig
    from pose2mesh.datasets.synthetic.pose_sampling import PoseSource

PART = 64  # people posed in full at a time
MOTION_SAMPLES = 4000
# In the order of the report.
ALL_MEASURES: tuple[Measure, ...] = ("mpjpe", "mpvpe", "pa_mpjpe", "pa_mpvpe", "scaled_mpjpe", "scaled_mpvpe")


def evaluate_command(model: str, device: str, options: EvaluateOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """`pose2mesh evaluate`: choose the test, run it, say and write the results.

    Args:
        model: A bundle, or a run folder that holds one.
        device: `cpu` or `cuda`.
        options: The test.
        say: Takes a line for each result.

    Returns:
        The report.

    Raises:
        InputError: an option, the model, or a file of the test cannot be used.
    """
    options.check()
    recovery = Predictor.load(model, device)
    if options.data is not None:
        from pose2mesh.config.train_config import load_config

        config = load_config(options.data, list(options.overrides))
        if config.data.sets:
            return _evaluate_set(recovery, config, options, say)
    if options.keypoints is not None and options.images is not None:
        from pose2mesh.evaluation.image_metrics import evaluate_keypoints

        results = evaluate_keypoints(recovery, options.keypoints, options.images)
    else:
        if options.motions is not None:
            from pose2mesh.datasets.synthetic.pose_sources import clip_poses

            source = clip_poses(options.motions)
        else:
            from pose2mesh.datasets.synthetic.pose_sources import pose_sources

            if options.protocol or options.input_ == "detected":
                option = f"--protocol {options.protocol}" if options.protocol else "--input detected"
                raise InputError(f"{option}: is for data sets, and {options.data} has none in data.sets")
            source = pose_sources(config.data)[1]
        samples = options.samples or MOTION_SAMPLES
        results = evaluate_motions(
            recovery, source, samples, options.seed, options.input_, options.drop_joints, options.noise_scale
        )
    if options.report is not None:
        write_json(options.report, results, decimals=3)
    for name, value in results.items():
        digits = 1 if name.endswith("_mm") else 3
        say(f"{name:28} {value:.{digits}f}" if isinstance(value, float) else f"{name:28} {value}")
    return results


def _evaluate_set(
    recovery: Predictor, config: TrainConfig, options: EvaluateOptions, say: Callable[[str], None]
) -> dict[str, Any]:
    """On a data set of a config: results as JSON, and as tables that stand beside the published ones."""
    from pose2mesh.evaluation import published_results
    from pose2mesh.evaluation.dataset_evaluator import evaluate_records, open_test

    if options.drop_joints:
        raise InputError("--drop-joints: is for clips, not for data sets")
    if options.noise_scale != 1:
        raise InputError("--noise-scale: is for clips, not for data sets")
    test = open_test(
        config.data, str(options.data), recovery.joint_set, options.protocol, options.input_, options.on_fault
    )
    results: dict[str, Any] = {"model": recovery.info.name, "protocol": test.protocol.name, "seed": options.seed}
    results |= {"input": options.input_, "data_set": test.records.schema.name}
    if options.input_ == "detected" and test.member.config.detections is not None:
        results["detections"] = test.member.config.detections
    results |= evaluate_records(
        recovery, test.records, test.body, test.protocol, options.input_, options.samples, options.seed
    )
    results["faults"] = test.records.faults
    text = published_results.report_tables(test.protocol, results)
    if options.report is not None:
        write_json(options.report, results, decimals=3)
        with replacing(options.report.with_suffix(".md")) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    say(text)
    return results


def evaluate_motions(
    recovery: Predictor,
    source: PoseSource,
    samples: int,
    seed: int,
    input_: str,
    drop_joints: int = 0,
    noise_scale: float = 1.0,
    body: AnnyBody | None = None,
) -> dict[str, Any]:
    """Errors in millimetres over people drawn from `source`, with cameras, shapes and noise of the default configs.

    Args:
        recovery: A model of the Anny body.
        source: The test poses.
        samples: How many people.
        seed: Decides them all.
        input_: `gt` or `noisy`.
        drop_joints: So many joints of each person are taken away at random.
        noise_scale: The size of `noisy` errors; see `datasets.synthetic.detection_noise.measured_noise`.
        body: The Anny body on the CPU, where there is one already: to build it takes seconds.

    Returns:
        Means over people. `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm`: pixels alone. `scaled_…`: after the
        best scale. `nominal_camera_…`: with intrinsics guessed from the size of the picture. `known_camera_…`,
        `known_height_…`, `known_both_…`: with intrinsics, with the standing height, with both. `spread_mm`: the
        standard error of `mpjpe_mm`, where there is more than one person.

    Raises:
        InputError: the model has another body, or more joints are to go than the model can do without.
    """
    from tqdm import tqdm

    from pose2mesh.body_models import anny
    from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
    from pose2mesh.datasets.synthetic.detection_noise import measured_noise

    joint_set = recovery.joint_set
    most = len(joint_set) - len(joint_set.derived) - LEAST_JOINTS
    if drop_joints > most:
        raise InputError(f"--drop-joints {drop_joints}: expected at most {most} for joint set {joint_set.name!r}")
    body = body or anny.AnnyBody()
    if len(recovery.template) != len(body.template):
        name, body_name = recovery.info.name, recovery.info.body
        raise InputError(f"model {name!r} is of body {body_name!r}; clips are posed as 'anny', so it must be of that")
    synthesiser = BodySynthesiser(body, joint_set, None)
    config = SyntheticConfig(views=1)
    noise = measured_noise(input_, joint_set, noise_scale)
    generator = torch.Generator().manual_seed(seed)
    regressor = body.regressor(joint_set).double()  # the sum of a long row is off by 1e-5 m in single precision
    onlooker = None
    if recovery.looks:
        from pose2mesh.baselines.learned_backend import LearnedBackend

        assert isinstance(recovery.backend, LearnedBackend)
        onlooker = recovery.backend.onlooker(source, input_)
    errors: dict[str, list[torch.Tensor]] = {}
    for start in tqdm(range(0, samples, PART), desc="evaluating", unit="part", disable=None):
        count = min(PART, samples - start)
        with torch.no_grad():
            people = sample_people(count, source, synthesiser, config, generator)
            batch = detect(people, joint_set, noise, generator)
            vertices = people.cameras.to_camera(body(people.phenotypes, people.orientations))
            joints = (regressor @ vertices.double()).float()
            truth = BodyPoints(joints, vertices)
            heights = body.stature(people.phenotypes).numpy()
        pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
        if drop_joints:
            pixels, confidence = take_away(pixels, confidence, drop_joints, seed + start, joint_set)
        shown = None
        if onlooker is not None:
            shown = onlooker.show(people, torch.from_numpy(pixels), torch.from_numpy(confidence), start // PART, seed)
        sizes = [(int(width), int(height)) for width, height in people.cameras.size_px]
        nominal = [nominal_intrinsics(size) for size in sizes]
        for name, intrinsics in (
            ("", None),
            ("nominal_camera_", nominal),
            ("known_camera_", people.cameras.intrinsics()),
        ):
            found_joints, found_vertices = recovery.run(pixels, confidence, intrinsics, shown)
            found = BodyPoints(torch.from_numpy(found_joints), torch.from_numpy(found_vertices))
            _collect(errors, name, found, truth, joint_set)
            if intrinsics is nominal:
                continue
            statures = np.array([recovery.stature(person) for person in found_joints])
            if np.isfinite(statures).all():
                factor = torch.from_numpy(heights / statures)[:, None, None].float()
                sized = "known_both_" if name else "known_height_"
                resized = BodyPoints(found.joints * factor, torch.from_numpy(found_vertices) * factor)
                _collect(errors, sized, resized, truth, joint_set)
    results: dict[str, Any] = {"model": recovery.info.name, "samples": samples, "seed": seed, "input": input_}
    results |= {"dropped_joints": drop_joints, "noise_scale": noise_scale}
    results |= {f"{name}_mm": float(1000 * torch.cat(values).mean()) for name, values in errors.items()}
    if samples > 1:
        per_person = torch.cat(errors["mpjpe"])
        results["spread_mm"] = float(1000 * per_person.std() / samples**0.5)
    return results


def _collect(
    errors: dict[str, list[torch.Tensor]],
    prefix: str,
    prediction: BodyPoints,
    ground_truth: BodyPoints,
    joint_set: JointSet,
) -> None:
    """Append a batch's errors in metres to `errors`, by name.

    Errors after alignment or scaling only without a `prefix`: they do not depend on the camera or the height.
    """
    measures: tuple[Measure, ...] = ("mpjpe", "mpvpe") if prefix else ALL_MEASURES
    for name, values in compute_errors(prediction, ground_truth, joint_set, measures).items():
        errors.setdefault(prefix + name, []).append(values)


def take_away(
    pixels: NDArray[np.floating], confidence: NDArray[np.floating], count: int, seed: int, joint_set: JointSet
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Make `count` joints of each person missing at random; joints derived from a missing one go with it.

    Args:
        pixels, confidence: (B, J, 2) and (B, J); changed copies are returned.
        count: How many of the joints that are not derived.
        seed: Decides which.
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
