"""What comes with a request, as pictures with keypoints: files under safe names, checked before they are opened."""

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
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import ImageInput, read_keypoints
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.visualization import renderer
from pose2mesh.visualization.overlay import LONGEST_OVERLAY_PX

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector

# How a file begins → the suffix that it is kept under, whatever its name says.
_SIGNATURES = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"RIFF", ".webp"),
    (b"\x93NUMPY", ".npy"), (b"PK", ".npz"),
)  # fmt: skip
PHOTO_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_LONGEST_NAME = 60
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class Uploaded:
    """One picture of a request.

    Attributes:
        picture: Its keypoints.
        photo: (H, W, 3) RGB, at most as large as an overlay, where there is one.
    """

    picture: ImageInput
    photo: NDArray[np.uint8] | None


def safe_stem(name: str) -> str:
    """A name for files that leads nowhere and means nothing to a shell, a header or a page."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", last.rsplit(".", 1)[0]).strip("_-")
    return plain[:_LONGEST_NAME] or "upload"


def suffix_of(start: bytes) -> str:
    """What a file is, by its first bytes; what is nothing else is taken for JSON.

    Raises:
        InputError: neither a picture that is taken nor keypoints.
    """
    for signature, suffix in _SIGNATURES:
        if start.startswith(signature):
            return suffix
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return ".json"
    raise InputError("is neither a JPEG, PNG or WebP picture nor keypoints as JSON, .npy or .npz")


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, with a number where it is taken; it is taken from then on."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name


async def save_uploads(request: Request, folder: Path, limits: RequestLimits) -> list[Path]:
    """Put the files of a form, or a body that is one file, into a folder, chunk by chunk.

    Returns:
        The files, under names of `safe_stem` and suffixes of `suffix_of`.

    Raises:
        InputError: the form has no file, or a file is of no kind that is taken.
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
        raise InputError("the form has no file named 'file'; expected photos or keypoints")
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
) -> list[Uploaded]:
    """The pictures of a request, people detected in photos that no keypoints came for.

    Args:
        files: In one folder, under names of `safe_stem` and `suffix_of`.
        joints: Order of the joints in arrays.
        limits: On pixels, bytes of keypoints, and people.
        detector: None where photos are not taken.
        check: Called between pictures; raises where the time is over.

    Raises:
        InputError: a file cannot be used; it is named without its folder.
        HTTPException: 413, there is more in it than the limits allow; 415, a photo and no detector.
    """
    photos = [file for file in files if file.suffix in PHOTO_FORMATS]
    pictures: list[ImageInput] = []
    for file in files:
        if file.suffix not in PHOTO_FORMATS:
            check_unpacked_size(file, limits.keypoint_bytes)
            pictures += read_keypoints(file, joints)
    check_people(sum(len(picture.people) for picture in pictures), limits)
    matched = _match(pictures, photos)
    uploads = []
    for picture in pictures:
        check()
        match = matched.get(picture.stem)
        photo = None if match is None else _open_photo(match, limits, picture.size)
        uploads.append(Uploaded(picture, None if photo is None else renderer.fit_within(photo, LONGEST_OVERLAY_PX)[0]))
    if not pictures:
        uploads = list(_detect(photos, limits, detector, check))
    taken: set[str] = set()
    return [
        replace(each, picture=replace(each.picture, stem=free_name(safe_stem(f"{each.picture.stem}."), taken)))
        for each in uploads
    ]


def _detect(
    photos: list[Path], limits: RequestLimits, detector: Detector | None, check: Callable[[], None]
) -> Iterator[Uploaded]:
    from pose2mesh.detectors.image_keypoints import detect_image

    if photos and detector is None:
        raise HTTPException(415, "this server has no detector for photos; send keypoints")
    people = 0
    for file in photos:
        check()
        photo = _open_photo(file, limits)
        assert detector is not None
        picture = detect_image(file, photo, detector)
        people += len(picture.people)
        check_people(people, limits)
        yield Uploaded(picture, renderer.fit_within(photo, LONGEST_OVERLAY_PX)[0])


def _match(pictures: list[ImageInput], photos: list[Path]) -> dict[str, Path]:
    if not pictures or not photos:
        return {}
    return match_images(pictures, photos[0] if len(pictures) == len(photos) == 1 else photos[0].parent)


def _open_photo(file: Path, limits: RequestLimits, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A photo whose header says that it is not too large to be unpacked."""
    from PIL import Image

    try:
        with Image.open(file, formats=[PHOTO_FORMATS[file.suffix]]) as image:
            width, height = image.size
    except Image.DecompressionBombError:  # so many pixels that Pillow does not tell how many
        raise HTTPException(413, f"{file.name}: has more pixels than the {limits.pixels:,} that are taken") from None
    except (OSError, SyntaxError, ValueError):
        raise InputError(f"{file}: is not a {PHOTO_FORMATS[file.suffix]} picture that can be read") from None
    if width * height > limits.pixels:
        raise HTTPException(413, f"{file.name}: has {width}x{height} pixels; at most {limits.pixels:,} are taken")
    return read_image(file, size)


def check_unpacked_size(file: Path, most_bytes: int) -> None:
    """Refuse a file that has more bytes than allowed once it is unpacked, before it is.

    Raises:
        InputError: it is an `.npz` file that is broken.
        HTTPException: 413.
    """
    size = file.stat().st_size
    if file.suffix == ".npz":
        try:
            with zipfile.ZipFile(file) as archive:  # which unpacks no more of an entry than it says here
                size = sum(entry.file_size for entry in archive.infolist())
        except (OSError, ValueError, zipfile.BadZipFile):
            raise InputError(f"{file}: is not an .npz file that can be read") from None
    if size > most_bytes:
        raise HTTPException(413, f"{file.name}: has {size:,} bytes; at most {most_bytes:,} are taken")


def check_people(count: int, limits: RequestLimits) -> None:
    """Refuse more people than allowed.

    Raises:
        HTTPException: 413.
    """
    if count > limits.people:
        raise HTTPException(413, f"{count} people in one request; at most {limits.people} are taken")


@contextmanager
def without_folder(folder: Path) -> Iterator[None]:
    """Errors name a file as the client knows it, not where the server put it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")) from None
