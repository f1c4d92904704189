"""Processes a video: detect, track, recover, write; an interrupted run resumes within each step.

Intermediate results lie in a hidden folder beside the output files, which is removed once these are written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pose2mesh.detectors.detection import Detector
from pose2mesh.errors import InputError
from pose2mesh.geometry.gravity import LEVEL_CAMERA, estimate_gravity
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import move_all, replacing
from pose2mesh.io.focal_length import FocalLength
from pose2mesh.pipelines.camera_choice import choose_intrinsics
from pose2mesh.pipelines.formats import VideoOutput, name_files, write_files, writers
from pose2mesh.pipelines.predict_options import AUTO
from pose2mesh.pipelines.video.body_track import BodyTrack, VideoConditions
from pose2mesh.pipelines.video.detection_store import DetectionStore
from pose2mesh.pipelines.video.frame_detections import FrameDetections, store_detections
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.frame_recovery import recover_from_frames
from pose2mesh.pipelines.video.keypoint_frames import KeypointFrames
from pose2mesh.pipelines.video.progress_bar import progress
from pose2mesh.pipelines.video.track_store import TrackStore, track_people
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_result import VideoResult

if TYPE_CHECKING:
    from pose2mesh.motion.person_fitting import Rig

_VERSION = 5  # version of the layout of the hidden folder


def predict_video(
    source: VideoInput,
    options: VideoOptions,
    predictor: Predictor,
    detector: Detector | None,
    rig: Rig | None,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Recover the people of a video and write the files.

    Args:
        source: The video.
        options: Output options.
        predictor: The model.
        detector: Detector of 2D poses; required without keypoints.
        rig: The Anny body, for models with that body.
        say: Callback for lines of results.
        warn: Callback for a line that states how much of a damaged file could be read.

    Raises:
        InputError: the input cannot be used, or the files cannot be written. Intermediate results are kept for the next
            run, unless the input cannot be used.
    """
    work = options.out / f".{source.stem}.pose2mesh-part"
    is_new = not options.out.exists()
    try:
        frame_detections = _open(source, options, predictor, detector)
        work.mkdir(parents=True, exist_ok=True)
        result = recover_video(source, options, predictor, frame_detections, rig, work, say)
        staging = work / "results"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        _write(staging, source.stem, options, result, frame_detections.video, rig)
        written = sorted(file.name for file in staging.iterdir())
        move_all(staging, options.out)
        shutil.rmtree(work)
    except OSError as error:
        raise InputError(f"--out {options.out}: cannot be written ({error.strerror or error})") from error
    except InputError as error:
        raise InputError(str(error).replace(str(work / "results"), str(options.out))) from error
    except KeyboardInterrupt:
        warn(f"pose2mesh: {source.path}: interrupted; the same command resumes from here")
        raise
    finally:
        if is_new:
            with suppress(OSError):  # not empty: it holds the results
                options.out.rmdir()
    say(f"{source.stem}: {len(result.people)} people in {result.frames} frames: {', '.join(written)}")
    if result.fault is not None:
        warn(f"pose2mesh: {source.path}: {result.fault}")


def _open(
    source: VideoInput, options: VideoOptions, predictor: Predictor, detector: Detector | None
) -> FrameDetections:
    video = None if source.video is None else Video(source.video)
    keypoints = None if source.keypoints is None else KeypointFrames(source.keypoints, options.joints)
    rate = None if source.fps is None else Fraction(source.fps).limit_denominator(1001)
    return FrameDetections(predictor.joint_set, video, detector, keypoints, rate)


