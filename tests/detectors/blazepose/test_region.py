"""Rotated regions and their crops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.blazepose.region import MARGIN, Region, crop


@pytest.fixture
def ramp() -> NDArray[np.uint8]:
    """(100, 200, 3): red rises by one from left to right, green by two from top to bottom."""
    y, x = np.mgrid[:100, :200]
    return np.stack([x, 2 * y, np.zeros_like(x)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("rim", "angle"), [((0, -40), 0), ((40, 0), np.pi / 2), ((-40, 0), -np.pi / 2), ((0, 40), -np.pi)]
)
def test_the_body_axis_gives_angle_and_size(rim: tuple[float, float], angle: float) -> None:
    region = Region.from_points(np.array([50.0, 60.0]), np.array([50.0, 60.0]) + rim)
    assert region.angle == pytest.approx(angle)
    assert region.side_px == pytest.approx(80 * MARGIN)
    # In the region every person stands upright: the rim is above the centre.
    above = region.to_image(np.array([0.5, 0.5 - 0.5 / MARGIN]))
    np.testing.assert_allclose(above, np.array([50, 60]) + rim, atol=1e-9)


def test_crop_pixels_lie_where_the_affine_map_says(ramp: NDArray[np.uint8]) -> None:
    region = Region(np.array([90.0, 50.0]), 40.0, 0.4)
    part = crop(ramp, region, 64, repeat_edge=False)
    for row, column in ((10, 10), (32, 50), (60, 3)):
        x, y = region.affine(64) @ [column, row, 1]
        np.testing.assert_allclose(part[row, column, :2], (x, 2 * y), atol=1.1)


@pytest.mark.parametrize("repeat_edge", [True, False])
def test_beyond_the_image(ramp: NDArray[np.uint8], repeat_edge: bool) -> None:
    part = crop(ramp, Region(np.array([200.0, 50.0]), 60.0, 0.0), 60, repeat_edge)
    np.testing.assert_allclose(part[30, 10, :2], (180, 100), atol=1.1)
    expected = (199, 100) if repeat_edge else (0, 0)
    np.testing.assert_allclose(part[30, 50, :2], expected, atol=1.1)


@pytest.mark.parametrize("repeat_edge", [True, False])
@pytest.mark.parametrize(("centre", "side"), [((-500.0, -500.0), 30.0), ((100.0, 50.0), 20_000.0)])
def test_a_region_off_or_far_larger_than_the_image(
    ramp: NDArray[np.uint8], centre: tuple[float, float], side: float, repeat_edge: bool
) -> None:
    assert crop(ramp, Region(np.array(centre), side, 0.3), 32, repeat_edge).shape == (32, 32, 3)


def test_values_are_those_of_opencv() -> None:
    """By hand: positions rounded to 1/32 pixel, values half up."""
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1], image[1, 1], image[1, 2] = 100, 200, 33
    # A crop of two pixels at a step of 0.7: x at 0.6 and 1.3, in 1/32 px 19 and 42; y at 0.1 and 0.8, 3 and 26.
    part = crop(image, Region(np.array([1.3, 0.8]), 1.4, 0.0), 2, repeat_edge=True)
    top, bottom = np.array([0, 100, 0]), np.array([0, 200, 33])
    for row, y in enumerate((3, 26)):
        for column, x in enumerate((19, 42)):
            before, weight = x // 32, x % 32
            upper, lower = (values[before] * (32 - weight) + values[before + 1] * weight for values in (top, bottom))
            expected = int((upper * (32 - y) + lower * y) / 1024 + 0.5)
            assert part[row, column].tolist() == [expected] * 3
