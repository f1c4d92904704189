"""Processes the inputs of `pose2mesh predict`, from input files to output files.

The files of an image are written together or not at all; a fault in one image or input does not stop the others.
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
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.gravity import LEVEL_CAMERA, estimate_gravity
from pose2mesh.inference.joint_input import usable_people
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import move_all
from pose2mesh.io.body_mask import body_mask
from pose2mesh.io.focal_length import FocalLength, read_focal_length
from pose2mesh.io.image_lookup import IMAGE_SUFFIXES, match_images
from pose2mesh.io.image_size import outside_image
from pose2mesh.io.images import count_frames, read_image, resize_image
from pose2mesh.io.keypoints import ImageInput, PoseInput, Skipped, read_keypoints
from pose2mesh.model_zoo import load_model
from pose2mesh.pipelines.camera_choice import choose_intrinsics
from pose2mesh.pipelines.formats import writers
from pose2mesh.pipelines.image_files import find_rig, write_image_files
from pose2mesh.pipelines.predict_options import AUTO, PredictOptions
from pose2mesh.pipelines.video.video_options import VIDEO_SUFFIXES, VideoInput, VideoOptions
from pose2mesh.visualization.image_result import ImageResult

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector
    from pose2mesh.detectors.hands.hand_detector import HandDetector


@dataclass(frozen=True)
class Job:
    """One image or video to be processed.

    Attributes:
        stem: Start of the names of its output files.
        keypoints: The people of an image; None for a video, and where people have to be detected.
        image: The image file to draw over, or to detect people in.
        video: A video in place of an image.
    """

    stem: str
    keypoints: ImageInput | None
    image: Path | None
    video: VideoInput | None = None

    @property
    def needs_detector(self) -> bool:
        return self.keypoints is None if self.video is None else self.video.keypoints is None


def predict_files(
    inputs: list[Path],
    model: str,
    device: str,
    options: PredictOptions,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    backend: str = "torch",
) -> int:
    """Recover the people of every input and write the files.

    Args:
        inputs: Images, videos, and files and folders of keypoints or images.
        model, device, backend: Arguments of `model_zoo.load_model`.
        options: Output formats, and camera and height of the images where given.
        say: Callback for each line of results.
        warn: Callback for a line about each input or image that cannot be used, and each image that is not found.

    Returns:
        The exit status: 0 if all inputs and images were processed, 1 if some failed, 2 if all failed.

    Raises:
        InputError: an option, the model or the detector cannot be used; no file is written in this case.
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
    hand_detector = _load_hand_detector(jobs, options)
    predictor = load_model(model, device, backend)
    if options.height is not None:
        predictor.require_heights(options.height)
    if options.refine:
        from pose2mesh.inference.refinement import require_articulation  # imports SciPy

        require_articulation(predictor)
    written = 0
    for job in jobs:
        try:
            if job.video is not None:
                write_video(predictor, detector, job.video, options, say, warn)
                written += 1
                continue
            keypoints = job.keypoints
            if keypoints is None:
                from pose2mesh.detectors.image_keypoints import detect_image

                assert detector is not None
                assert job.image is not None
                keypoints = detect_image(job.image, read_image(job.image), detector, hand_detector)
            for line in write_image(predictor, keypoints, job.image, options):
                say(line)
        except InputError as error:
            faults += 1
            warn(f"pose2mesh: {error}")
            continue
        written += 1
        if options.image is not None and job.image is None:
            warn(f"{job.stem}: no image found in {options.image}; drawn on a plain canvas")
    return 0 if not faults else 1 if written else 2


def _load_hand_detector(jobs: list[Job], options: PredictOptions) -> HandDetector | None:
    """The detector of hands, where images have people to be detected and a format shows their hands."""
    if not options.hands or not any(job.needs_detector and job.video is None for job in jobs):
        return None
    if not {"json", "overlay"} & set(options.image_formats):
        return None
    from pose2mesh.detectors.hands.hand_detector import HandDetector

    return HandDetector()


def read_input(path: Path, options: PredictOptions) -> list[Job]:
    """The jobs of one input: an image, a folder of images, a video, or keypoints, which take precedence in a folder.

    Raises:
        InputError: it cannot be used; see `read_keypoints`.
    """
    try:
        if (video := _video_input(path, options)) is not None:
            return [Job(video.stem, None, None, video)]
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            return [Job(path.stem, None, path)]
        if path.is_dir() and not any(path.glob("*.json")):
            images = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if images:
                return [Job(file.stem, None, file) for file in images]
        found_keypoints = read_keypoints(path, options.joints)
    except OSError as error:  # a name too long for the system, a folder that may not be listed
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    found = {} if options.image is None else match_images(found_keypoints, options.image)
    return [Job(keypoints.stem, keypoints, found.get(keypoints.stem)) for keypoints in found_keypoints]


