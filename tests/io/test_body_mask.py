"""Masks of bodies: polygons of a file, samples at pixels of the image, and faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.io.body_mask import BodyMask, body_mask, mask_of_polygons

BOX = [100.0, 50.0, 200.0, 50.0, 200.0, 350.0, 100.0, 350.0]


def test_polygons_become_a_mask() -> None:
    mask = mask_of_polygons([BOX, [300, 100, 340, 100, 340, 140, 300, 140]])
    places = np.array([[150, 200], [320, 120], [105, 55], [195, 345], [90, 200], [250, 120], [150, 360], [-1e9, 1e9]])
    assert np.array_equal(mask.sample(places) > 0.5, [True, True, True, True, False, False, False, False])
    along = mask.sample(np.stack([np.linspace(180, 220, 81), np.full(81, 200.0)], axis=-1))
    edge = np.linspace(180, 220, 81)[np.abs(along - 0.5).argmin()]
    assert abs(edge - 200) < 3  # of 400 pixels, at 128 mask pixels


def test_the_affine_map_is_inverted() -> None:
    mask = BodyMask(np.eye(4, dtype=np.float32), np.array([[0.0, -10.0, 100.0], [10.0, 0.0, 20.0]]))
    centres = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1)  # x, y of the mask's pixels
    pixels = np.stack([100 - 10 * centres[..., 1], 20 + 10 * centres[..., 0]], axis=-1)
    assert np.allclose(mask.sample(pixels), np.eye(4), atol=1e-5)
    assert mask.sample(np.array([np.nan, 3.0])).shape == ()


def test_any_kind_of_mask() -> None:
    mask = mask_of_polygons([BOX])
    assert body_mask(mask) is mask
    assert body_mask(None) is body_mask([]) is body_mask({"counts": [1, 2], "size": [4, 5]}) is None
    assert isinstance(body_mask([BOX]), BodyMask)


@pytest.mark.parametrize("polygon", [[1, 2, 3, 4], [1, 2, 3, 4, 5], ["x"] * 6, [np.nan] * 6, [[1, 2, 3], [4]], None])
def test_faulty_polygons(polygon: Any) -> None:
    with pytest.raises(InputError, match=r"person 3: .* is no polygon; expected x, y"):
        mask_of_polygons([polygon], "person 3")


def test_no_polygon() -> None:
    with pytest.raises(InputError, match="person 3: holds no polygon"):
        mask_of_polygons([], "person 3")
