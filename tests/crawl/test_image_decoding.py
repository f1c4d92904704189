"""Photos as they come: what is refused, what alike means, faces that cannot be known again."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from website import photo

from pose2mesh.crawl.crawl_dataset import NEAR_BITS
from pose2mesh.crawl.image_decoding import RejectedImage, blur_faces, decode_photo, head_circle, large_enough
from pose2mesh.detectors.detection import Detection


def person(height: float = 200, score: float = 0.9, seen: int = 17) -> Detection:
    """Someone upright at (300, 100), whose first joints are seen."""
    joints = np.zeros((17, 2), np.float32)
    joints[:5] = (300, 120), (305, 115), (295, 115), (312, 118), (288, 118)
    joints[5:7] = (330, 160), (270, 160)
    joints[7:] = (300, 250)
    confidence = (np.arange(17) < seen).astype(np.float32)
    return Detection(joints, confidence, np.array([260, 100, 340, 100 + height], np.float32), score)


def distance(a: bytes, b: bytes) -> int:
    return (decode_photo(a).phash ^ decode_photo(b).phash).bit_count()


def test_copies_are_near_and_others_are_not() -> None:
    for seed in range(4):
        for copy in (photo(seed, (240, 210)), photo(seed, (960, 720)), photo(seed, format="PNG")):
            assert distance(photo(seed), copy) <= NEAR_BITS
        assert distance(photo(seed), photo(seed + 10)) > NEAR_BITS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "broken"),
        (b"GIF89a" + bytes(100), "broken"),
        (photo(1)[:2000], "broken"),
        (photo(1, (150, 600)), "too small"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedImage, match=reason):
        decode_photo(data)


def test_a_picture_of_many_pixels_is_refused_before_it_is_decoded() -> None:
    file = BytesIO()
    Image.new("1", (9000, 9000)).save(file, format="PNG")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(RejectedImage, match="too many pixels"):
        decode_photo(file.getvalue())


def test_animations_are_refused() -> None:
    frames = [Image.open(BytesIO(photo(seed))) for seed in (1, 2)]
    file = BytesIO()
    frames[0].save(file, format="WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(RejectedImage, match="animated"):
        decode_photo(file.getvalue())


def test_photos_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.open(BytesIO(photo(1))).save(file, format="JPEG", exif=exif)
    turned = decode_photo(file.getvalue())
    assert turned.turned
    assert turned.pixels.shape == (480, 360, 3)
    assert not decode_photo(photo(1)).turned


def test_large_enough() -> None:
    assert large_enough(person())
    assert not large_enough(person(height=100))
    assert not large_enough(person(score=0.2))
    assert not large_enough(person(seen=5))


@pytest.mark.parametrize("seen", [17, 1, 0])
def test_the_circle_covers_the_head(seen: int) -> None:
    """With all joints, with the nose alone, with none but the box."""
    x, y, radius = head_circle(person(seen=seen))
    assert np.hypot(300 - x, 118 - y) < radius
    assert 20 <= radius <= 60


def test_the_circle_from_the_shoulders_alone() -> None:
    one = person()
    one.confidence[:5] = 0
    x, y, radius = head_circle(one)
    assert np.hypot(300 - x, 118 - y) + 15 < radius


def test_a_blurred_face_is_gone_and_the_rest_is_not() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    blurred = blur_faces(pixels, [person()])
    assert blurred[105:135, 285:315].std() < 0.15 * pixels[105:135, 285:315].std()
    assert (blurred[200:] == pixels[200:]).all()
    assert (blurred[:, 400:] == pixels[:, 400:]).all()


def test_a_head_at_the_edge() -> None:
    pixels = np.zeros((130, 280, 3), np.uint8)
    assert blur_faces(pixels, [person()]).shape == pixels.shape
    assert blur_faces(pixels[:50, :50], [person()]).shape == (50, 50, 3)
