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
from pose2mesh.errors import InputError, one_line
from pose2mesh.predict import Person, Recovery, unusable
from pose2mesh.skeletons import INPUT_ORDERS, convert

FORMATS = ("obj", "glb", "json", "npz", "ply", "overlay")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
LONGEST_OVERLAY_PX = 1600
NOMINAL: Literal["nominal"] = "nominal"  # as an option's value in place of intrinsics
_PLAIN_PX = 900  # longer side of the canvas where nothing says how large the picture was


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
    """

    out: Path
    joints: str
    image: Path | None
    intrinsics: Intrinsics | Literal["nominal"] | None
    height_m: float | None
    formats: tuple[str, ...]

    @classmethod
    def checked(
        cls, out: Path, joints: str, image: Path | None, intrinsics: str | None, height: float | None, formats: str
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
        return cls(out, joints, image, known, height, chosen)


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
        inputs: Files and folders of keypoints.
        model, device, backend: As `Recovery.load` takes them.
        options: What to write, and what is known of the pictures.
        say: Takes lines that say what was done.
        warn: Takes a line for each input or picture that could not be used, and for each photo that was not found.

    Returns:
        The exit status: 0 when everything was written, 1 when some inputs or pictures were at fault, 2 when all were.

    Raises:
        InputError: the model cannot be used; nothing has been written then.
    """
    work: list[tuple[PictureInput, Path | None]] = []
    origin: dict[str, Path] = {}
    faults = 0
    for path in inputs:
        try:
            pictures = read_input(path, options.joints)
            photos = {} if options.image is None else match_images(pictures, options.image)
            for picture in pictures:
                if (other := origin.get(picture.stem)) is not None:
                    raise InputError(
                        f"{path}: its files would overwrite those of {other}, both named {picture.stem!r}; "
                        "expected another --out for one of them"
                    )
        except InputError as error:
            faults += 1
            warn(f"pose2mesh: {error}")
            continue
        origin |= {picture.stem: path for picture in pictures}
        work += [(picture, photos.get(picture.stem)) for picture in pictures]
    if not work:
        return 2
    recovery = Recovery.load(model, device, backend)
    if options.height_m is not None:
        recovery.require_heights(options.height_m)
    written = 0
    for picture, photo in work:
        try:
            for line in write_picture(recovery, picture, photo, options):
                say(line)
        except InputError as error:
            faults += 1
            warn(f"pose2mesh: {error}")
            continue
        written += 1
        if options.image is not None and photo is None:
            warn(f"{picture.stem}: no photo found in {options.image}; drawn on a plain canvas")
    return 0 if not faults else 1 if written else 2


def read_input(path: Path, joints: str) -> list[PictureInput]:
    """The pictures of one input.

    Raises:
        InputError: it cannot be used; see `read_keypoints`.
    """
    try:
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            raise InputError(f"{path}: is a picture; expected its keypoints, and the picture with --image")
        if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
            raise InputError(f"{path}: is a video; expected the keypoints of its frames, as a folder of OpenPose files")
        return read_keypoints(path, joints)
    except OSError as error:  # a name too long for the system, a folder that may not be listed
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


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
    size = picture.size if photo is None or picture.size is not None else (photo.shape[1], photo.shape[0])
    people, identifiers, skipped = recover_picture(recovery, picture, options, size)
    files = name_files(picture.stem, len(people), options.formats)
    with all_or_none(options.out) as folder:
        for person, names in zip(people, files, strict=True):
            if "obj" in names:
                export.write_obj(folder / names["obj"], person.vertices, recovery.faces)
            if "ply" in names:
                export.write_ply(folder / names["ply"], person.vertices, recovery.faces)
        if "glb" in options.formats and people:
            meshes = [
                (f"person_{index}", person.vertices_camera, recovery.faces, _unit_colour(index))
                for index, person in enumerate(people)
            ]
            export.write_glb(folder / f"{picture.stem}.glb", meshes)
        if "npz" in options.formats:
            # reshape: without people, too, the arrays have three dimensions
            vertices = np.array([person.vertices for person in people]).reshape(-1, len(recovery.template), 3)
            joints = np.array([person.joints for person in people]).reshape(-1, len(recovery.joint_set), 3)
            export.write_npz(folder / f"{picture.stem}.npz", vertices, joints, recovery.faces)
        if "overlay" in options.formats:
            ground = plain_ground(people, size) if photo is None else photo_ground(photo, size)
            render.save_picture(folder / f"{picture.stem}_overlay.png", draw_overlay(ground, people, recovery))
        if "json" in options.formats:
            document = {
                "input": picture.image_name or picture.stem,
                "model": recovery.info.name,
                "joint_names": list(recovery.joint_set.names),
                "people": [
                    describe_person(person, identifier, names)
                    for person, identifier, names in zip(people, identifiers, files, strict=True)
                ],
                "skipped": [{"id": skip.identifier, "reason": skip.reason} for skip in skipped],
            }
            export.write_json(folder / f"{picture.stem}.json", document)
    lines = [f"{picture.stem}: {len(people)} recovered, {len(skipped)} skipped"]
    return lines + [f"  skipped {skip.identifier}: {skip.reason}" for skip in skipped]


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
    shared = {"glb": f"{stem}.glb", "npz": f"{stem}.npz", "overlay": f"{stem}_overlay.png"}
    return [
        {name: shared.get(name, f"{stem}_{index}.{name}") for name in formats if name != "json"}
        for index in range(people)
    ]


