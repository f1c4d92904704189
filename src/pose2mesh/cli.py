"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once.

Bad input ends with one line on standard error and status 2; with several inputs the good ones are still done, status 1.
What was done goes to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from pose2mesh.errors import InputError, one_line

app = App(
    name="pose2mesh",
    help="From a 2D human pose to a 3D human mesh.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)

Set = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=True)]
Device = Literal["cpu", "cuda"]


@app.command
def predict(
    *inputs: Path,
    out: Path = Path("pose2mesh_out"),
    model: str = "default",
    joints: str = "coco",
    image: Path | None = None,
    intrinsics: str | None = None,
    height: float | None = None,
    device: Device = "cpu",
    formats: str = "obj,glb,json,npz,overlay",
) -> int:
    """Recover a body mesh for every person of each input.

    Parameters
    ----------
    inputs
        COCO keypoint JSON (annotations or results), OpenPose JSON file or folder, .npy or .npz of (J, 2|3) or
        (P, J, 2|3).
    out
        Folder for the results, made if need be; files of the same name are replaced.
    model
        `default`, or a bundle file.
    joints
        Order of the joints in arrays: coco, human36, smpl, openpose25 or mediapipe33.
    image
        The photo, or the folder of photos (matched by file name), to draw over; a scaled copy will do.
    intrinsics
        FX,FY,CX,CY of the camera in pixels: gives full perspective.
    height
        Standing height of the people in metres; a 2D pose does not tell it.
    device
        cpu or cuda.
    formats
        What to write: obj, glb, json, npz, ply, overlay, separated by commas.
    """
    if not inputs:
        raise InputError("predict: at least one input is needed")
    from pose2mesh.outputs import PredictOptions, predict_files

    options = PredictOptions.checked(out, joints, image, intrinsics, height, formats)
    return predict_files(list(inputs), model, device, options, _say, _warn)


@app.command
def train(
    config: Path | None = None,
    /,
    *,
    set_: Set = None,
    resume: Path | None = None,
    out: Path | None = None,
) -> int:
    """Train from a YAML config, or go on with an interrupted run.

    Parameters
    ----------
    config
        The YAML file; not needed with --resume.
    set_
        key=value that overrides the config; several may follow.
    resume
        The folder (or last.ckpt) of an interrupted run, which goes on with its own config.
    out
        Run folder; runs/NAME, or the one that is resumed, by default.
    """
    if config is None and resume is None:
        raise InputError("train: a config file or --resume is needed")
    if config is None and set_:
        raise InputError(f"--set {set_[0]}: goes with a config file; a run that is resumed keeps its own config")
    from pose2mesh.config import load_config
    from pose2mesh.training import run

    wanted = None if config is None else load_config(config, set_)
    checkpoint = None
    if resume is not None:
        settings, checkpoint = run.resume_config(resume)
        if wanted not in (None, settings):
            raise InputError(f"--resume {resume}: {config} is not the config of that run; leave it out, or start anew")
        out = out or checkpoint.parent
    else:
        assert wanted is not None
        settings = wanted
    _say(str(run.train(settings, out or Path("runs") / settings.name, checkpoint)))
    return 0


@app.command
def evaluate(
    model: str = "default",
    /,
    *,
    data: Path | None = None,
    motions: Path | None = None,
    keypoints: Path | None = None,
    images: Path | None = None,
    samples: int = 4000,
    seed: int = 7,
    input_: Annotated[Literal["gt", "noisy", "detected"], Parameter(name="--input")] = "gt",
    drop_joints: int = 0,
    device: Device = "cpu",
    report: Path | None = None,
) -> int:
    """Measure a model's errors on motion clips, or how its meshes meet photos' keypoints and silhouettes.

    Parameters
    ----------
    model
        `default`, a bundle file or a run folder.
    data
        A training config, whose validation clips are used.
    motions
        A folder of BVH clips, all of which are used.
    keypoints
        A COCO annotation file, with --images: reports OKS and silhouette IoU.
    images
        The folder of its photos.
    samples
        People drawn from the clips.
    seed
        Decides people, cameras and errors.
    input_
        gt: true or labelled 2D joints; noisy: with synthesised detector errors; detected: not yet available.
    drop_joints
        Take away so many joints of each person in the clips, at random.
    device
        cpu or cuda.
    report
        JSON file for the results.
    """
    from pose2mesh.evaluate import EvaluateOptions, evaluate_command

    options = EvaluateOptions(data, motions, keypoints, images, samples, seed, input_, drop_joints, report)
    evaluate_command(model, device, options, _say)
    return 0


@app.command
def info(model: str = "default", /) -> int:
    """Say what a bundle is: sizes, joint set, data, licence, measured errors.

    Parameters
    ----------
    model
        `default` or a bundle file.
    """
    from pose2mesh.describe import describe_bundle

    _say(describe_bundle(model))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Entry point: runs a command and turns what a user can put right into one line and status 2."""
    try:
        status = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        return status if isinstance(status, int) else 0
    except CycloptsError as error:
        _warn(f"pose2mesh: {one_line(error)} See --help.")
    except InputError as error:
        _warn(f"pose2mesh: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "pose2mesh":
            raise
        _warn(f"pose2mesh: {error.name} is not installed; `pip install pose2mesh[train]` brings it")
    except KeyboardInterrupt:
        _warn("pose2mesh: interrupted")
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
