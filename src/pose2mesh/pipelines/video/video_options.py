"""A video input and its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pose2mesh.pipelines.camera_choice import CameraOption
from pose2mesh.visualization.overlay import OverlayParts

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp")


@dataclass(frozen=True)
class VideoInput:
    """A video, keypoints of its frames, or both.

    Attributes:
        stem: Start of the names of the output files.
        path: The input file or folder.
        video: The frames; None for keypoints alone.
        keypoints: Keypoints of the frames; None where people have to be detected.
        fps: Frames per second, for keypoints without a video.
    """

    stem: str
    path: Path
    video: Path | None
    keypoints: Path | None
    fps: float | None


@dataclass(frozen=True)
class VideoOptions:
    """Output options, and the camera and height where known.

    Attributes:
        out: Folder for the results.
        formats: Formats to write, from `pipelines.formats.WRITERS`.
        joints: Order of the joints in arrays.
        intrinsics: Intrinsics of the camera, or the way to choose them; None for weak perspective.
        height_m: Standing height of the people.
        smooth: Whether to filter over time.
        detector: The detector and its files; results of an earlier run with another detector are discarded.
        overlay: Elements of the overlay.
        image_size: (width, height) of the frames, for keypoints without a video that do not state it.
        upright: Whether to estimate which way is up; else the camera is taken for level.
        refine: Whether to move the bodies of each frame to their 2D joints before they are filtered over time.
    """

    out: Path
    formats: tuple[str, ...]
    joints: str
    intrinsics: CameraOption
    height_m: float | None
    smooth: bool
    detector: str
    overlay: OverlayParts
    refine: bool = False
    upright: bool = True
    image_size: tuple[int, int] | None = None
