"""`pose2mesh predict` of a video: detect, track, recover, write; each step goes on where a run was cut off.

Between the steps everything lies in a hidden folder beside the results, which is removed when they are there.
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
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import move_all, replacing
from pose2mesh.pipelines.formats import VideoOutput, name_files, write_files, writers
from pose2mesh.pipelines.video.detection_store import DetectionStore
from pose2mesh.pipelines.video.frame_detections import FrameDetections, keep_sightings
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.image_models import look_at_frames
from pose2mesh.pipelines.video.keypoint_frames import KeypointFrames
from pose2mesh.pipelines.video.progress import progress
from pose2mesh.pipelines.video.track_bodies import BodyTrack, FilmingConditions
from pose2mesh.pipelines.video.track_store import TrackStore, track_people
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_result import VideoResult

if TYPE_CHECKING:
    from pose2mesh.motion.person_fitting import Rig

_VERSION = 2  # of what the hidden folder holds


def predict_video(
    source: VideoInput,
    options: VideoOptions,
    recovery: Predictor,
    detector: Detector | None,
    rig: Rig | None,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Recover everyone in a video and write the files.

    Args:
        source: The video.
        options: What to write.
        recovery: The model.
        detector: Needed where there are no keypoints.
        rig: The Anny body, for models whose body it is.
        say: Takes lines that say what was done.
        warn: Takes a line that says how much of a damaged file could be read.

    Raises:
        InputError: the input cannot be used, or the files cannot be written. What was done is kept for the next run,
            unless it is the input that is at fault.
    """
    work = options.out / f".{source.stem}.pose2mesh-part"
    is_new = not options.out.exists()
    try:
        sightings = _open(source, options, recovery, detector)
        work.mkdir(parents=True, exist_ok=True)
        result = recover_video(source, options, recovery, sightings, rig, work, say)
        staging = work / "results"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        _write(staging, source.stem, options, result, sightings.video, rig)
        written = sorted(file.name for file in staging.iterdir())
        move_all(staging, options.out)
        shutil.rmtree(work)
    except OSError as error:
        raise InputError(f"--out {options.out}: cannot be written ({error.strerror or error})") from error
    except InputError as error:
        raise InputError(str(error).replace(str(work / "results"), str(options.out))) from error
    except KeyboardInterrupt:
        warn(f"pose2mesh: {source.path}: interrupted; the same command goes on from here")
        raise
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty, as it should be
                options.out.rmdir()
    say(f"{source.stem}: {len(result.people)} people in {result.frames} frames: {', '.join(written)}")
    if result.fault is not None:
        warn(f"pose2mesh: {source.path}: {result.fault}")


def _open(source: VideoInput, options: VideoOptions, recovery: Predictor, detector: Detector | None) -> FrameDetections:
    video = None if source.video is None else Video(source.video)
    keypoints = None if source.keypoints is None else KeypointFrames(source.keypoints, options.joints)
    rate = None if source.fps is None else Fraction(source.fps).limit_denominator(1001)
    return FrameDetections(recovery.joint_set, video, detector, keypoints, rate)


def recover_video(
    source: VideoInput,
    options: VideoOptions,
    recovery: Predictor,
    sightings: FrameDetections,
    rig: Rig | None,
    work: Path,
    say: Callable[[str], None],
) -> VideoResult:
    """Everyone in a video; what is found out lies in the folder `work`, and what already lies there is taken over.

    Raises:
        InputError: the input cannot be used; `work` is gone then.
    """
    _forget_if_changed(work, work / "seen.json", _what_is_seen(source, options, recovery))
    detections = DetectionStore(work, recovery.joint_set)
    if len(detections):
        say(f"{source.stem}: going on after frame {len(detections) - 1}")
    expected = None if sightings.video is None else sightings.video.expected_frames
    try:
        with progress(source.stem, "detecting", expected) as step:
            rate, fault = keep_sightings(sightings, detections, work / "facts.json", step)
    except InputError:
        shutil.rmtree(work)
        raise
    _forget_if_changed(work / "people", work / "bodies.json", _what_is_recovered(source, options, recovery))
    tracks = track_people(detections, work / "people", float(rate), recovery.joint_set)
    size = _size(sightings, tracks)
    intrinsics = nominal_intrinsics(size) if options.intrinsics == "nominal" else options.intrinsics
    shooting = FilmingConditions(float(rate), size, intrinsics, options.height_m, options.smooth)
    bodies = [BodyTrack(track, recovery, shooting) for track in tracks.people]
    total = sum(len(track) for track in tracks.people)
    if recovery.needs_image and sightings.video is not None:
        with progress(source.stem, "looking", total) as step:
            look_at_frames(bodies, sightings.video, step)
    with progress(source.stem, "recovering", total) as step:
        for body in bodies:
            body.finish(rig, step)
    return VideoResult(source.path.name, recovery, shooting, rate, len(detections), bodies, tracks.unclaimed, fault)


def _size(sightings: FrameDetections, tracks: TrackStore) -> tuple[int, int]:
    """(width, height) of the frames, or of what the joints fill where nothing tells it."""
    if sightings.video is not None:
        return sightings.video.size
    known = sightings.keypoints.size if sightings.keypoints is not None else None
    width, height = np.ceil(1.1 * tracks.corner_px).astype(int).tolist()
    return known or (width, height)


def _what_is_seen(source: VideoInput, options: VideoOptions, recovery: Predictor) -> dict[str, Any]:
    """All that decides what is detected."""
    files = [path for path in (source.video, source.keypoints) if path is not None]
    stamps = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return {
        "version": _VERSION,
        "files": stamps,
        "fps": source.fps,
        "joints": options.joints,
        "detector": options.detector,
        "joint_set": recovery.joint_set.name,
    }


def _what_is_recovered(source: VideoInput, options: VideoOptions, recovery: Predictor) -> dict[str, Any]:
    """All that decides what is made of the detections."""
    asked = [str(options.intrinsics), options.height_m, options.smooth]
    return {"model": asdict(recovery.info), "asked": asked}


def _forget_if_changed(folder: Path, file: Path, content: dict[str, Any]) -> None:
    """Empty a folder unless a file says that what it holds was made of the same."""
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
