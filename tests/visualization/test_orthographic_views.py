"""Side and top views: positions to scale; confidences as colours."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.person import Camera, Person
from pose2mesh.visualization.orthographic_views import SIDE, TOP, draw_confidences, draw_view, extent_of

RED = (200, 0, 0)
BLUE = (0, 0, 200)


def ball(x: float, y: float, z: float) -> tuple[Person, np.ndarray]:
    """A person whose mesh is a sphere of half a metre's radius."""
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    camera = Camera("perspective", Intrinsics(500, 500, 320, 240), np.array([x, y, z]), 1.0, np.zeros(2))
    nothing = np.zeros((0, 3), np.float32)
    vertices = np.asarray(sphere.vertices, np.float32)
    return Person(nothing, vertices, nothing[:, :2], nothing[:, 0], camera, 1.8, 1.0), np.asarray(sphere.faces)


def middle_of(image: np.ndarray, channel: int) -> tuple[float, float]:
    """The mean column and row of the pixels of one colour."""
    rows, columns = np.nonzero(image[..., channel].astype(int) > image.sum(-1, dtype=int) * 0.6)
    assert len(rows) > 20
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize(("axes", "right", "down"), [(SIDE, 2, 1), (TOP, 0, 2)])
def test_places_and_scale(axes: np.ndarray, right: int, down: int) -> None:
    """From the side what is farther off is to the right; from above it is higher up."""
    (near, faces), (far, _) = ball(-1, 0.5, 4), ball(1, -0.5, 7)
    people = [near, far]
    extent = extent_of(people)
    assert extent == pytest.approx(np.array([[-1.5, -1, 3.5], [1.5, 1, 7.5]]), abs=0.02)
    image = draw_view(people, faces, axes, extent, 400, [RED, BLUE])
    assert image.shape == (400, 240, 3)
    reds, blues = np.array(middle_of(image, 0)), np.array(middle_of(image, 2))
    room = np.ptp(extent, axis=0)
    px_per_m = 0.86 * min(240 / room[right], 400 / room[down])
    step = far.camera.translation_m - near.camera.translation_m
    expected = px_per_m * np.array([step[right], step[down] * (-1 if down == 2 else 1)])
    assert blues - reds == pytest.approx(expected, abs=2.5)


def test_from_the_side_the_one_at_the_right_is_in_front() -> None:
    (left, faces), (right, _) = ball(-1, 0, 4), ball(1, 0, 4)
    image = draw_view([left, right], faces, SIDE, extent_of([left, right]), 300, [RED, BLUE])
    assert middle_of(image, 2) == pytest.approx((90, 150), abs=2)
    assert not (image[..., 0].astype(int) > image.sum(-1, dtype=int) * 0.6).any()


def test_a_view_without_people_is_a_grid() -> None:
    image = draw_view([], np.zeros((0, 3), int), SIDE, extent_of([]), 100)
    assert image.shape == (100, 60, 3)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 1


def test_confidences_are_colours_from_red_to_green() -> None:
    canvas = np.full((120, 160, 3), 90, np.uint8)
    joints = np.array([(20.0, 60), (60, 60), (100, 60), (140, 60), (900, 60)])
    image = draw_confidences(canvas, joints, np.array([0.01, 0.5, 1.0, 0.0, 1.0]))
    low, middle, high, missing = (image[60, x].astype(int) for x in (20, 60, 100, 140))
    assert low[0] > 180 > 120 > low[1]
    assert min(middle[:2]) > 200
    assert high[1] > 120 > 30 > high[0]
    assert (missing == 90).all()
    assert (canvas == 90).all()
