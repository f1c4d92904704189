"""The image files that the pictures of a keypoint file belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from pose2mesh.errors import InputError
from pose2mesh.io.keypoints import ImageInput

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def match_images(pictures: Sequence[ImageInput], images: Path | str) -> dict[str, Path]:
    """Find the image file of each picture.

    Args:
        pictures: What `read_keypoints` gave for one input.
        images: An image file, for a single picture; or a folder, searched for the picture's file name or, where the
            input names none, for an image of the same stem (`x` for OpenPose's `x_keypoints.json`) or COCO image id.

    Returns:
        Stem to image file. A picture whose file is not in the folder is left out, to be drawn on a plain canvas.

    Raises:
        InputError: nothing is at `images`, it is one file for several pictures, or a folder with none of them.
    """
    images = Path(images)
    if images.is_file() and len(pictures) == 1:
        return {pictures[0].stem: images}
    if not images.is_dir():
        fault = f"is one image for {len(pictures)} pictures" if images.is_file() else "no such image or folder"
        raise InputError(f"{images}: {fault}; expected a folder of images")
    by_stem = {file.stem: file for file in sorted(images.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES}
    found = {picture.stem: _image_in(images, by_stem, picture) for picture in pictures}
    if pictures and not any(found.values()):
        raise InputError(f"{images}: has no {pictures[0].image_name or pictures[0].stem!r}, nor any other picture")
    return {stem: file for stem, file in found.items() if file is not None}


def _image_in(folder: Path, by_stem: dict[str, Path], picture: ImageInput) -> Path | None:
    if picture.image_name is not None:
        name = PureWindowsPath(picture.image_name)  # splits at both kinds of slash
        # A name read from a file must not lead out of the folder.
        parts = [name.name] if name.anchor or ".." in name.parts else name.parts
        return next((file for file in (folder.joinpath(*parts), folder / name.name) if file.is_file()), None)
    stems = [picture.stem, picture.stem.removesuffix("_keypoints"), str(picture.image_id)]
    if isinstance(picture.image_id, int):
        stems.append(f"{picture.image_id:012d}")  # as COCO names its pictures
    return next((by_stem[stem] for stem in stems if stem in by_stem), None)
