"""From input files to output files: what `pose2mesh predict` does for each input.

The files of a picture appear together or not at all; a fault in one picture or input does not keep the others back.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh import export, render
from pose2mesh.camera import Intrinsics, nominal_intrinsics
from pose2mesh.data.keypoints import IMAGE_SUFFIXES, PictureInput, Skipped, match_images, read_keypoints
from pose2mesh.errors import InputError
from pose2mesh.overlay import draw_overlay
from pose2mesh.photos import read_photo
from pose2mesh.predict import Person, Recovery, unusable
from pose2mesh.recovered import RecoveredPicture
from pose2mesh.skeletons import INPUT_ORDERS, convert

FORMATS = ("obj", "glb", "json", "npz", "ply", "overlay", "html")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
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
        formats: Of `FORMATS`.
        detector: As `detect.detector.load_detector` takes it: `auto`, `mediapipe` or `rtmpose`.
        detector_files: Its model files, where they are not to be downloaded.
        offline: Download nothing.
    """

    out: Path
    joints: str
    image: Path | None
    intrinsics: Intrinsics | Literal["nominal"] | None
    height_m: float | None
    formats: tuple[str, ...]
    detector: str = "auto"
    detector_files: tuple[Path, ...] = ()
    offline: bool = False

    @classmethod
    def checked(
        cls,
        out: Path,
        joints: str,
        image: Path | None,
        intrinsics: str | None,
        height: float | None,
        formats: str,
        detector: str = "auto",
        detector_files: tuple[Path, ...] = (),
        offline: bool = False,
    ) -> PredictOptions:
        """Check every option before any work is done.

        Raises:
            InputError: names the option, the value and what was expected.
        """
        if joints not in INPUT_ORDERS:
            raise InputError(f"--joints {joints!r}: expected one of {', '.join(INPUT_ORDERS)}")
        chosen = tuple(part.strip() for part in formats.split(",") if part.strip())
        unknown = [part for part in chosen if part not in FORMATS]
        if unknown or not chosen:
            raise InputError(f"--formats {formats!r}: expected some of {', '.join(FORMATS)}, separated by commas")
        if height is not None and not 0.3 < height < 3:
            raise InputError(f"--height {height}: expected metres between 0.3 and 3")
        if image is not None and not image.exists():
            raise InputError(f"--image {image}: no such file or folder")
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file, expected a folder")
        known = intrinsics if intrinsics is None or intrinsics == NOMINAL else Intrinsics.parse(intrinsics)
        return cls(out, joints, image, known, height, chosen, detector, detector_files, offline)