def _video_input(path: Path, options: PredictOptions) -> VideoInput | None:
    """A video, or keypoints of its frames, which --fps or --video declare; None for anything else.

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

        Video(video)  # opened so that an unreadable file fails before any work is done
    elif "mp4" in options.video_formats:
        from pose2mesh.pipelines.video.frame_reader import require_pyav

        require_pyav()
    return VideoInput(path.stem, path, video, keypoints, options.fps)


def write_video(
    predictor: Predictor,
    detector: Detector | None,
    video: VideoInput,
    options: PredictOptions,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Recover the people of a video and write the requested formats, by `video_pipeline.predict_video`.

    Raises:
        InputError: the input cannot be used, or the files cannot be written.
    """
    if predictor.needs_image and video.video is None:
        raise InputError(
            f"{video.path}: model {predictor.info.name!r} takes the frames as input; give them with --video"
        )
    from pose2mesh.pipelines.video.video_pipeline import predict_video

    formats = options.video_formats
    needing_body = [name for name in formats if writers("video")[name].needs_body]
    is_requested = options.formats is not None and bool(needing_body)
    rig = find_rig(predictor) if is_requested or predictor.info.body == DEFAULT_BODY else None
    if rig is None:
        formats = tuple(name for name in formats if name not in needing_body)
    names = [options.detector, *(str(file) for file in options.detector_model)]
    video_options = VideoOptions(
        options.out,
        formats,
        options.joints,
        options.camera,
        options.height,
        options.smooth != "off",
        " ".join(names),
        options.overlay_parts,
        options.refine,
        options.up == "auto",
        options.size,
    )
    predict_video(video, video_options, predictor, detector, rig, say, warn)


def write_image(
    predictor: Predictor, keypoints: ImageInput, image_path: Path | None, options: PredictOptions
) -> list[str]:
    """Recover the people of one image and write the requested formats.

    Returns:
        Lines of results.

    Raises:
        InputError: the image cannot be used or the files cannot be written; in both cases no file of the image is left.
    """
    formats = options.image_formats
    if predictor.needs_image and image_path is None:
        raise InputError(
            f"{keypoints.stem}: model {predictor.info.name!r} takes the image as input; give it with --image"
        )
    image = None if image_path is None else read_image(image_path, keypoints.size or options.size)
    focal = FocalLength() if image_path is None else read_focal_length(image_path)
    result = recover_image(predictor, keypoints, image, options, focal.equivalent_mm)
    with all_or_none(options.out) as folder:
        write_image_files(folder, predictor, result, formats, options.overlay_parts)
    lines = [f"{keypoints.stem}: {len(result.people)} recovered, {len(result.skipped)} skipped"]
    if focal.fault is not None and options.camera == AUTO:
        lines.append(f"  {image_path}: {focal.fault}; it is ignored")
    if image_path is not None and (frames := count_frames(image_path)) > 1:
        lines.append(f"  {image_path}: has {frames} frames, of which the first is used")
    lines += [f"  person {person.identifier}: {note}" for person in keypoints.people for note in person.notes]
    return lines + [f"  skipped {skip.identifier}: {skip.reason}" for skip in result.skipped]


@contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """A hidden staging folder, whose files are moved to `folder` when the block ends without an error.

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
            with suppress(OSError):  # not empty: it holds the results
                folder.rmdir()


def recover_image(
    predictor: Predictor,
    keypoints: ImageInput,
    image: NDArray[np.uint8] | None,
    options: PredictOptions,
    focal_35mm: float | None = None,
) -> ImageResult:
    """Recover the people of an image, in the order of the input.

    Args:
        predictor: The model.
        keypoints: The people's 2D joints.
        image: (H, W, 3) RGB, where there is one.
        options: Camera and height.
        focal_35mm: 35 mm equivalent focal length from the metadata of the image, where there is one.

    Raises:
        InputError: a nominal camera is requested, and the image size is unknown; or the size does not contain the
            people.
    """
    size = keypoints.size
    if size is None:  # a person outside the size that a COCO file states is skipped by its reader
        size = options.size or (None if image is None else (image.shape[1], image.shape[0]))
        if size is not None:
            _require_inside(keypoints, size)
    intrinsics = choose_intrinsics(options.camera, size, focal_35mm, keypoints.stem)
    people, inputs, skipped = _recover_people(predictor, keypoints, intrinsics, options, size, image)
    name = keypoints.image_name or keypoints.stem
    gravity = LEVEL_CAMERA
    if options.up == "auto":
        bodies = [person.joints_camera[None] for person in people]
        gravity = estimate_gravity(bodies, predictor.joint_set, [person.confidence[None] for person in people])
    return ImageResult(
        keypoints.stem,
        name,
        image,
        size,
        people,
        [each.identifier for each in inputs],
        skipped,
        intrinsics,
        is_refined=options.refine,
        gravity=gravity,
        hands=[each.hands for each in inputs],
    )


def _require_inside(keypoints: ImageInput, size: tuple[int, int]) -> None:
    """Refuse people who cannot be in an image of the size that is given beside them.

    Raises:
        InputError: someone cannot.
    """
    for person in keypoints.people:
        fault = outside_image(person.joints_px, person.confidence, size)
        if fault is not None:
            raise InputError(f"{keypoints.stem}: person {person.identifier}: {fault}; expected the size of the image")


def _recover_people(
    predictor: Predictor,
    keypoints: ImageInput,
    intrinsics: Intrinsics | None,
    options: PredictOptions,
    size: tuple[int, int] | None,
    image: NDArray[np.uint8] | None,
) -> tuple[list[Person], list[PoseInput], list[Skipped]]:
    """The people, their input, and the annotations skipped by the reader or because too few joints fit the model."""
    found = usable_people(keypoints.people, predictor.joint_set)
    if image is not None and predictor.needs_image and size is not None:
        image = resize_image(image, size)
    people = predictor.recover_converted(
        found.joints_px, found.confidence, intrinsics, options.height, size, image, joints3d_m=found.joints3d_m
    )
    given = [keypoints.people[index] for index in found.kept]
    if options.refine:
        from pose2mesh.inference.refinement import refine_people

        masks = [body_mask(each.mask, f"{keypoints.stem}: person {each.identifier}: segmentation") for each in given]
        people = refine_people(predictor, people, masks)
    return people, given, [*keypoints.skipped, *found.skipped]
