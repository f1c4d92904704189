"""Image decoding: rejected files, near duplicates, blurred faces."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from website import make_image

from pose2mesh.crawl.crawl_dataset import NEAR_BITS
from pose2mesh.crawl.image_decoding import RejectedImage, blur_faces, decode_image, head_circle, large_enough
from pose2mesh.detectors.detection import Detection


def person(height: float = 200, score: float = 0.9, seen: int = 17) -> Detection:
    """An upright person at (300, 100), of whom the first joints are detected."""
    joints = np.zeros((17, 2), np.float32)
    joints[:5] = (300, 120), (305, 115), (295, 115), (312, 118), (288, 118)
    joints[5:7] = (330, 160), (270, 160)
    joints[7:] = (300, 250)
    confidence = (np.arange(17) < seen).astype(np.float32)
    return Detection(joints, confidence, np.array([260, 100, 340, 100 + height], np.float32), score)


def distance(a: bytes, b: bytes) -> int:
    return (decode_image(a).phash ^ decode_image(b).phash).bit_count()


def test_only_copies_are_near_duplicates() -> None:
    for seed in range(4):
        for copy in (make_image(seed, (240, 210)), make_image(seed, (960, 720)), make_image(seed, format="PNG")):
            assert distance(make_image(seed), copy) <= NEAR_BITS
        assert distance(make_image(seed), make_image(seed + 10)) > NEAR_BITS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "broken"),
        (b"GIF89a" + bytes(100), "broken"),
        (make_image(1)[:2000], "broken"),
        (make_image(1, (150, 600)), "too small"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedImage, match=reason):
        decode_image(data)


def test_an_image_of_many_pixels_is_refused_before_it_is_decoded() -> None:
    file = BytesIO()
    Image.new("1", (9000, 9000)).save(file, format="PNG")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(RejectedImage, match="too many pixels"):
        decode_image(file.getvalue())


def test_animations_are_refused() -> None:
    frames = [Image.open(BytesIO(make_image(seed))) for seed in (1, 2)]
    file = BytesIO()
    frames[0].save(file, format="WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(RejectedImage, match="animated"):
        decode_image(file.getvalue())


def test_images_are_rotated_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.open(BytesIO(make_image(1))).save(file, format="JPEG", exif=exif)
    turned = decode_image(file.getvalue())
    assert turned.turned
    assert turned.pixels.shape == (480, 360, 3)
    assert not decode_image(make_image(1)).turned


def test_large_enough() -> None:
    assert large_enough(person())
    assert not large_enough(person(height=100))
    assert not large_enough(person(score=0.2))
    assert not large_enough(person(seen=5))


@pytest.mark.parametrize("seen", [17, 1, 0])
def test_the_circle_covers_the_head(seen: int) -> None:
    """With all joints, with the nose alone, and with only the box."""
    x, y, radius = head_circle(person(seen=seen))
    assert np.hypot(300 - x, 118 - y) < radius
    assert 20 <= radius <= 60


def test_the_circle_from_the_shoulders_alone() -> None:
    one = person()
    one.confidence[:5] = 0
    x, y, radius = head_circle(one)
    assert np.hypot(300 - x, 118 - y) + 15 < radius


def test_blurring_changes_only_the_face() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    blurred = blur_faces(pixels, [person()])
    assert blurred[105:135, 285:315].std() < 0.15 * pixels[105:135, 285:315].std()
    assert (blurred[200:] == pixels[200:]).all()
    assert (blurred[:, 400:] == pixels[:, 400:]).all()


def test_a_head_at_the_edge() -> None:
    pixels = np.zeros((130, 280, 3), np.uint8)
    assert blur_faces(pixels, [person()]).shape == pixels.shape
    assert blur_faces(pixels[:50, :50], [person()]).shape == (50, 50, 3)
