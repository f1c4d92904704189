"""From input files to output files: what `pose2mesh predict` does for each input.

The files of a picture appear together or not at all; a fault in one picture or input does not keep the others back.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor, usable_people
from pose2mesh.io.atomic_write import move_all
from pose2mesh.io.image_lookup import IMAGE_SUFFIXES, match_images
from pose2mesh.io.images import read_image, resize_image
from pose2mesh.io.keypoints import ImageInput, Skipped, read_keypoints
from pose2mesh.model_zoo import load_model
from pose2mesh.pipelines.formats import writers
from pose2mesh.pipelines.image_files import find_rig, write_image_files
from pose2mesh.pipelines.options import NOMINAL, PredictOptions
from pose2mesh.pipelines.video.video_options import VIDEO_SUFFIXES, VideoInput, VideoOptions
from pose2mesh.visualization.image_result import ImageResult

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector


@dataclass(frozen=True)
class Job:
    """One picture or video to be worked on.

    Attributes:
        stem: Of the names of its files.
        picture: Its keypoints; None for a photo whose people are yet to be detected, and for a video.
        photo: To draw over, or to detect people in.
        video: A video in place of a picture.
    """

    stem: str
    picture: ImageInput | None
    photo: Path | None
    video: VideoInput | None = None

    @property
    def needs_detector(self) -> bool:
        return self.picture is None if self.video is None else self.video.keypoints is None


def predict_files(
    inputs: list[Path],
    model: str,
    device: str,
    options: PredictOptions,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    backend: str = "torch",
) -> int:
    """Recover everyone in every input and write the files.

    Args:
        inputs: Photos, and files and folders of keypoints or photos.
        model, device, backend: As for `load_model`.
        options: What to write, and what is known of the pictures.
        say: Takes lines that say what was done.
        warn: Takes a line for each input or picture that could not be used, and for each photo that was not found.

    Returns:
        The exit status: 0 when everything was written, 1 when some inputs or pictures were at fault, 2 when all were.

    Raises:
        InputError: the model or the detector cannot be used; nothing has been written then.
    """
    options.check()
    jobs: list[Job] = []
    origin: dict[str, Path] = {}
    faults = 0
    for path in inputs:
        try:
            found = read_input(path, options)
            for job in found:
                if (other := origin.get(job.stem)) is not None:
                    raise InputError(
                        f"{path}: its files would overwrite those of {other}, both named {job.stem!r}; "
                        "expected another --out for one of them"
                    )
        except InputError as error:
            faults += 1
            warn(f"pose2mesh: {error}")
            continue
        origin |= {job.stem: path for job in found}
        jobs += found
    if not jobs:
        return 2
    detector = None
    if any(job.needs_detector for job in jobs):
        from pose2mesh.detectors.registry import load_detector

        detector = load_detector(options.detector, options.detector_model or None, options.offline)
    recovery = load_model(model, device, backend)
    if options.height is not None:
        recovery.require_heights(options.height)
    written = 0
    for job in jobs:
        try:
            if job.video is not None:
                write_video(recovery, detector, job.video, options, say, warn)
                written += 1
                continue
            picture = job.picture
            if picture is None:
                from pose2mesh.detectors.image_keypoints import detect_image

                assert detector is not None
                assert job.photo is not None
                picture = detect_image(job.photo, read_image(job.photo), detector)
            for line in write_picture(recovery, picture, job.photo, options):
                say(line)
        except InputError as error:
            faults += 1
            warn(f"pose2mesh: {error}")
            continue
        written += 1
        if options.image is not None and job.photo is None:
            warn(f"{job.stem}: no photo found in {options.image}; drawn on a plain canvas")
    return 0 if not faults else 1 if written else 2


def read_input(path: Path, options: PredictOptions) -> list[Job]:
    """The pictures of one input: a photo, a folder of photos, or keypoints, which take precedence in a folder.

    Raises:
        InputError: it cannot be used; see `read_keypoints`.
    """
    try:
        if (video := _video_input(path, options)) is not None:
            return [Job(video.stem, None, None, video)]
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            return [Job(path.stem, None, path)]
        if path.is_dir() and not any(path.glob("*.json")):
            photos = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if photos:
                return [Job(file.stem, None, file) for file in photos]
        pictures = read_keypoints(path, options.joints)
    except OSError as error:  # a name too long for the system, a folder that may not be listed
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    found = {} if options.image is None else match_images(pictures, options.image)
    return [Job(picture.stem, picture, found.get(picture.stem)) for picture in pictures]


def _video_input(path: Path, options: PredictOptions) -> VideoInput | None:
    """A video, or keypoints of one, where they are told to be that by --fps or --video.

    Raises:
        InputError: PyAV is needed and missing, or the options do not go with the input.
    """
    keypoints = None
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        if options.fps is not None or options.video is not None:
            raise InputError(f"{path}: is a video; expected keypoints of its frames with --fps or --video")
        video: Path | None = path
    elif options.fps is not None or options.video is not None:
        video, keypoints = options.video, path
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    else:
        return None
    if video is not None:
        from pose2mesh.pipelines.video.frame_reader import Video

        Video(video)  # refused now if it cannot be read
    elif "mp4" in options.video_formats:
        from pose2mesh.pipelines.video.frame_reader import require_pyav

        require_pyav()
    return VideoInput(path.stem, path, video, keypoints, options.fps)


def write_video(
    recovery: Predictor,
    detector: Detector | None,
    video: VideoInput,
    options: PredictOptions,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Recover the people of a video and write what was asked for; see `pipelines.video.video_pipeline.predict_video`.

    Raises:
        InputError: the input cannot be used, or the files cannot be written.
    """
    if recovery.needs_image and video.video is None:
        raise InputError(f"{video.path}: model {recovery.info.name!r} looks at the frames; give them with --video")
    from pose2mesh.pipelines.video.video_pipeline import predict_video

    formats = options.video_formats
    needing_body = [name for name in formats if writers("video")[name].needs_body]
    is_requested = options.formats is not None and bool(needing_body)
    rig = find_rig(recovery) if is_requested or recovery.info.body == DEFAULT_BODY else None
    if rig is None:
        formats = tuple(name for name in formats if name not in needing_body)
    names = [options.detector, *(str(file) for file in options.detector_model)]
    asked = VideoOptions(
        options.out,
        formats,
        options.joints,
        options.camera,
        options.height,
        options.smooth != "off",
        " ".join(names),
        options.overlay_parts,
    )
    predict_video(video, asked, recovery, detector, rig, say, warn)


