"""The command line. Each command imports what it needs when it runs, so that `--help` answers at once.

Bad input ends with one line on standard error and status 2; with several inputs the good ones are still done, status 1.
What was done goes to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.cli.crawl import crawl
from pose2mesh.cli.data import data
from pose2mesh.cli.robustness import robustness
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.extras import not_installed

app = App(
    name="pose2mesh",
    help="From a 2D human pose to a 3D human mesh.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)

# Those whose options stand in the folder of what they run.
app.command(data)
app.command(robustness)
app.command(crawl)

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
    backend: Literal["torch", "onnx"] = "torch",
    formats: str | None = None,
    detector: Literal["auto", "mediapipe", "rtmpose"] = "auto",
    detector_model: Annotated[list[Path] | None, Parameter(negative="")] = None,
    offline: Annotated[bool, Parameter(negative="")] = False,
    smooth: Literal["one-euro", "off"] = "one-euro",
    fps: float | None = None,
    video: Path | None = None,
    overlay: str = "mesh,joints",
) -> int:
    """Recover a body mesh for every person of each input.

    Parameters
    ----------
    inputs
        Photos, folders of photos, and videos, whose people are detected; COCO keypoint JSON (annotations or results),
        OpenPose JSON file or folder, .npy or .npz of (J, 2|3) or (P, J, 2|3).
    out
        Folder for the results, made if need be; files of the same name are replaced.
    model
        `default`, a bundle file or run folder, a file that `export` wrote, or a method of the literature by name:
        smplify, smplify-started, arnab; lassner, pavlakos, nbf, hmr, graphcmr, spin, retrained, which look at the
        photo.
    joints
        Order of the joints in arrays: coco, human36, smpl, hand, openpose25 or mediapipe33.
    image
        The photo, or the folder of photos (matched by file name), to draw over, and for methods that look at it; a
        scaled copy will do.
    intrinsics
        FX,FY,CX,CY of the camera in pixels: gives full perspective. `nominal` guesses them from the photo's size, for
        photos that are not cropped.
    height
        Standing height of the people in metres; a 2D pose does not tell it.
    device
        cpu or cuda.
    backend
        What runs the networks: torch or onnx. Exported files are always run by onnx.
    formats
        What to write, separated by commas. Of pictures: obj, glb, json, npz, overlay (these if nothing is said), ply,
        html (a page with a 3D view), rig. Of videos: mp4 (or overlay), glb, bvh, rig, npz, json (these if nothing
        is said), html. rig lays the body model on everyone and puts its pose, shape and measurements into json and npz.
    detector
        What finds people in photos; an extra of the install. Its model is downloaded on first use.
    detector_model
        A model file of the detector in place of the download; give the option again for a second file.
    offline
        Download nothing.
    smooth
        How the people of videos are steadied over time.
    fps
        Frames a second: the input is keypoints of a video's frames (OpenPose folder, COCO file, array (T, J, 2|3)).
    video
        The video whose keypoints the input is, to draw over; tells the frames a second, too.
    overlay
        What overlays show, separated by commas: mesh, joints, confidences; side and top views beside the picture.
    """
    if not inputs:
        raise InputError("predict: at least one input is needed")
    from pose2mesh.pipelines.image_pipeline import predict_files
    from pose2mesh.pipelines.options import PredictOptions

    files = tuple(detector_model or ())
    options = PredictOptions.checked(
        out, joints, image, intrinsics, height, formats, detector, files, offline, smooth != "off", fps, video, overlay
    )
    return predict_files(list(inputs), model, device, options, say, warn, backend)


@app.command
def serve(
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    model: str = "default",
    backend: Literal["torch", "onnx"] = "torch",
    detector: Literal["auto", "mediapipe", "rtmpose"] = "auto",
    detector_model: Annotated[list[Path] | None, Parameter(negative="")] = None,
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Open an app in the browser, and an HTTP API, that recover people from photos and keypoints.

    Parameters
    ----------
    port
        To listen at; 0 takes one that is free.
    host
        The address to listen at: this machine alone, or 0.0.0.0 for all who reach it.
    model
        `default`, a bundle file, or a file that `export` wrote.
    backend
        What runs the networks: torch or onnx.
    detector
        What finds people in photos; an extra of the install. Its model is downloaded when the app starts.
    detector_model
        A model file of the detector in place of the download; give the option again for a second file.
    offline
        Download nothing.
    """
    try:
        from pose2mesh.server import server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "h11"):
            raise
        raise InputError(f"serve: {not_installed(error.name, 'serve')}") from error
    files = tuple(detector_model or ())
    return server.serve(host, port, model, backend, detector, files, offline, say, warn)


