"""From input files to output files: what `pose2mesh predict` does for each input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh import export, render
from pose2mesh.camera import Intrinsics
from pose2mesh.data.keypoints import IMAGE_SUFFIXES, PictureInput, match_images, read_keypoints
from pose2mesh.errors import InputError
from pose2mesh.predict import Person, Recovery, canvas_size
from pose2mesh.skeletons import INPUT_ORDERS, convert

FORMATS = ("obj", "glb", "json", "npz", "ply", "overlay")
LONGEST_OVERLAY_PX = 1600


@dataclass(frozen=True)
class PredictOptions:
    """What a user asked `predict` for; `checked` builds it from the command line's texts."""

    out: Path
    joints: str
    image: Path | None
    intrinsics: Intrinsics | None
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
        return cls(out, joints, image, None if intrinsics is None else Intrinsics.parse(intrinsics), height, chosen)


def predict_files(
    inputs: list[Path], model: str, device: str, options: PredictOptions, report: Callable[[str], None]
) -> int:
    """Recover everyone in every input and write the files; returns the exit status.

    A bad input is reported and the others are still done (status 1); where there is only one, its `InputError` goes to
    the caller.
    """
    recovery: Recovery | None = None
    faults = 0
    for path in inputs:
        try:
            pictures = _read(path, options)
            photos = {} if options.image is None else match_images(pictures, options.image)
            if recovery is None:
                recovery = Recovery.load(model, device)
            _make_folder(options.out)
            for picture in pictures:
                for line in write_picture(recovery, picture, photos.get(picture.stem), options):
                    report(line)
                if options.image is not None and picture.stem not in photos:
                    report(f"{picture.stem}: no photo found in {options.image}; drawn on a plain canvas")
        except InputError as error:
            if len(inputs) == 1:
                raise
            faults += 1
            report(f"pose2mesh: {error}")
    if faults == len(inputs):
        raise InputError(f"none of the {len(inputs)} inputs could be used")
    return 1 if faults else 0


def _read(path: Path, options: PredictOptions) -> list[PictureInput]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError(f"{path}: a picture; give its keypoints, and the picture with --image")
    return read_keypoints(path, options.joints)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror})") from error


def write_picture(recovery: Recovery, picture: PictureInput, photo: Path | None, options: PredictOptions) -> list[str]:
    """Recover one picture's people and write what was asked for; returns lines that say what was done."""
    canvas = None if photo is None else read_photo(photo)
    size = picture.size if canvas is None else (canvas.shape[1], canvas.shape[0])
    people = recover_picture(recovery, picture, options, size)
    files: list[dict[str, str]] = [{} for _ in people]
    base = options.out / picture.stem
    for index, person in enumerate(people):
        for suffix, write in (("obj", export.write_obj), ("ply", export.write_ply)):
            if suffix in options.formats:
                name = f"{picture.stem}_{index}.{suffix}"
                write(options.out / name, person.vertices, recovery.faces)
                files[index][suffix] = name
    if "glb" in options.formats and people:
        meshes = [
            (f"person_{index}", person.vertices_camera, recovery.faces, _unit_colour(index))
            for index, person in enumerate(people)
        ]
        export.write_glb(base.with_name(f"{picture.stem}.glb"), meshes)
    if "npz" in options.formats:
        vertices = np.stack([person.vertices for person in people]) if people else np.zeros((0, 0, 3))
        joints = np.stack([person.joints for person in people]) if people else np.zeros((0, 0, 3))
        export.write_npz(base.with_name(f"{picture.stem}.npz"), vertices, joints, recovery.faces)
    if "overlay" in options.formats:
        ground = canvas if canvas is not None else _plain(picture, people, size)
        render.save_picture(
            base.with_name(f"{picture.stem}_overlay.png"), draw_overlay(ground, people, recovery)
        )
    if "json" in options.formats:
        document = {
            "input": picture.image_name or picture.stem,
            "model": recovery.bundle.info.name,
            "joint_names": list(recovery.joint_set.names),
            "people": [
                describe_person(person, source.identifier, file)
                for person, source, file in zip(people, picture.people, files, strict=True)
            ],
            "skipped": [{"id": skipped.identifier, "reason": skipped.reason} for skipped in picture.skipped],
        }
        export.write_json(base.with_name(f"{picture.stem}.json"), document)
    lines = [f"{picture.stem}: {len(people)} recovered, {len(picture.skipped)} skipped"]
    return lines + [f"  skipped {skipped.identifier}: {skipped.reason}" for skipped in picture.skipped]


def recover_picture(
    recovery: Recovery, picture: PictureInput, options: PredictOptions, size: tuple[int, int] | None
) -> list[Person]:
    """The people of a picture, in its order, from the joints of the file in the model's own joint set."""
    if not picture.people:
        return []
    converted = [
        convert(person.original[:, :2], person.original[:, 2], person.original_names, recovery.joint_set)
        for person in picture.people
    ]
    pixels, confidence = (np.stack(part) for part in zip(*converted, strict=True))
    return recovery.recover_converted(pixels, confidence, options.intrinsics, options.height_m, size)


def describe_person(person: Person, identifier: int | str | None, files: dict[str, str]) -> dict[str, Any]:
    """One entry of the JSON document's `people`."""
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
        "stature_m": person.stature_m,
        "score": person.score,
        "files": files,
    }


def draw_overlay(ground: NDArray[np.uint8], people: list[Person], recovery: Recovery) -> NDArray[np.uint8]:
    """Everyone's mesh and input joints over a picture, at most 1,600 pixels on its longer side."""
    picture, factor = render.fit_within(ground, LONGEST_OVERLAY_PX)
    meshes = [
        render.ProjectedMesh(
            person.camera.project(person.vertices) * factor,
            person.vertices_camera[:, 2],
            person.vertices,
            recovery.faces,
        )
        for person in people
    ]
    picture = render.draw_people(picture, meshes)
    for person in people:
        picture = render.draw_skeleton(
            picture, person.joints_px * factor, person.confidence, recovery.joint_set.edges
        )
    return picture


def read_photo(path: Path) -> NDArray[np.uint8]:
    """A photo (H, W, 3), turned as its EXIF orientation says.

    Raises:
        InputError: not a picture, or cut short.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error


def _plain(picture: PictureInput, people: list[Person], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if size is None:
        seen = [person.joints_px[person.confidence > 0] for person in people]
        size = canvas_size(np.concatenate(seen)) if seen else (640, 480)
    # A canvas no larger than what is drawn in the end, however large the coordinates are.
    width, height = size
    return render.plain_canvas(max(height, 16), max(width, 16))


def _unit_colour(index: int) -> tuple[float, float, float]:
    red, green, blue = render.PALETTE[index % len(render.PALETTE)]
    return red / 255, green / 255, blue / 255