@dataclass(frozen=True)
class Job:
    """One picture to be worked on.

    Attributes:
        stem: Of the names of its files.
        picture: Its keypoints; None for a photo whose people are yet to be detected.
        photo: To draw over, or to detect people in.
    """

    stem: str
    picture: PictureInput | None
    photo: Path | None


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
        model, device, backend: As `Recovery.load` takes them.
        options: What to write, and what is known of the pictures.
        say: Takes lines that say what was done.
        warn: Takes a line for each input or picture that could not be used, and for each photo that was not found.

    Returns:
        The exit status: 0 when everything was written, 1 when some inputs or pictures were at fault, 2 when all were.

    Raises:
        InputError: the model or the detector cannot be used; nothing has been written then.
    """
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
    if any(job.picture is None for job in jobs):
        from pose2mesh.detect.detector import load_detector

        detector = load_detector(options.detector, options.detector_files or None, options.offline)
    recovery = Recovery.load(model, device, backend)
    if options.height_m is not None:
        recovery.require_heights(options.height_m)
    written = 0
    for job in jobs:
        try:
            picture = job.picture
            if picture is None:
                from pose2mesh.detect.photos import detect_photo

                assert detector is not None
                assert job.photo is not None
                picture = detect_photo(job.photo, read_photo(job.photo), detector)
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
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            return [Job(path.stem, None, path)]
        if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
            raise InputError(f"{path}: is a video; expected the keypoints of its frames, as a folder of OpenPose files")
        if path.is_dir() and not any(path.glob("*.json")):
            photos = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if photos:
                return [Job(file.stem, None, file) for file in photos]
        pictures = read_keypoints(path, options.joints)
    except OSError as error:  # a name too long for the system, a folder that may not be listed
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    found = {} if options.image is None else match_images(pictures, options.image)
    return [Job(picture.stem, picture, found.get(picture.stem)) for picture in pictures]


def write_picture(
    recovery: Recovery, picture: PictureInput, photo_path: Path | None, options: PredictOptions
) -> list[str]:
    """Recover one picture's people and write what was asked for.

    Returns:
        Lines that say what was done.

    Raises:
        InputError: the photo cannot be used or the files cannot be written; none of them is there then.
    """
    photo = None if photo_path is None else read_photo(photo_path, picture.size)
    result = recover_picture(recovery, picture, photo, options)
    with all_or_none(options.out) as folder:
        write_formats(folder, recovery, result, options.formats)
    lines = [f"{picture.stem}: {len(result.people)} recovered, {len(result.skipped)} skipped"]
    return lines + [f"  skipped {skip.identifier}: {skip.reason}" for skip in result.skipped]


def write_formats(folder: Path, recovery: Recovery, result: RecoveredPicture, formats: tuple[str, ...]) -> None:
    """Write one picture's people in some of `FORMATS` into a folder that is there.

    Raises:
        InputError: a file cannot be written.
    """
    people, stem = result.people, result.stem
    files = name_files(stem, len(people), formats)
    for person, names in zip(people, files, strict=True):
        for name, write in (("obj", export.write_obj), ("ply", export.write_ply)):
            if name in names:
                write(folder / names[name], person.vertices, recovery.faces)
    if "glb" in formats and people:
        meshes = [
            (f"person_{index}", person.vertices_camera, recovery.faces, _in_unit(colour))
            for index, (person, colour) in enumerate(zip(people, result.colours, strict=True))
        ]
        export.write_glb(folder / f"{stem}.glb", meshes)
    if "npz" in formats:
        # reshape: without people, too, the arrays have three dimensions
        vertices = np.array([person.vertices for person in people]).reshape(-1, len(recovery.template), 3)
        joints = np.array([person.joints for person in people]).reshape(-1, len(recovery.joint_set), 3)
        export.write_npz(folder / f"{stem}.npz", vertices, joints, recovery.faces)
    if "overlay" in formats:
        picture = draw_overlay(result.ground(), people, recovery, result.colours or render.PALETTE)
        render.save_picture(folder / f"{stem}_overlay.png", picture)
    if "html" in formats:
        from pose2mesh.web.page import write_page
        from pose2mesh.web.scene import describe_frame

        frame = describe_frame(recovery, people, result.ground(), stem, result.identifiers, result.colours)
        write_page(folder / f"{stem}.html", stem, recovery, [frame])
    if "json" in formats:
        export.write_json(folder / f"{stem}.json", describe_picture(recovery, result, files))


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
        files = sorted(staging.iterdir())
        for file in files:  # before the first is moved, so that it is none of them
            if (folder / file.name).is_dir():
                raise InputError(f"{folder / file.name}: is a folder; expected to write a file there")
        for file in files:
            os.replace(file, folder / file.name)
    except InputError as error:
        raise InputError(str(error).replace(str(staging), str(folder))) from error
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it is not empty, as it should be
                folder.rmdir()


def name_files(stem: str, people: int, formats: tuple[str, ...]) -> list[dict[str, str]]:
    """For each person the files they are in, by format: their own (obj, ply) and those everyone shares."""
    shared = {"glb": f"{stem}.glb", "npz": f"{stem}.npz", "overlay": f"{stem}_overlay.png", "html": f"{stem}.html"}
    return [
        {name: shared.get(name, f"{stem}_{index}.{name}") for name in formats if name != "json"}
        for index in range(people)
    ]


def recover_picture(
    recovery: Recovery, picture: PictureInput, photo: NDArray[np.uint8] | None, options: PredictOptions
) -> RecoveredPicture:
    """The people of a picture in its order, from the joints of the file in the model's own joint set.

    Raises:
        InputError: a nominal camera is asked for, and nothing says how large the picture is.
    """
    size = picture.size if photo is None or picture.size is not None else (photo.shape[1], photo.shape[0])
    people, identifiers, skipped = _recover_people(recovery, picture, options, size)
    return RecoveredPicture(picture.stem, picture.image_name or picture.stem, photo, size, people, identifiers, skipped)


def _recover_people(
    recovery: Recovery, picture: PictureInput, options: PredictOptions, size: tuple[int, int] | None
) -> tuple[list[Person], list[int | str | None], list[Skipped]]:
    """The people, their ids, and those who are skipped: by the reader, or because the model lacks their joints."""
    intrinsics = options.intrinsics
    if intrinsics == NOMINAL:
        if size is None:
            raise InputError(
                f"--intrinsics {NOMINAL}: nothing says how large the picture {picture.stem!r} is; give --image"
            )
        intrinsics = nominal_intrinsics(size)
    pixels, confidence, identifiers = [], [], []
    skipped = list(picture.skipped)
    for person in picture.people:
        found = convert(person.original[:, :2], person.original[:, 2], person.original_names, recovery.joint_set)
        fault = unusable(*found, recovery.joint_set)
        if fault is not None:
            skipped.append(Skipped(person.identifier, fault))
            continue
        pixels.append(found[0])
        confidence.append(found[1])
        identifiers.append(person.identifier)
    if not pixels:
        return [], [], skipped
    people = recovery.recover_converted(np.stack(pixels), np.stack(confidence), intrinsics, options.height_m, size)
    return people, identifiers, skipped


def describe_picture(recovery: Recovery, result: RecoveredPicture, files: list[dict[str, str]]) -> dict[str, Any]:
    """The JSON document of a picture; `files` are each person's, by format."""
    return {
        "input": result.name,
        "model": recovery.info.name,
        "joint_names": list(recovery.joint_set.names),
        "people": [
            describe_person(person, identifier, names)
            for person, identifier, names in zip(result.people, result.identifiers, files, strict=True)
        ],
        "skipped": [{"id": skip.identifier, "reason": skip.reason} for skip in result.skipped],
    }


def describe_person(person: Person, identifier: int | str | None, files: dict[str, str]) -> dict[str, Any]:
    """One entry of the JSON document's `people`; `files` are names in the document's own folder."""
    camera = person.camera
    return {
        "id": identifier,
        "joints3d_m": person.joints,
        "joints2d_px": camera.project(person.joints),
        "input2d_px": person.joints_px,
        "confidence": person.confidence,
        "camera": {
            "kind": camera.kind,
            "translation_m": camera.translation_m,
            "scale_px_per_m": camera.scale_px_per_m,
            "shift_px": camera.shift_px,
            "intrinsics": [camera.intrinsics.fx, camera.intrinsics.fy, camera.intrinsics.cx, camera.intrinsics.cy],
        },
        "stature_m": person.stature_m if np.isfinite(person.stature_m) else None,
        "score": person.score,
        "files": files,
    }


def _in_unit(colour: render.Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
