"""Options of `pose2mesh predict`: the flags and their help, so this file imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pose2mesh.errors import InputError
from pose2mesh.pipelines.formats import FORMATS, chosen_formats, describe_formats

if TYPE_CHECKING:
    from pose2mesh.geometry.camera import Intrinsics
    from pose2mesh.visualization.overlay import OverlayParts

# Values of --intrinsics beside numbers.
AUTO: Literal["auto"] = "auto"
NOMINAL: Literal["nominal"] = "nominal"
NONE = "none"


@dataclass(frozen=True)
class PredictOptions:
    """Output formats of each input, and camera and height of its images where given.

    Attributes:
        out: Folder for the results, made if need be; files of the same name are replaced.
        joints: Order of the joints in arrays: coco, human36, smpl, hand, wholebody, wholebody133, halpe26, halpe136,
            openpose25 or mediapipe33.
        image: The image, or the folder of images (matched by file name), to draw over, and for methods that take the
            image as input; a scaled copy will do.
        intrinsics: Of the camera. auto: from the metadata of the image or video, else nominal ones of its size, where
            that is known; nominal: those of its size; none: for crops, whose camera cannot be known;
            28mm: the 35 mm equivalent focal length; FX,FY,CX,CY[,K1,K2,P1,P2[,K3]]: known ones in pixels, with
            distortion.
        image_size: W,H: width and height in pixels of the whole image, for keypoints of arrays and of OpenPose, which
            do not state it.
        height: Standing height of the people in metres, which a 2D pose does not determine.
        detector: Person and keypoint detector for images; an extra of the install. Its model is downloaded on first
            use.
        detector_model: A model file of the detector in place of the download; repeat the option for a second file.
        offline: Download nothing.
        smooth: Filter of the people of videos over time.
        fps: Frames per second: the input is keypoints of a video's frames (OpenPose folder, COCO file, array
            (T, J, 2|3)).
        video: The video that the keypoints belong to, to draw over; gives the frame rate, too.
        overlay: What overlays show, separated by commas: mesh, joints, confidences; side and top views beside the
            image.
        up: Which way is up in glb, bvh and html, where bodies stand upright. auto: a guess from the
            people; level: that of a level camera.
        refine: Move the bodies to the 2D joints and, in images, to the silhouette if there is one: the detector's or
            the segmentation of a COCO file.
        hands: Also detect the hands of people who are detected in images, for json and overlay; the mesh does not use
            them.
    """

    out: Path = Path("pose2mesh_out")
    joints: str = "coco"
    image: Path | None = None
    intrinsics: str = AUTO
    height: float | None = None
    formats: Annotated[str | None, Parameter(help=describe_formats())] = None
    detector: Literal["auto", "movenet", "blazepose", "rtmpose"] = "auto"
    detector_model: Annotated[tuple[Path, ...], Parameter(consume_multiple=False)] = ()
    offline: bool = False
    smooth: Literal["one-euro", "off"] = "one-euro"
    fps: float | None = None
    video: Path | None = None
    overlay: str = "mesh,joints"
    up: Literal["auto", "level"] = "auto"
    refine: bool = False
    image_size: str | None = None
    hands: Annotated[bool, Parameter(negative="--no-hands")] = True

    def check(self) -> None:
        """Check every option before any work is done.

        Raises:
            InputError: an option is invalid; the message names it, its value and the expected one.
        """
        from pose2mesh.skeletons import INPUT_ORDERS

        if self.joints not in INPUT_ORDERS:
            raise InputError(f"--joints {self.joints!r}: expected one of {', '.join(INPUT_ORDERS)}")
        chosen = self._format_names
        if chosen is not None and (not chosen or not set(chosen) <= set(FORMATS)):
            raise InputError(f"--formats {self.formats!r}: expected some of {', '.join(FORMATS)}, separated by commas")
        if chosen is not None and "rig" in chosen and not {"json", "npz"} & set(chosen):
            raise InputError(
                f"--formats {self.formats!r}: rig is written into json and npz; expected one of these, too"
            )
        if self.height is not None and not 0.3 < self.height < 3:
            raise InputError(f"--height {self.height}: expected metres between 0.3 and 3")
        if self.image is not None and not self.image.exists():
            raise InputError(f"--image {self.image}: no such file or folder")
        if self.fps is not None and not 0.1 <= self.fps <= 1000:
            raise InputError(f"--fps {self.fps}: expected frames a second between 0.1 and 1000")
        if self.video is not None and not self.video.is_file():
            raise InputError(f"--video {self.video}: no such file")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out {self.out}: is a file, expected a folder")
        _ = self.overlay_parts, self.camera, self.size

    @property
    def camera(self) -> Intrinsics | float | Literal["auto", "nominal"] | None:
        """The given intrinsics or 35 mm equivalent focal length, the way to choose them, or None for no camera.

        Raises:
            InputError: `intrinsics` is neither a way nor numbers in range.
        """
        from pose2mesh.geometry.camera import Intrinsics
        from pose2mesh.io.focal_length import parse_focal_length

        if self.intrinsics == AUTO:
            return AUTO
        if self.intrinsics == NOMINAL:
            return NOMINAL
        if self.intrinsics == NONE:
            return None
        if self.intrinsics.endswith("mm"):
            return parse_focal_length(self.intrinsics)
        return Intrinsics.parse(self.intrinsics)

    @property
    def size(self) -> tuple[int, int] | None:
        """The given (width, height) of the images.

        Raises:
            InputError: `image_size` is something else.
        """
        from pose2mesh.io.image_size import parse_size

        return None if self.image_size is None else parse_size(self.image_size)

    @property
    def overlay_parts(self) -> OverlayParts:
        """Elements of the overlays.

        Raises:
            InputError: `overlay` names something else.
        """
        from pose2mesh.visualization.overlay import OverlayParts

        return OverlayParts.parse(self.overlay)

    @property
    def _format_names(self) -> tuple[str, ...] | None:
        if self.formats is None:
            return None
        return tuple(part.strip() for part in self.formats.split(",") if part.strip())

    @property
    def image_formats(self) -> tuple[str, ...]:
        """Formats to write for an image.

        Raises:
            InputError: a requested format is for videos only.
        """
        return chosen_formats("image", self._format_names)

    @property
    def video_formats(self) -> tuple[str, ...]:
        """Formats to write for a video, whose overlay is an mp4.

        Raises:
            InputError: a requested format is for images only.
        """
        names = self._format_names
        return chosen_formats("video", names and tuple(dict.fromkeys("mp4" if n == "overlay" else n for n in names)))