@app.command
def train(
    config: Path | None = None,
    /,
    *,
    set_: Set = None,
    resume: Path | None = None,
    out: Path | None = None,
    find_batch: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train Pose2Mesh or a baseline from a YAML config, or go on with an interrupted run.

    More than one device: start it with torchrun.

    Parameters
    ----------
    config
        The YAML file; not needed with --resume.
    set_
        key=value that overrides the config; several may follow.
    resume
        The folder (or last.ckpt) of an interrupted run, which goes on with its own config, from within an epoch too.
    out
        Run folder; runs/NAME, or the one that is resumed, by default.
    find_batch
        Train nothing; say the largest batch_size (a power of two) that this machine's memory holds.
    """
    if config is None and resume is None:
        raise InputError("train: a config file or --resume is needed")
    from pose2mesh.config.train_config import TrainConfig
    from pose2mesh.io.interrupts import Interrupted
    from pose2mesh.training import loop
    from pose2mesh.training import resume as resumed
    from pose2mesh.training.distributed import Processes
    from pose2mesh.training.memory import keep_freed_memory
    from pose2mesh.training.run_config import load_any, override_any

    if find_batch and (config is None or resume is not None):
        raise InputError("--find-batch: goes with a config file and without --resume")
    checkpoint = None
    if resume is None:
        assert config is not None
        settings = load_any(config, set_)
    else:
        old, checkpoint = resumed.resume_config(resume)
        settings = override_any(old, set_ or []) if config is None else load_any(config, set_)
        resumed.refuse_changes(resume, old, settings)
        out = out or checkpoint.parent
    keep_freed_memory()
    if find_batch:
        if not isinstance(settings, TrainConfig):
            raise InputError(f"--find-batch: {config} is of a baseline, whose batches have one size")
        from pose2mesh.training.batch_size import largest_batch

        say(f"batch_size={largest_batch(settings)}")
        return 0
    first = Processes.found().first  # of those that torchrun started: the one that speaks
    try:
        bundle = loop.train(settings, out or Path("runs") / settings.name, checkpoint, say)
    except Interrupted as interrupted:
        if first:
            warn(f"pose2mesh: {interrupted}")
        return interrupted.status
    if first:
        say(str(bundle))
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
    protocol: str | None = None,
    samples: int | None = None,
    seed: int = 7,
    input_: Annotated[Literal["gt", "noisy", "detected"], Parameter(name="--input")] = "gt",
    drop_joints: int = 0,
    noise_scale: float = 1.0,
    on_fault: Literal["raise", "skip"] | None = None,
    set_: Set = None,
    device: Device = "cpu",
    report: Path | None = None,
) -> int:
    """Measure a model on data sets by their protocols, on motion clips, or on photos' keypoints and silhouettes.

    Parameters
    ----------
    model
        As `predict` takes it.
    data
        A training config: the test part of its data sets is used, or its validation clips where it has none.
    motions
        A folder of BVH clips, all of which are used.
    keypoints
        A COCO annotation file, with --images: reports OKS and silhouette IoU.
    images
        The folder of its photos.
    protocol
        How the data set is tested: human36m-p1, human36m-p2, human36m-frontal, 3dpw, surreal or freihand; the usual one
        of the data set that the config validates on by default.
    samples
        People drawn: 4000 from clips and everyone of a data set by default.
    seed
        Decides people, cameras and errors.
    input_
        gt: true or labelled 2D joints; noisy: with synthesised detector errors; detected: that come with a data set.
    drop_joints
        Take away so many joints of each person in the clips, at random.
    noise_scale
        Size of the errors of --input noisy in the clips, 1 for that of a detector of COCO's joints.
    on_fault
        skip goes on without the entries of a data set that cannot be used; by default as the config says.
    set_
        key=value that overrides the config of --data; several may follow.
    device
        cpu or cuda.
    report
        JSON file for the results; of a data set, the tables go beside it as Markdown.
    """
    from pose2mesh.evaluation.evaluator import EvaluateOptions, evaluate_model
    from pose2mesh.inference.predictor import Predictor

    options = EvaluateOptions(
        data, motions, keypoints, images, samples, seed, input_, drop_joints, noise_scale, report, protocol,
        on_fault, tuple(set_ or ()),
    )  # fmt: skip
    options.check()
    evaluate_model(Predictor.load(model, device), options, say)
    return 0


@app.command
def info(model: str = "default", /) -> int:
    """Say what a bundle is: sizes, joint set, data, licence, measured errors.

    Parameters
    ----------
    model
        `default` or a bundle file.
    """
    from pose2mesh.cli.info import describe_bundle

    say(describe_bundle(model))
    return 0


@app.command
def export(model: str = "default", /, *, onnx: Path) -> int:
    """Write a model as one ONNX file, for `predict` without PyTorch; its answers are compared with PyTorch's first.

    Parameters
    ----------
    model
        `default` or a bundle file.
    onnx
        The file, ending in .onnx.
    """
    from pose2mesh.inference.onnx_export import export_onnx

    say(export_onnx(model, onnx))
    return 0


@app.command
def convert(checkpoint: Path, /, *, config: Path, out: Path) -> int:
    """Turn a checkpoint published with the reference implementation into a bundle; nothing in the file is run.

    Parameters
    ----------
    checkpoint
        The .pth.tar file of its PoseNet or whole network.
    config
        A training config: joint set, sizes, and with `stage` what is converted.
    out
        The bundle.
    """
    from pose2mesh.training.convert_checkpoint import convert_checkpoint

    say(str(convert_checkpoint(checkpoint, config, out)))
    return 0


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
        warn(f"pose2mesh: {one_line(error)} See --help.")
    except InputError as error:
        warn(f"pose2mesh: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "pose2mesh":
            raise
        warn(f"pose2mesh: {not_installed(error.name, 'train')}")
    except KeyboardInterrupt:
        warn("pose2mesh: interrupted")
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