def recover_picture(
    recovery: Recovery, picture: PictureInput, options: PredictOptions, size: tuple[int, int] | None
) -> tuple[list[Person], list[int | str | None], list[Skipped]]:
    """The people of a picture in its order, from the joints of the file in the model's own joint set.

    Returns:
        The people, their ids, and those who are skipped: by the reader, or because the model lacks their joints.

    Raises:
        InputError: a nominal camera is asked for, and nothing says how large the picture is.
    """
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


@dataclass(frozen=True)
class Ground:
    """What an overlay is drawn on.

    Attributes:
        picture: (H, W, 3).
        origin_px: (2,) its top left corner, in the pixels of the keypoints.
        factor: (2,) its pixels for each of theirs, across and down.
    """

    picture: NDArray[np.uint8]
    origin_px: NDArray[np.floating]
    factor: NDArray[np.floating]

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.floating]:
        """Pixels (N, 2) of the keypoints → pixels of the ground."""
        return (pixels - self.origin_px) * self.factor


def photo_ground(photo: NDArray[np.uint8], size: tuple[int, int] | None) -> Ground:
    """A photo, at most 1,600 pixels on its longer side, for keypoints in a picture of `size` (width, height)."""
    picture, _ = render.fit_within(photo, LONGEST_OVERLAY_PX)
    shown = np.array(picture.shape[1::-1], np.float64)
    return Ground(picture, np.zeros(2), shown / np.array(size or photo.shape[1::-1]))


def plain_ground(people: list[Person], size: tuple[int, int] | None) -> Ground:
    """A plain canvas: the whole picture where its size is known, else a window around the people.

    It is never larger than an overlay may be, however far apart the coordinates are.
    """
    origin, extent = np.zeros(2), np.array(size or (640, 480), np.float64)
    if size is None and people:
        joints = np.concatenate([person.joints_px[person.confidence > 0] for person in people]).astype(np.float64)
        low, high = joints.min(0), joints.max(0)
        margin = 0.25 * float((high - low).max())
        origin, extent = low - margin, high - low + 2 * margin
    factor = _PLAIN_PX / extent.max() if size is None else min(1.0, LONGEST_OVERLAY_PX / extent.max())
    width, height = (max(16, round(float(side))) for side in extent * factor)
    return Ground(render.plain_canvas(height, width), origin, np.full(2, factor))


def draw_overlay(ground: Ground, people: list[Person], recovery: Recovery) -> NDArray[np.uint8]:
    """Everyone's mesh and input joints over a picture."""
    meshes = [
        render.ProjectedMesh(
            ground.place(person.camera.project(person.vertices)),
            person.vertices_camera[:, 2],
            person.vertices,
            recovery.faces,
        )
        for person in people
    ]
    picture = render.draw_people(ground.picture, meshes)
    for person in people:
        joints = ground.place(person.joints_px)
        picture = render.draw_skeleton(picture, joints, person.confidence, recovery.joint_set.edges)
    return picture


def read_photo(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A photo (H, W, 3), turned as its EXIF orientation says, unless only the photo as stored has the shape of `size`.

    Args:
        path: The file.
        size: (width, height) of the picture that the keypoints are for; a smaller or larger copy of it will do.

    Raises:
        InputError: not a picture, cut short, or of another shape than `size`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            photo = next((each for each in (turned, image) if size is None or _same_shape(each.size, size)), None)
            if photo is not None:
                return np.asarray(photo.convert("RGB"))
            found = "x".join(map(str, turned.size))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not a picture that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({one_line(error)})") from error
    assert size is not None
    raise InputError(f"{path}: is {found} pixels; expected {size[0]}x{size[1]}, as its keypoints say, or that shape")


def _same_shape(found: tuple[int, int], expected: tuple[int, int]) -> bool:
    """Whether one picture is a scaled copy of the other, but for a pixel of rounding on the sides."""
    factor = max(found) / max(expected)
    return all(abs(a - factor * b) <= max(1.0, factor) for a, b in zip(found, expected, strict=True))


def _unit_colour(index: int) -> tuple[float, float, float]:
    red, green, blue = render.PALETTE[index % len(render.PALETTE)]
    return red / 255, green / 255, blue / 255
