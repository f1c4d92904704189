"""Reads the files of a request as images and keypoints: stores them under safe names, checks them before opening."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pose2mesh.errors import InputError
from pose2mesh.io.focal_length import read_focal_length
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import ImageInput, read_keypoints
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.visualization import renderer
from pose2mesh.visualization.overlay import LONGEST_OVERLAY_PX

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector

# First bytes of a file → suffix of the stored file; the suffix of its name is ignored.
_SIGNATURES = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"RIFF", ".webp"),
    (b"\x93NUMPY", ".npy"), (b"PK", ".npz"),
)  # fmt: skip
IMAGE_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_LONGEST_NAME = 60
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """One image of a request.

    Attributes:
        keypoints: The people's 2D joints.
        image: (H, W, 3) RGB, at most as large as an overlay; None where only keypoints were sent.
        focal_35mm: 35 mm equivalent focal length in the metadata of the image, where there is one.
    """

    keypoints: ImageInput
    image: NDArray[np.uint8] | None
    focal_35mm: float | None = None


def safe_stem(name: str) -> str:
    """A file name without path separators and without characters special to a shell, a header or a page."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", last.rsplit(".", 1)[0]).strip("_-")
    return plain[:_LONGEST_NAME] or "upload"


def suffix_of(start: bytes) -> str:
    """The suffix of a file's type, by its first bytes.

    Raises:
        InputError: neither a supported image nor keypoints.
    """
    for signature, suffix in _SIGNATURES:
        if start.startswith(signature):
            return suffix
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return ".json"
    raise InputError("is neither a JPEG, PNG or WebP image nor keypoints as JSON, .npy or .npz")


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, with a number appended if it is already in `taken`; the result is added to `taken`."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name


async def save_uploads(request: Request, folder: Path, limits: RequestLimits) -> list[Path]:
    """Store the files of a form, or a body that is one file, in a folder, chunk by chunk.

    Returns:
        The files, under names of `safe_stem` and suffixes of `suffix_of`.

    Raises:
        InputError: the form has no file, or a file has an unsupported type.
        HTTPException: the request is larger or slower than the limits allow.
    """
    taken: set[str] = set()
    partial = folder / ".part"
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        with partial.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return [_settle(partial, request.query_params.get("name", "upload"), taken)]
    files = []
    async with request.form(max_files=limits.files, max_fields=8) as form:
        for part in form.getlist("file"):
            if isinstance(part, UploadFile):
                with partial.open("wb") as file:
                    while chunk := await part.read(_CHUNK_BYTES):
                        file.write(chunk)
                files.append(_settle(partial, part.filename or "upload", taken))
    if not files:
        raise InputError("the form has no file named 'file'; expected images or keypoints")
    return files


def _settle(partial: Path, name: str, taken: set[str]) -> Path:
    stem = safe_stem(name)
    with partial.open("rb") as file:
        start = file.read(64)
    try:
        suffix = suffix_of(start)
    except InputError as error:
        raise InputError(f"{stem}: {error}") from None
    return partial.rename(partial.with_name(free_name(stem, taken) + suffix))


def read_uploads(
    files: list[Path], joints: str, limits: RequestLimits, detector: Detector | None, check: Callable[[], None]
) -> list[UploadedImage]:
    """Read the images of a request; people are detected where no keypoints were sent.

    Args:
        files: Files in one folder, named by `safe_stem` and `suffix_of`.
        joints: Order of the joints in arrays.
        limits: Limits on pixels, bytes of keypoints, and people.
        detector: Detector of 2D poses; None where images are not accepted.
        check: Callback between images; raises once the deadline has passed.

    Raises:
        InputError: a file cannot be used; it is named without its folder.
        HTTPException: 413, a limit is exceeded; 415, an image without keypoints, and no detector.
    """
    image_files = [file for file in files if file.suffix in IMAGE_FORMATS]
    keypoints_of_images: list[ImageInput] = []
    for file in files:
        if file.suffix not in IMAGE_FORMATS:
            check_unpacked_size(file, limits.keypoint_bytes)
            keypoints_of_images += read_keypoints(file, joints)
    check_people(sum(len(keypoints.people) for keypoints in keypoints_of_images), limits)
    matched = _match(keypoints_of_images, image_files)
    uploads = []
    for keypoints in keypoints_of_images:
        check()
        match = matched.get(keypoints.stem)
        if match is None:
            uploads.append(UploadedImage(keypoints, None))
        else:
            uploads.append(_with_image(keypoints, match, _open_image(match, limits, keypoints.size)))
    if not keypoints_of_images:
        uploads = list(_detect(image_files, limits, detector, check))
    taken: set[str] = set()
    return [
        replace(each, keypoints=replace(each.keypoints, stem=free_name(safe_stem(f"{each.keypoints.stem}."), taken)))
        for each in uploads
    ]


