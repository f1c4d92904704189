"""Decoding of downloaded images within size limits, perceptual hashes, and face blurring."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection

MOST_PIXELS = 60_000_000
SMALLEST_SIDE_PX = 200
SMALLEST_PERSON_PX = 128  # height of the box
_LEAST_SCORE, _LEAST_JOINTS, _SEEN = 0.4, 6, 0.3
_FORMATS = ("JPEG", "PNG", "WEBP")
_HEAD = slice(0, 5)  # nose, eyes, ears
_SHOULDERS = slice(5, 7)


class RejectedImage(ValueError):
    """An image that is not kept; the message is the reason."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: (H, W, 3) RGB, rotated by the EXIF orientation.
        suffix: File suffix.
        turned: Whether the EXIF orientation rotated the pixels of the file.
        phash: Perceptual hash of 64 bits.
    """

    pixels: NDArray[np.uint8]
    suffix: str
    turned: bool
    phash: int


def decode_image(data: bytes) -> DecodedImage:
    """Decode the bytes of an image; its size is checked before any pixel is decoded.

    Raises:
        RejectedImage: not a JPEG, PNG or WebP, truncated, animated, or too small or large.
    """
    import imagehash
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image: Any = Image.open(BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise RejectedImage("too many pixels")
        if min(image.size) < SMALLEST_SIDE_PX:
            raise RejectedImage("too small")
        if getattr(image, "n_frames", 1) > 1:
            raise RejectedImage("animated")
        suffix = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[image.format]
        turned = image.getexif().get(0x0112, 1) != 1
        upright = ImageOps.exif_transpose(image).convert("RGB")
    except RejectedImage:
        raise
    except Image.DecompressionBombError as error:
        raise RejectedImage("too many pixels") from error
    except Exception as error:  # decoders fail in many ways, and these bytes are untrusted
        raise RejectedImage("broken") from error
    return DecodedImage(np.asarray(upright), suffix, turned, int(str(imagehash.phash(upright)), 16))


def large_enough(person: Detection) -> bool:
    """Whether a detection has the score, height and number of visible joints needed to keep the image."""
    height = float(person.box_px[3] - person.box_px[1])
    joints = int((person.confidence >= _SEEN).sum())
    return height >= SMALLEST_PERSON_PX and person.score >= _LEAST_SCORE and joints >= _LEAST_JOINTS


def encode_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels (H, W, 3) as JPEG without metadata."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=95)
    return file.getvalue()


def head_circle(person: Detection) -> tuple[float, float, float]:
    """Centre and radius, in pixels, of a circle around a person's head.

    Computed from the detected head joints if any, else from the shoulders, else from the box. It is generous, since a
    half blurred face stays recognisable.
    """
    left, top, right, bottom = map(float, person.box_px)
    detected = person.confidence > 0
    head, shoulders = person.joints_px[_HEAD][detected[_HEAD]], person.joints_px[_SHOULDERS][detected[_SHOULDERS]]
    radius = 0.1 * max(bottom - top, right - left)
    if len(shoulders) == 2:
        radius = max(radius, 0.5 * float(np.linalg.norm(shoulders[0] - shoulders[1])))
    if len(head):
        spread = float(np.linalg.norm(head[:, None] - head[None], axis=2).max())
        x, y = head.mean(axis=0)
        return float(x), float(y), max(radius, 1.1 * spread)
    if len(shoulders):
        x, y = shoulders.mean(axis=0)
        return float(x), float(y) - radius, 1.3 * radius
    return (left + right) / 2, top + radius, 1.5 * radius


def blur_faces(pixels: NDArray[np.uint8], people: list[Detection]) -> NDArray[np.uint8]:
    """A copy of pixels (H, W, 3) in which the heads of people are unrecognisable."""
    from PIL import Image, ImageDraw, ImageFilter

    image = Image.fromarray(pixels)
    for person in people:
        x, y, radius = head_circle(person)
        left, top = max(0, round(x - radius)), max(0, round(y - radius))
        right, bottom = min(image.width, round(x + radius) + 1), min(image.height, round(y + radius) + 1)
        if left >= right or top >= bottom:
            continue
        patch = image.crop((left, top, right, bottom))
        # Downsampled to about six pixels across first, because a blur alone can be partly undone.
        step = max(1, round(radius / 3))
        coarse = patch.resize((-(-patch.width // step), -(-patch.height // step)))
        soft = coarse.resize(patch.size).filter(ImageFilter.GaussianBlur(radius / 4))
        mask = Image.new("L", patch.size, 0)
        circle = (x - radius - left, y - radius - top, x + radius - left, y + radius - top)
        ImageDraw.Draw(mask).ellipse(circle, fill=255)
        image.paste(soft, (left, top), mask)
    return np.asarray(image)
