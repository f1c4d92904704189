"""Errors of single views of one real person, against joints triangulated from all calibrated views.

    python benchmarks/multiview.py FOLDER [--detector auto] [--model default] [--baselines] [--frames N]
        [--as-calibrated] [--cache FOLDER] [--json FILE]

FOLDER holds films of the same frames and a Qualisys calibration (`*.qca.txt`) whose cameras are named as the films.
BlazePose finds the largest person in each frame by itself: this gives the ground truth by triangulation, and its own 3D
landmarks, the reference. Then each film is recovered as `pose2mesh predict FILM` does it, with its detector, tracks,
smoothing and fitted body, and with other options and models. Errors in mm, of the joints of COCO below the head,
relative to the middle of the hips, means of the views; acceleration in mm/frame². Detections are kept in the cache
folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.baselines.registry import FITTING_METHODS, LEARNED_METHODS, PRETRAINING
from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.datasets.readers.qualisys import read_qualisys
from pose2mesh.detectors.blazepose.blazepose_detector import BlazePoseDetector
from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.evaluation.multiview import COLUMNS, JOINTS, MultiviewTruth, triangulate_person, view_bias, view_errors
from pose2mesh.geometry.triangulation import CalibratedCamera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.model_zoo import load_model
from pose2mesh.motion.person_fitting import load_rig
from pose2mesh.motion.smoothing import Floats, smooth
from pose2mesh.pipelines.predict_options import PredictOptions
from pose2mesh.pipelines.video.frame_detections import FrameDetections
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_pipeline import recover_video

REFERENCE = "BlazePose's 3D landmarks"


@dataclass(frozen=True, eq=False)
class View:
    """One film.

    Attributes:
        path: The film.
        camera: Its calibration.
        fps: Frames per second.
        joints_px, confidence, joints3d_m: (T, 17, 2), (T, 17) and (T, 17, 3) of the largest person that BlazePose finds
            in each frame; confidence 0, and NaN in 3D, where there is none.
    """

    path: Path
    camera: CalibratedCamera
    fps: float
    joints_px: Floats
    confidence: Floats
    joints3d_m: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--model", default="default")
    parser.add_argument("--baselines", action="store_true", help="also every baseline of the package")
    parser.add_argument("--frames", type=int, help="only the first frames of each film, for a quick look")
    parser.add_argument("--as-calibrated", action="store_true", help="estimate no shift of the views")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "pose2mesh_multiview")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    views = list(read_views(options))
    truth = triangulate_person(
        [view.camera for view in views],
        np.stack([view.joints_px for view in views]),
        np.stack([view.confidence for view in views]),
        shift=not options.as_calibrated,
    )
    report: dict[str, Any] = {"truth": truth.exactness(), "shift_px": truth.shift_px.tolist(), "rows": {}, "bias": {}}
    print(describe_truth(views, truth), flush=True)
    print(f"\n| {'':36} | {' | '.join(COLUMN_TITLES)} |\n|---|{'---:|' * len(COLUMN_TITLES)}")
    reference: dict[str, float] | None = None
    for name, predictions in methods(views, options):
        row = mean_row(predictions, truth)
        reference = row if name == REFERENCE else reference
        report["rows"][name] = row
        report["bias"][name] = [view_bias(each, truth.in_camera(index)) for index, each in enumerate(predictions)]
        print(format_row(name, row, reference), flush=True)
    for name in (REFERENCE, "predict"):
        if name in report["bias"]:
            print(describe_bias(name, report["bias"][name]))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))


def read_views(options: argparse.Namespace) -> Iterator[View]:
    """The films of the folder, and the largest person of each frame.

    Raises:
        InputError: no calibration, or a camera without a film.
    """
    files = sorted(options.folder.glob("*.qca.txt"))
    if len(files) != 1:
        raise InputError(f"{options.folder}: holds {len(files)} files *.qca.txt, expected one calibration")
    blazepose = BlazePoseDetector(scales=())  # on whole images, as MediaPipe runs it
    options.cache.mkdir(parents=True, exist_ok=True)
    for camera in read_qualisys(files[0]):
        path = options.folder / f"{camera.name}.mp4"
        video, kept = Video(path), options.cache / f"{camera.name}.npz"
        if not kept.exists():
            np.savez(kept, **detect_largest(blazepose, video))
        with np.load(kept) as found:
            arrays = {name: found[name][: options.frames] for name in found.files}
        yield View(path, camera, float(video.rate), **arrays)


def detect_largest(detector: Detector, video: Video) -> dict[str, Floats]:
    """The arrays of `View`: the largest person of each frame, detected in that frame alone."""
    people = [largest(detector(image)) for image in video.frames()]
    T = len(people)
    joints_px, confidence = np.zeros((T, 17, 2), np.float32), np.zeros((T, 17), np.float32)
    joints3d_m = np.full((T, 17, 3), np.nan, np.float32)
    for frame, person in enumerate(people):
        if person is not None:
            joints_px[frame], confidence[frame] = person.joints_px, person.confidence
            joints3d_m[frame] = np.nan if person.joints3d_m is None else person.joints3d_m
    return {"joints_px": joints_px, "confidence": confidence, "joints3d_m": joints3d_m}


def largest(people: list[Detection]) -> Detection | None:
    """The person with the largest box."""
    return max(people, key=lambda person: float(np.prod(person.box_px[2:] - person.box_px[:2])), default=None)


def methods(views: list[View], options: argparse.Namespace) -> Iterator[tuple[str, list[Floats]]]:
    """Names of methods, and their joints (T, 12, 3) in each camera frame."""
    landmarks = [view.joints3d_m[:, COLUMNS] for view in views]
    if all(np.isfinite(view).any() for view in landmarks):
        yield REFERENCE, landmarks
        yield (
            f"{REFERENCE}, smoothed",
            [smooth_present(view, each.fps) for view, each in zip(landmarks, views, strict=True)],
        )
    detector, default = load_detector(options.detector), load_model(options.model)
    for name, given in (
        ("predict", {}),
        ("predict --smooth off", {"smooth": "off"}),
        ("predict --intrinsics (calibrated)", {"intrinsics": "calibrated"}),
        ("predict --intrinsics nominal", {"intrinsics": "nominal"}),
        ("predict --intrinsics none", {"intrinsics": "none"}),
    ):
        yield name, [predict(default, detector, view, given, options) for view in views]
    yield (
        "predict without 3D landmarks",
        [predict(without_depth(default), detector, view, {}, options) for view in views],
    )
    if options.baselines:
        for name in (*FITTING_METHODS, *LEARNED_METHODS):
            if name != PRETRAINING:
                model = load_model(name)
                yield f"predict --model {name}", [predict(model, detector, view, {}, options) for view in views]


def without_depth(predictor: Predictor) -> Predictor:
    """The same model without the merging of 3D joints that the detector estimated."""
    without = copy.copy(predictor)
    without.backend = copy.copy(predictor.backend)
    without.backend.takes_joints3d = False  # type: ignore[union-attr]
    return without


def smooth_present(joints: Floats, fps: float) -> Floats:
    """Joints (T, J, 3) smoothed as tracks are; NaN stays NaN."""
    out, found = np.array(joints), np.isfinite(joints).all((1, 2))
    out[found] = smooth(joints[found], fps)
    return out


def predict(
    predictor: Predictor, detector: Detector, view: View, given: dict[str, str], options: argparse.Namespace
) -> Floats:
    """Joints (T, 12, 3) that `pose2mesh predict FILM` gives for the largest person of each frame; NaN for none."""
    if given.get("intrinsics") == "calibrated":
        given = {
            **given,
            "intrinsics": ",".join(map(str, (*view.camera.intrinsics.numbers, *view.camera.intrinsics.distortion))),
        }
    chosen = PredictOptions(**given)  # type: ignore[arg-type]
    source = VideoInput(view.path.stem, view.path, view.path, None, None)
    asked = VideoOptions(
        options.cache,
        (),
        "coco",
        chosen.camera,
        None,
        chosen.smooth != "off",
        options.detector,
        chosen.overlay_parts,
    )
    frames = FrameDetections(predictor.joint_set, Video(view.path), detector, None, None)
    # The detections that an earlier call left there are reused, the bodies are not.
    work = options.cache / f"{options.detector}-{predictor.joint_set.name}-{view.path.stem}"
    work.mkdir(exist_ok=True)
    shutil.rmtree(work / "people", ignore_errors=True)
    rig = load_rig(predictor.joint_set.name) if predictor.info.body == DEFAULT_BODY else None
    result = recover_video(source, asked, predictor, frames, rig, work, lambda line: None)
    columns = [predictor.joint_set.names.index(name) for name in JOINTS]
    out = np.full((len(view.joints_px), len(JOINTS), 3), np.nan, np.float32)
    for frame in range(len(out)):
        people = [visible.person for visible in result.at(frame)]
        if people:
            area = extents(*(np.stack([getattr(one, name) for one in people]) for name in ("joints_px", "confidence")))
            out[frame] = people[int(area.argmax())].joints[columns]
    return out


def extents(joints_px: Floats, confidence: Floats) -> NDArray[np.floating]:
    """Area (N,) of the box around joints (N, J, 2) that were detected."""
    shown = np.where(confidence[..., None] > 0, joints_px, np.nan)
    return np.asarray((np.nanmax(shown, 1) - np.nanmin(shown, 1)).prod(-1))


COLUMN_TITLES = ("MPJPE", "of 3D landm.", "scaled", "PA-MPJPE", "of 3D landm.", "accel.", "MPJPE*", "PA*", "missing")


def mean_row(predictions: list[Floats], truth: MultiviewTruth) -> dict[str, float]:
    """Means over the views of the errors, and of those in frames where the view does not confuse left and right."""
    rows = []
    for view, prediction in enumerate(predictions):
        errors = view_errors(prediction, truth.in_camera(view))
        straight = view_errors(prediction, truth.in_camera(view), ~truth.exchanged[view])
        rows.append({**errors, "straight_mpjpe": straight["mpjpe"], "straight_pa_mpjpe": straight["pa_mpjpe"]})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def format_row(name: str, row: dict[str, float], reference: dict[str, float] | None) -> str:
    ratios = [row[key] / reference[key] if reference else float("nan") for key in ("mpjpe", "pa_mpjpe")]
    cells = [
        f"{row['mpjpe']:.1f}", f"{ratios[0]:.2f}", f"{row['scaled_mpjpe']:.1f}", f"{row['pa_mpjpe']:.1f}",
        f"{ratios[1]:.2f}", f"{row['acceleration']:.1f}", f"{row['straight_mpjpe']:.1f}",
        f"{row['straight_pa_mpjpe']:.1f}", f"{100 * row['missing']:.0f} %",
    ]  # fmt: skip
    return f"| {name:36} | {' | '.join(cells)} |"


def describe_truth(views: list[View], truth: MultiviewTruth) -> str:
    exact = truth.exactness()
    lines = [
        f"{len(views)} views, {len(truth.joints_m)} frames; truth: reprojection error {exact['error_px']:.1f} px in "
        f"the median, 90 % below {exact['error_p90_px']:.1f}; {100 * exact['left_out']:.0f} % of detections left out; "
        f"without one view joints move {exact['leave_one_out_mm']:.0f} mm (median "
        f"{exact['leave_one_out_median_mm']:.0f}); limb lengths vary by {exact['bone_spread_mm']:.0f} mm"
    ]
    lines += [
        f"{view.path.stem}: shift {shift.round(1).tolist()} px, left and right confused in {count} frames, "
        f"{100 * left_out:.0f} % left out"
        for view, shift, count, left_out in zip(
            views, truth.shift_px, truth.exchanged.sum(1), 1 - truth.used.mean((1, 2)), strict=True
        )
    ]
    return "\n".join([*lines, "* frames in which the view does not confuse left and right"])


def describe_bias(name: str, views: list[dict[str, list[float]]]) -> str:
    """Errors by joint and axis, means of the views, and scale and rotation of each view."""
    joints = np.mean([view["joints_mm"] for view in views], axis=0)
    axes = np.mean([view["axes_mm"] for view in views], axis=0)
    scales = ", ".join(f"{view['scale'][0]:.2f}" for view in views)
    rotations = ", ".join(str(np.round(view["rotation_deg"]).astype(int).tolist()) for view in views)
    lines = [
        f"\n{name}: mean absolute error x {axes[0]:.0f}, y {axes[1]:.0f}, depth {axes[2]:.0f} mm; best scale of the "
        f"views {scales}; rotations to the truth, degrees around x, y, z: {rotations}",
        ", ".join(f"{joint} {error:.0f}" for joint, error in zip(JOINTS, joints, strict=True)),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