def _detect(
    image_files: list[Path], limits: RequestLimits, detector: Detector | None, check: Callable[[], None]
) -> Iterator[UploadedImage]:
    from pose2mesh.detectors.image_keypoints import detect_image

    if image_files and detector is None:
        raise HTTPException(415, "this server has no detector for images; send keypoints")
    people = 0
    for file in image_files:
        check()
        image = _open_image(file, limits)
        assert detector is not None
        keypoints = detect_image(file, image, detector)
        people += len(keypoints.people)
        check_people(people, limits)
        yield _with_image(keypoints, file, image)


def _with_image(keypoints: ImageInput, file: Path, image: NDArray[np.uint8]) -> UploadedImage:
    """The upload with the image made smaller; the keypoints keep the pixels of the whole one."""
    size = keypoints.size or (image.shape[1], image.shape[0])
    shrunk = renderer.fit_within(image, LONGEST_OVERLAY_PX)[0]
    return UploadedImage(replace(keypoints, size=size), shrunk, read_focal_length(file).equivalent_mm)


def _match(keypoints_of_images: list[ImageInput], image_files: list[Path]) -> dict[str, Path]:
    if not keypoints_of_images or not image_files:
        return {}
    return match_images(
        keypoints_of_images,
        image_files[0] if len(keypoints_of_images) == len(image_files) == 1 else image_files[0].parent,
    )


def _open_image(file: Path, limits: RequestLimits, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an image, after a check of the size in its header."""
    from PIL import Image

    try:
        with Image.open(file, formats=[IMAGE_FORMATS[file.suffix]]) as image:
            width, height = image.size
    except Image.DecompressionBombError:  # Pillow refuses to report a size this large
        raise HTTPException(413, f"{file.name}: has more pixels than the {limits.pixels:,} that are accepted") from None
    except (OSError, SyntaxError, ValueError):
        raise InputError(f"{file}: is not a {IMAGE_FORMATS[file.suffix]} image that can be read") from None
    if width * height > limits.pixels:
        raise HTTPException(413, f"{file.name}: has {width}x{height} pixels; at most {limits.pixels:,} are accepted")
    return read_image(file, size)


def check_unpacked_size(file: Path, most_bytes: int) -> None:
    """Refuse a file that would exceed `most_bytes` when unpacked, before it is unpacked.

    Raises:
        InputError: the `.npz` file is broken.
        HTTPException: 413.
    """
    size = file.stat().st_size
    if file.suffix == ".npz":
        try:
            with zipfile.ZipFile(file) as archive:  # zipfile unpacks no more of a member than is stated here
                size = sum(member.file_size for member in archive.infolist())
        except (OSError, ValueError, zipfile.BadZipFile):
            raise InputError(f"{file}: is not an .npz file that can be read") from None
    if size > most_bytes:
        raise HTTPException(413, f"{file.name}: has {size:,} bytes; at most {most_bytes:,} are accepted")


def check_people(count: int, limits: RequestLimits) -> None:
    """Refuse more people than allowed.

    Raises:
        HTTPException: 413.
    """
    if count > limits.people:
        raise HTTPException(413, f"{count} people in one request; at most {limits.people} are accepted")


@contextmanager
def without_folder(folder: Path) -> Iterator[None]:
    """Remove the server's folder from the file name in errors, since the client does not know it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")) from None
