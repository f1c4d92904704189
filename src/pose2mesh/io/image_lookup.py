"""Finding the image files that belong to the images of a keypoint file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from pose2mesh.errors import InputError
from pose2mesh.io.keypoints import ImageInput

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def match_images(inputs: Sequence[ImageInput], images: Path | str) -> dict[str, Path]:
    """Find the image file of each image of a keypoint file.

    Args:
        inputs: Result of `read_keypoints` for one input.
        images: An image file, for a single image; or a folder, searched for the file name in the input or, where it
            names none, for a file with the same stem (`x` for OpenPose's `x_keypoints.json`) or the COCO image id.

    Returns:
        Image file by stem. Images whose file is not in the folder are left out; overlays use a plain canvas for them.

    Raises:
        InputError: `images` does not exist, is one file for several images, or a folder with none of them.
    """
    images = Path(images)
    if images.is_file() and len(inputs) == 1:
        return {inputs[0].stem: images}
    if not images.is_dir():
        fault = f"is one file for {len(inputs)} images" if images.is_file() else "no such image or folder"
        raise InputError(f"{images}: {fault}; expected a folder of images")
    by_stem = {file.stem: file for file in sorted(images.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES}
    found = {each.stem: _image_in(images, by_stem, each) for each in inputs}
    if inputs and not any(found.values()):
        raise InputError(
            f"{images}: has no {inputs[0].image_name or inputs[0].stem!r}, nor any other image of the input"
        )
    return {stem: file for stem, file in found.items() if file is not None}


def _image_in(folder: Path, by_stem: dict[str, Path], image: ImageInput) -> Path | None:
    if image.image_name is not None:
        name = PureWindowsPath(image.image_name)  # splits at both kinds of slash
        # A name read from a file must not lead out of the folder.
        parts = [name.name] if name.anchor or ".." in name.parts else name.parts
        return next((file for file in (folder.joinpath(*parts), folder / name.name) if file.is_file()), None)
    stems = [image.stem, image.stem.removesuffix("_keypoints"), str(image.image_id)]
    if isinstance(image.image_id, int):
        stems.append(f"{image.image_id:012d}")  # as COCO names its files
    return next((by_stem[stem] for stem in stems if stem in by_stem), None)
