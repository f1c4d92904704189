"""A video input and its options."""

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
        stem: Start of the names of the output files.
        path: The input as the user gave it.
        video: The frames; None for keypoints alone.
        keypoints: None where people are to be detected.
        fps: Frames per second, for keypoints without a video.
    """

    stem: str
    path: Path
    video: Path | None
    keypoints: Path | None
    fps: float | None


@dataclass(frozen=True)
class VideoOptions:
    """What to write, and what is known of the camera.

    Attributes:
        out: Folder for the results.
        formats: Names of `pipelines.formats.WRITERS`.
        joints: Order of the joints in arrays.
        intrinsics: Of the camera; `nominal` for those of a usual camera with that image size.
        height_m: Standing height of the people.
        smooth: Filter over time.
        detector: Names the detector and its files, so that results of an earlier run with another are discarded.
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