def write_picture(
    recovery: Predictor, picture: ImageInput, photo_path: Path | None, options: PredictOptions
) -> list[str]:
    """Recover one picture's people and write what was asked for.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: the photo cannot be used or the files cannot be written; none of them is there then.
    """
    formats = options.image_formats
    if recovery.needs_image and photo_path is None:
        raise InputError(f"{picture.stem}: model {recovery.info.name!r} looks at the photo; give it with --image")
    photo = None if photo_path is None else read_image(photo_path, picture.size)
    result = recover_picture(recovery, picture, photo, options)
    with all_or_none(options.out) as folder:
        write_image_files(folder, recovery, result, formats, options.overlay_parts)
    lines = [f"{picture.stem}: {len(result.people)} recovered, {len(result.skipped)} skipped"]
    return lines + [f"  skipped {skip.identifier}: {skip.reason}" for skip in result.skipped]


@contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """A hidden folder to write into, whose files are moved to `folder` when the block ends without an error.

    Raises:
        InputError: the folder cannot be made or written, or one of the files would take the place of a folder.
    """
    staging = folder / f".pose2mesh-{secrets.token_hex(4)}.part"
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        yield staging
        move_all(staging, folder)
    except InputError as error:
        raise InputError(str(error).replace(str(staging), str(folder))) from error
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty, as it should be
                folder.rmdir()


def recover_picture(
    recovery: Predictor, picture: ImageInput, photo: NDArray[np.uint8] | None, options: PredictOptions
) -> ImageResult:
    """The people of a picture in its order, from the joints of the file in the model's own joint set.

    Raises:
        InputError: a nominal camera is asked for, and nothing says how large the picture is.
    """
    size = picture.size if photo is None or picture.size is not None else (photo.shape[1], photo.shape[0])
    people, identifiers, skipped = _recover_people(recovery, picture, options, size, photo)
    return ImageResult(picture.stem, picture.image_name or picture.stem, photo, size, people, identifiers, skipped)


def _recover_people(
    recovery: Predictor,
    picture: ImageInput,
    options: PredictOptions,
    size: tuple[int, int] | None,
    photo: NDArray[np.uint8] | None,
) -> tuple[list[Person], list[int | str | None], list[Skipped]]:
    """The people, their ids, and those who are skipped: by the reader, or because the model lacks their joints."""
    intrinsics = options.camera
    if intrinsics == NOMINAL:
        if size is None:
            raise InputError(
                f"--intrinsics {NOMINAL}: nothing says how large the picture {picture.stem!r} is; give --image"
            )
        intrinsics = nominal_intrinsics(size)
    kept, pixels, confidence, unusable = usable_people(picture.people, recovery.joint_set)
    if photo is not None and recovery.needs_image and size is not None:
        photo = resize_image(photo, size)
    people = recovery.recover_converted(pixels, confidence, intrinsics, options.height, size, photo)
    return people, [picture.people[index].identifier for index in kept], [*picture.skipped, *unusable]
