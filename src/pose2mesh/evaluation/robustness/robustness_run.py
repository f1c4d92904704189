"""`pose2mesh robustness`: measure a model on the given sample sets and write the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.errors import InputError
from pose2mesh.evaluation.robustness.generalization_gap import measure_gap, verdict
from pose2mesh.evaluation.robustness.measure import Meter
from pose2mesh.evaluation.robustness.report import write_report
from pose2mesh.evaluation.robustness.robustness_options import RobustnessOptions
from pose2mesh.evaluation.robustness.sample_sets import Role, SampleSet, from_clips, from_keypoints
from pose2mesh.inference.predictor import Predictor

Say = Callable[[str], None]


def measure_robustness(predictor: Predictor, model: str, options: RobustnessOptions, say: Say) -> None:
    """Measure a model on every sample set of the options and write the report.

    Args:
        predictor: The model.
        model: Name or file of the model, for the command line printed in the report.
        options: Sample sets and output; `RobustnessOptions.check` has passed.
        say: Prints a line of progress or results.

    Raises:
        InputError: a file cannot be used, or the report cannot be written.
    """
    own: list[SampleSet] = []
    folders: Sequence[Path | None] = options.images or [None] * len(options.keypoints)
    for (name, file), folder in zip(options.named_files(), folders, strict=True):
        own.append(from_keypoints(name, file, folder, predictor.joint_set, options.samples, options.seed))
    parts: list[tuple[str, Role, list]] = []
    if options.motions is not None:
        clips = load_clips(options.motions)
        if options.split is None:
            parts = [("clips", "clips", clips)]
        else:
            train, validation = load_split(options.split, clips)
            parts = [("training clips", "train", train), ("validation clips", "validation", validation)]
    body = default_body()
    synthesiser = BodySynthesiser(body, predictor.joint_set, None)
    meter = Meter(predictor, body, synthesiser)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {options.out}: cannot be made ({error.strerror})") from error
    measured = []
    for name, role, chosen in parts:
        people = from_clips(name, role, chosen, body, synthesiser, options.samples, options.seed)
        measured.append(meter(people, options.seed, say))
    measured += [meter(people, options.seed, say) for people in own]
    gap, compared = None, None
    if len(parts) == 2:
        say("training and validation clips: the gap")
        train_errors, validation_errors = (meter.of_clips(chosen, options.seed) for *_, chosen in parts)
        compared = train_errors, validation_errors
        gap = measure_gap(train_errors, validation_errors, options.seed)
    try:
        write_report(options.out, predictor, _command_line(model, options), measured, gap, compared, options.seed)
    except OSError as error:
        raise InputError(f"{options.out}: the report cannot be written ({error.strerror or error})") from error
    say(verdict(gap))
    say(str(options.out / "report.html"))


def _command_line(model: str, options: RobustnessOptions) -> str:
    """Command line that makes the report again, without folders of paths, since reports are passed on."""
    words = ["pose2mesh", "robustness", Path(model).name if Path(model).exists() else model]
    if options.motions is not None:
        words += ["--motions", options.motions.name]
    if options.split is not None:
        words += ["--split", options.split.name]
    for index, (name, file) in enumerate(options.named_files()):
        words += ["--keypoints", f"{name}={file.name}"]
        if options.images:
            words += ["--images", options.images[index].name]
    words += ["--samples", str(options.samples), "--seed", str(options.seed), "--out", options.out.name]
    return shlex.join(words)
