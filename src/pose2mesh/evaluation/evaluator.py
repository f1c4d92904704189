"""Evaluation of a model as `pose2mesh evaluate` runs it: choose the test by the options, run it, write the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pose2mesh.errors import InputError
from pose2mesh.evaluation.evaluate_options import EvaluateOptions
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.mesh_files import write_json

if TYPE_CHECKING:  # each test imports its own requirements: images need neither a body model nor the training extra
    from pose2mesh.config.train_config import TrainConfig

DEFAULT_SYNTHETIC_SAMPLES = 4000


def evaluate_model(predictor: Predictor, options: EvaluateOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Evaluate a model on the test that the options select; print the results and write the report.

    Args:
        predictor: The model.
        options: The test; `EvaluateOptions.check` has passed.
        say: Prints a line of results.

    Returns:
        The report.

    Raises:
        InputError: the model does not fit the test, or a file of the test cannot be used.
    """
    config = None
    if options.data is not None:
        from pose2mesh.config.train_config import load_config

        config = load_config(options.data, list(options.overrides))
    if config is not None and config.data.sets:
        return _evaluate_dataset(predictor, config, options, say)
    if options.keypoints is not None and options.images is not None:
        from pose2mesh.evaluation.image_metrics import evaluate_keypoints

        results = evaluate_keypoints(predictor, options.keypoints, options.images, refine=options.refine)
    else:
        results = _evaluate_clips(predictor, config, options)
    if options.report is not None:
        write_json(options.report, results, decimals=3)
    for name, value in results.items():
        if name == "kinds":
            continue
        digits = 1 if name.endswith("_mm") else 3
        say(f"{name:28} {value:.{digits}f}" if isinstance(value, float) else f"{name:28} {value}")
    if "kinds" in results:
        from pose2mesh.evaluation.motion_kinds import kinds_table

        say(kinds_table(results))
    return results


def _evaluate_clips(predictor: Predictor, config: TrainConfig | None, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate on synthetic samples posed by the clips of a folder, or by the validation poses of a config."""
    from pose2mesh.datasets.synthetic.pose_sources import clip_poses, pose_sources, unchanged_poses
    from pose2mesh.evaluation.motion_kinds import validation_clips
    from pose2mesh.evaluation.synthetic_chunks import SyntheticTest
    from pose2mesh.evaluation.synthetic_evaluator import evaluate_kinds

    kinds = {}
    if config is None:
        assert options.motions is not None
        kinds[""] = clip_poses(options.motions)
    else:
        if options.protocol or options.input_ == "detected":
            option = f"--protocol {options.protocol}" if options.protocol else "--input detected"
            raise InputError(f"{option}: is for data sets, and {options.data} has none in data.sets")
        if options.clips or (config.data.motions is not None and config.data.split is not None):
            clips = validation_clips(config.data, options.clips)
            kinds = {kind: unchanged_poses(of_kind) for kind, of_kind in clips.items()}
        else:
            kinds[""] = pose_sources(config.data)[1]
    test = SyntheticTest(
        options.samples or DEFAULT_SYNTHETIC_SAMPLES,
        options.seed,
        options.input_,
        options.drop_joints,
        options.noise_scale,
        options.refine,
        options.camera,
    )
    return evaluate_kinds(predictor, kinds, test)


def _evaluate_dataset(
    predictor: Predictor, config: TrainConfig, options: EvaluateOptions, say: Callable[[str], None]
) -> dict[str, Any]:
    """Evaluate on a data set of a config; write the results as JSON and as tables beside the published results."""
    from pose2mesh.evaluation.dataset_evaluator import evaluate_records, open_test
    from pose2mesh.evaluation.published_results import report_tables

    if options.drop_joints:
        raise InputError("--drop-joints: is for clips, not for data sets")
    if options.clips:
        raise InputError("--clips: is for motion clips, not for data sets")
    if options.noise_scale != 1:
        raise InputError("--noise-scale: is for clips, not for data sets")
    test = open_test(
        config.data, str(options.data), predictor.joint_set, options.protocol, options.input_, options.on_fault
    )
    results: dict[str, Any] = {"model": predictor.info.name, "protocol": test.protocol.name, "seed": options.seed}
    results |= {"input": options.input_, "data_set": test.records.schema.name}
    if options.input_ == "detected" and test.member.config.detections is not None:
        results["detections"] = test.member.config.detections
    results |= evaluate_records(
        predictor, test.records, test.body, test.protocol, options.input_, options.samples, options.seed
    )
    results["faults"] = test.records.faults
    tables = report_tables(test.protocol, results)
    if options.report is not None:
        write_json(options.report, results, decimals=3)
        with replacing(options.report.with_suffix(".md")) as partial:
            partial.write_text(tables + "\n", encoding="utf-8")
    say(tables)
    return results
