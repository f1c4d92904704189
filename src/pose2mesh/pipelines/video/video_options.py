"""What a video is, and what is asked for of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.visualization.overlay import OverlayParts

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp")


@dataclass(frozen=True)
class VideoInput:
    """A video, keypoints of its frames, or both.

    Attributes:
        stem: Of the results' names.
        path: What the user named.
        video: The frames; None for keypoints alone.
        keypoints: None where people are to be detected.
        fps: Frames a second, for keypoints without a video.
    """

    stem: str
    path: Path
    video: Path | None
    keypoints: Path | None
    fps: float | None


@dataclass(frozen=True)
class VideoOptions:
    """What was asked for.

    Attributes:
        out: Folder for the results.
        formats: Names of `pipelines.formats.WRITERS`.
        joints: Order of the joints in arrays.
        intrinsics: Of the camera; `nominal` for what a camera of that picture's size may have.
        height_m: Everyone's standing height.
        smooth: Filter over time.
        detector: Names the detector and its files, to tell whether an earlier run had another.
        overlay: What the overlay shows.
    """

    out: Path
    formats: tuple[str, ...]
    joints: str
    intrinsics: Intrinsics | Literal["nominal"] | None
    height_m: float | None
    smooth: bool
    detector: str
    overlay: OverlayParts