def recover_video(
    source: VideoInput,
    options: VideoOptions,
    predictor: Predictor,
    frame_detections: FrameDetections,
    rig: Rig | None,
    work: Path,
    say: Callable[[str], None],
) -> VideoResult:
    """Recover the people of a video, with intermediate results in the folder `work`; existing results are reused.

    Raises:
        InputError: the input cannot be used; `work` is removed then.
    """
    _clear_if_changed(work, work / "seen.json", _detection_key(source, options, predictor))
    detections = DetectionStore(work, predictor.joint_set)
    if len(detections):
        say(f"{source.stem}: resuming after frame {len(detections) - 1}")
    expected = None if frame_detections.video is None else frame_detections.video.expected_frames
    try:
        with progress(source.stem, "detecting", expected) as step:
            rate, fault = store_detections(frame_detections, detections, work / "facts.json", step)
    except InputError:
        shutil.rmtree(work)
        raise
    _clear_if_changed(work / "people", work / "bodies.json", _recovery_key(source, options, predictor))
    tracks = track_people(detections, work / "people", float(rate), predictor.joint_set)
    stated = _stated_size(frame_detections) or options.image_size
    size = stated or _extent(tracks)
    focal = FocalLength() if frame_detections.video is None else frame_detections.video.focal_length
    if focal.fault is not None and options.intrinsics == AUTO:
        say(f"{source.stem}: {focal.fault}; it is ignored")
    intrinsics = choose_intrinsics(options.intrinsics, stated, focal.equivalent_mm, source.stem)
    conditions = VideoConditions(float(rate), size, intrinsics, options.height_m, options.smooth, options.refine)
    bodies = [BodyTrack(track, predictor, conditions) for track in tracks.people]
    total = sum(len(track) for track in tracks.people)
    if predictor.needs_image and frame_detections.video is not None:
        with progress(source.stem, "recovering", total) as step:
            recover_from_frames(bodies, frame_detections.video, step)
    with progress(source.stem, "recovering", total) as step:
        for body in bodies:
            body.finish(rig, step)
    gravity = LEVEL_CAMERA
    if options.upright:
        joints, confidence = zip(*(body.some_joints() for body in bodies), strict=True) if bodies else ((), ())
        gravity = estimate_gravity(joints, predictor.joint_set, confidence)
    return VideoResult(
        source.path.name, predictor, conditions, rate, len(detections), bodies, tracks.unclaimed, fault, gravity
    )


def _stated_size(frame_detections: FrameDetections) -> tuple[int, int] | None:
    """(width, height) of the frames, where the video or the keypoint file states it."""
    if frame_detections.video is not None:
        return frame_detections.video.size
    return frame_detections.keypoints.size if frame_detections.keypoints is not None else None


def _extent(tracks: TrackStore) -> tuple[int, int]:
    """(width, height) of an area that holds all joints, in place of an unknown image size."""
    width, height = np.ceil(1.1 * tracks.corner_px).astype(int).tolist()
    return width, height


def _detection_key(source: VideoInput, options: VideoOptions, predictor: Predictor) -> dict[str, Any]:
    """Description of all inputs that the detections depend on."""
    files = [path for path in (source.video, source.keypoints) if path is not None]
    stamps = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return {
        "version": _VERSION,
        "files": stamps,
        "fps": source.fps,
        "joints": options.joints,
        "detector": options.detector,
        "joint_set": predictor.joint_set.name,
    }


def _recovery_key(source: VideoInput, options: VideoOptions, predictor: Predictor) -> dict[str, Any]:
    """Description of all inputs that the recovered bodies depend on, besides the detections."""
    given = [str(options.intrinsics), options.height_m, options.smooth, options.refine, options.image_size]
    return {"model": asdict(predictor.info), "asked": given}


def _clear_if_changed(folder: Path, file: Path, content: dict[str, Any]) -> None:
    """Empty a folder unless a file records that its content depends on the same `content`."""
    text = json.dumps(content, sort_keys=True)
    if file.exists() and file.read_text() == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with replacing(file) as partial:
        partial.write_text(text)


def _write(
    folder: Path, stem: str, options: VideoOptions, result: VideoResult, video: Video | None, rig: Rig | None
) -> None:
    """Write the requested formats into a folder."""
    # Without the body model, formats that need it are left out.
    formats = tuple(name for name in options.formats if rig is not None or not writers("video")[name].needs_body)
    files = name_files("video", stem, len(result.people), options.formats)
    output = VideoOutput(stem, result, video, rig, options.overlay, files, "rig" in options.formats)
    write_files("video", folder, stem, len(result.people), formats, output)
