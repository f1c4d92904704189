"""Tracks the people of a video with `motion.tracker`, and stores the tracks on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.motion.tracker import Tracker, TrackerConfig
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.detection_store import DetectionStore
from pose2mesh.skeletons import JointSet

# Longest gap of a track in seconds; frames in between are interpolated (bridged).
_LONGEST_GAP_S = 1.0
_LEAST_FRAMES = 3


@dataclass(frozen=True)
class Track:
    """One person over consecutive frames.

    Attributes:
        number: Number of the person from 0, in the order of appearance.
        first_frame: The number of the first frame.
        folder: Holds this person's files.
        rows: Rows of `track_dtype`.
    """

    number: int
    first_frame: int
    folder: Path
    rows: ArrayFile

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def end(self) -> int:
        """The frame after the last."""
        return self.first_frame + len(self)


@dataclass(frozen=True)
class TrackStore:
    """The tracks of a video, and statistics of all frames.

    Attributes:
        people: Tracked people in the order of appearance.
        unclaimed: Number of detections outside any track: of people detected in too few consecutive frames.
        corner_px: (2,) the largest x and y of a joint, at least 1: stands for the image size where that is unknown.
    """

    people: list[Track]
    unclaimed: int
    corner_px: NDArray[np.floating]


def track_dtype(joint_set: JointSet) -> np.dtype[Any]:
    """One frame of a track, a row of `Track.rows`.

    Fields:
        frame: Its number.
        detected: False for a bridged frame.
        joints_px, confidence, joints3d_m: As in `detection_store.person_dtype`; a bridged frame has no 3D joints.
    """
    J = len(joint_set)
    fields = [
        ("frame", "<i4"),
        ("detected", "?"),
        ("joints_px", "<f4", (J, 2)),
        ("confidence", "<f4", (J,)),
        ("joints3d_m", "<f4", (J, 3)),
    ]
    return np.dtype(fields, align=True)  # PyTorch requires aligned floats


def track_people(detections: DetectionStore, folder: Path, fps: float, joint_set: JointSet) -> TrackStore:
    """Associate detections over time into tracks, stored in `folder`. Results of an earlier run on the
    same tracks are kept.
    """
    gap = max(1, round(_LONGEST_GAP_S * fps))
    config = TrackerConfig(min(_LEAST_FRAMES, max(len(detections), 1)), max_gap=gap, max_bridge=gap)
    tracker = Tracker(joint_set, config)
    kind = track_dtype(joint_set)
    people: list[Track] = []
    claimed, corner = 0, np.ones(2)
    folder.mkdir(exist_ok=True)
    for frame in range(len(detections)):
        found = detections[frame]
        joints_px, confidence = found["joints_px"], found["confidence"]
        if (confidence > 0).any():
            corner = np.maximum(corner, joints_px[confidence > 0].max(0))
        for tracked in tracker.update(joints_px, confidence):
            if tracked.track == len(people):
                own = folder / f"{tracked.track:05d}"
                own.mkdir(exist_ok=True)
                (own / "track.rows").unlink(missing_ok=True)
                people.append(Track(tracked.track, tracked.frame, own, ArrayFile(own / "track.rows", kind)))
            joints3d_m = np.full((len(joint_set), 3), np.nan, np.float32)
            if tracked.detection is not None:
                joints3d_m = detections[tracked.frame][tracked.detection]["joints3d_m"]
            row = (tracked.frame, not tracked.bridged, tracked.joints_px, tracked.confidence, joints3d_m)
            people[tracked.track].rows.append(np.array([row], kind))
            claimed += not tracked.bridged
    for stray in folder.iterdir():  # left by a run with more tracks
        if int(stray.name) >= len(people):
            shutil.rmtree(stray)
    return TrackStore(people, detections.people - claimed, corner)
