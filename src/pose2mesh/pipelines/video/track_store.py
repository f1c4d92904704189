"""Tracks the people of a video with `motion.film_tracks`, and stores the tracks on disk, frame by frame."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.motion.film_tracks import track_film
from pose2mesh.motion.side_swaps import find_side_swaps
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.detection_store import DetectionStore, person_dtype
from pose2mesh.skeletons import JointSet

# In longer gaps of a track, in seconds, the person is absent; in shorter ones visible where interpolated (bridged).
_LONGEST_BRIDGE_S = 1.0
_CHUNK = 1000  # rows


@dataclass(frozen=True)
class Track:
    """One person over consecutive frames, between the first and the last detection.

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

    def present(self) -> NDArray[np.intp]:
        """Indices of the rows in which the person is not absent."""
        chunks = (self.rows[start : start + _CHUNK]["absent"] for start in range(0, len(self), _CHUNK))
        return np.flatnonzero(~np.concatenate(list(chunks)))

    def stretches(self, field: str) -> list[tuple[int, int]]:
        """First and last frames of each stretch in which a field of `track_dtype`, `bridged` or `absent`, is true."""
        found: list[tuple[int, int]] = []
        for start in range(0, len(self), _CHUNK):
            rows = self.rows[start : start + _CHUNK]
            for frame in rows["frame"][rows[field]].tolist():
                joined = bool(found) and found[-1][1] == frame - 1
                found[-1:] = [(found[-1][0], frame)] if joined else [*found[-1:], (frame, frame)]
        return found


@dataclass(frozen=True)
class TrackStore:
    """The tracks of a video, and statistics of all frames.

    Attributes:
        people: Tracked people in the order of appearance.
        unclaimed: Number of detections outside any track: of people detected in too few frames, and second ones.
        corner_px: (2,) the largest x and y of a joint, at least 1: stands for the image size where that is unknown.
    """

    people: list[Track]
    unclaimed: int
    corner_px: NDArray[np.floating]


def track_dtype(joint_set: JointSet) -> np.dtype[Any]:
    """One frame of a track, a row of `Track.rows`.

    Fields:
        frame: Its number.
        bridged: The person was not detected in this frame; joints are interpolated.
        absent: The frame lies in a long gap, in which the person may be out of view; joints are interpolated, so that
            the rows are consecutive frames, and the body is not shown.
        joints_px, confidence, joints3d_m, …: The fields of `detection_store.person_dtype` but the colours, interpolated
            linearly where bridged or absent; the confidence is the lower one, and the 3D joints are missing.
    """
    given = person_dtype(joint_set)
    fields = [(name, given[name].base, given[name].shape) for name in given.names or () if name != "colours"]
    return np.dtype([("frame", "<i4"), ("bridged", "?"), ("absent", "?"), *fields], align=True)


def track_people(detections: DetectionStore, folder: Path, fps: float, joint_set: JointSet) -> TrackStore:
    """Associate detections over time into tracks, stored in `folder`. Results of an earlier run on the
    same tracks are kept.
    """
    folder.mkdir(exist_ok=True)
    tracks = track_film(detections, joint_set, fps)
    people = []
    for number, track in enumerate(tracks):
        own = folder / f"{number:05d}"
        own.mkdir(exist_ok=True)
        (own / "track.rows").unlink(missing_ok=True)
        rows = ArrayFile(own / "track.rows", track_dtype(joint_set))
        found = zip(track.frames.tolist(), track.detections.tolist(), strict=True)
        for row in _straightened(
            [_row(detections[frame][index], frame, rows.dtype) for frame, index in found], joint_set
        ):
            if len(rows):
                rows.append(_interpolated(rows[-1], row, _LONGEST_BRIDGE_S * fps))
            rows.append(row)
        people.append(Track(number, int(track.frames[0]), own, rows))
    for stray in folder.iterdir():  # left by a run with more tracks
        if int(stray.name) >= len(people):
            shutil.rmtree(stray)
    claimed = sum(len(track.frames) for track in tracks)
    return TrackStore(people, detections.people - claimed, _corner(detections))


def _row(person: NDArray[Any], frame: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The row () of a detected person."""
    row = np.zeros((), dtype)
    row["frame"] = frame
    for name in set(dtype.names or ()) - {"frame", "bridged", "absent"}:
        row[name] = person[name]
    return row


def _straightened(rows: list[NDArray[Any]], joint_set: JointSet) -> list[NDArray[Any]]:
    """The rows of one person in successive frames, with left and right put right where the detector confused them.

    The 3D joints of such a frame are of a person who faces the other way, and are left out.
    """
    joints_px, confidence = (np.stack([row[name] for row in rows]) for name in ("joints_px", "confidence"))
    order = joint_set.flip_permutation
    for index in np.flatnonzero(find_side_swaps(joints_px, confidence, joint_set)):
        rows[index]["joints_px"], rows[index]["confidence"] = joints_px[index][order], confidence[index][order]
        rows[index]["joints3d_m"] = np.nan
    return rows


def _interpolated(before: NDArray[Any], after: NDArray[Any], longest_bridge: float) -> NDArray[Any]:
    """Rows of the frames between two detections, none where these are successive."""
    frames = np.arange(int(before["frame"]) + 1, int(after["frame"]))
    rows = np.zeros(len(frames), before.dtype)
    share = ((frames - before["frame"]) / (after["frame"] - before["frame"])).astype(np.float32)
    for name in before.dtype.names or ():
        weight = share.reshape(-1, *(1,) * before[name].ndim)
        rows[name] = before[name] + weight * (after[name].astype(np.float32) - before[name])
    rows["frame"] = frames
    rows["confidence"] = np.minimum(before["confidence"], after["confidence"])
    rows["joints_px"][rows["confidence"] == 0] = 0
    rows["joints3d_m"] = np.nan
    rows["absent"] = len(frames) > longest_bridge
    rows["bridged"] = ~rows["absent"]
    return rows


def _corner(detections: DetectionStore) -> NDArray[np.floating]:
    corner = np.ones(2)
    for frame in range(len(detections)):
        people = detections[frame]
        if (people["confidence"] > 0).any():
            corner = np.maximum(corner, people["joints_px"][people["confidence"] > 0].max(0))
    return corner
