"""What a user asked `pose2mesh predict` for, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.pipelines.video.video_options import FORMATS as VIDEO_FORMATS
from pose2mesh.pipelines.video.video_options import USUAL_FORMATS as _VIDEO_DEFAULT
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.visualization.overlay import USUAL_PARTS, OverlayParts

PHOTO_FORMATS = ("obj", "glb", "json", "npz", "ply", "overlay", "html", "rig")
FORMATS = (*PHOTO_FORMATS, *(name for name in VIDEO_FORMATS if name not in PHOTO_FORMATS))
_PHOTO_DEFAULT = ("obj", "glb", "json", "npz", "overlay")
NOMINAL: Literal["nominal"] = "nominal"  # as an option's value in place of intrinsics


@dataclass(frozen=True)
class PredictOptions:
    """What a user asked `predict` for; `checked` builds it from the command line's texts.

    Attributes:
        out: Folder for the results.
        joints: Order of the joints in arrays.
        image: The photo or the folder of photos to draw over.
        intrinsics: Of the camera; `nominal` for what a camera of that picture's size may have.
        height_m: Everyone's standing height.
        formats: Of `FORMATS`; None for what the kind of input usually gets.
        detector: As `detectors.registry.load_detector` takes it: `auto`, `mediapipe` or `rtmpose`.
        detector_files: Its model files, where they are not to be downloaded.
        offline: Download nothing.
        smooth: Filter the people of videos over time.
        fps: Frames a second of keypoints that are of a video's frames.
        video: The video that keypoints are of.
        overlay: What overlays show.
    """

    out: Path
    joints: str
    image: Path | None
    intrinsics: Intrinsics | Literal["nominal"] | None
    height_m: float | None
    formats: tuple[str, ...] | None
    detector: str = "auto"
    detector_files: tuple[Path, ...] = ()
    offline: bool = False
    smooth: bool = True
    fps: float | None = None
    video: Path | None = None
    overlay: OverlayParts = USUAL_PARTS

    @classmethod
    def checked(
        cls,
        out: Path,
        joints: str,
        image: Path | None,
        intrinsics: str | None,
        height: float | None,
        formats: str | None,
        detector: str = "auto",
        detector_files: tuple[Path, ...] = (),
        offline: bool = False,
        smooth: bool = True,
        fps: float | None = None,
        video: Path | None = None,
        overlay: str | None = None,
    ) -> PredictOptions:
        """Check every option before any work is done.

        Raises:
            InputError: names the option, the value and what was expected.
        """
        if joints not in INPUT_ORDERS:
            raise InputError(f"--joints {joints!r}: expected one of {', '.join(INPUT_ORDERS)}")
        chosen = None if formats is None else tuple(part.strip() for part in formats.split(",") if part.strip())
        if chosen is not None and (not chosen or not set(chosen) <= set(FORMATS)):
            raise InputError(f"--formats {formats!r}: expected some of {', '.join(FORMATS)}, separated by commas")
        if chosen is not None and "rig" in chosen and not {"json", "npz"} & set(chosen):
            raise InputError(f"--formats {formats!r}: rig is written into json and npz; expected one of these, too")
        if height is not None and not 0.3 < height < 3:
            raise InputError(f"--height {height}: expected metres between 0.3 and 3")
        if image is not None and not image.exists():
            raise InputError(f"--image {image}: no such file or folder")
        if fps is not None and not 0.1 <= fps <= 1000:
            raise InputError(f"--fps {fps}: expected frames a second between 0.1 and 1000")
        if video is not None and not video.is_file():
            raise InputError(f"--video {video}: no such file")
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file, expected a folder")
        parts = USUAL_PARTS if overlay is None else OverlayParts.parse(overlay)
        known = intrinsics if intrinsics is None or intrinsics == NOMINAL else Intrinsics.parse(intrinsics)
        return cls(
            out, joints, image, known, height, chosen, detector, detector_files, offline, smooth, fps, video, parts
        )

    @property
    def photo_formats(self) -> tuple[str, ...]:
        """What to write of a picture.

        Raises:
            InputError: something that only videos have was asked for.
        """
        return _fitting(self.formats, PHOTO_FORMATS, _PHOTO_DEFAULT, "a picture")

    @property
    def video_formats(self) -> tuple[str, ...]:
        """What to write of a video, whose overlay is an mp4.

        Raises:
            InputError: something that only pictures have was asked for.
        """
        asked = self.formats and tuple(dict.fromkeys("mp4" if name == "overlay" else name for name in self.formats))
        return _fitting(asked, VIDEO_FORMATS, _VIDEO_DEFAULT, "a video")


def _fitting(
    asked: tuple[str, ...] | None, possible: tuple[str, ...], usual: tuple[str, ...], kind: str
) -> tuple[str, ...]:
    if asked is None:
        return usual
    if not set(asked) <= set(possible):
        raise InputError(f"--formats {','.join(asked)}: expected some of {', '.join(possible)} for {kind}")
    return asked
