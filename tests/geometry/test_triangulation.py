"""Triangulation by cameras whose images are projected here, with wrong views and exchanged sides."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.triangulation import CalibratedCamera, exchange_sides, triangulate, triangulate_robustly

DISTORTION = (-0.047, 0.137, 0.0006, -0.0007)


def around(count: int = 4, distance_m: float = 3.5) -> list[CalibratedCamera]:
    """Cameras at the height of the origin, looking at it from all sides; world y is down."""
    cameras = []
    for number in range(count):
        angle = 2 * np.pi * number / count + 0.3
        back = np.array([np.sin(angle), 0.0, np.cos(angle)])
        down = np.array([0.0, 1.0, 0.0])
        rotation = np.stack([np.cross(down, back), down, back])
        cameras.append(
            CalibratedCamera(
                f"cam{number}",
                Intrinsics(1680, 1681, 533, 948, distortion=DISTORTION),
                rotation,
                np.array([0.0, 0.0, distance_m]),
                (1088, 1920),
            )
        )
    return cameras


def points(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.8, 0.8, (count, 3))


def seen(cameras: list[CalibratedCamera], world: np.ndarray) -> np.ndarray:
    return np.stack([camera.project(world) for camera in cameras])


def test_undistort_is_the_inverse_of_the_lens() -> None:
    camera = around(1)[0]
    world = points()
    pinhole = camera.intrinsics.pinhole.project(camera.to_camera(world))
    distorted = camera.project(world)
    assert np.abs(distorted - pinhole).max() > 0.5
    assert np.abs(camera.undistort(distorted) - pinhole).max() < 0.01


def test_exact_pixels_give_the_points() -> None:
    cameras, world = around(), points()
    found = triangulate(cameras, seen(cameras, world), np.ones((4, len(world))))
    assert np.abs(found.points_m - world).max() < 1e-4
    assert found.error_px.max() < 0.05
    assert found.used.all()


def test_refinement_minimises_the_error_in_pixels() -> None:
    cameras, world = around(), points()
    pixels = seen(cameras, world) + np.random.default_rng(1).normal(0, 5, (4, len(world), 2))
    found = triangulate(cameras, pixels, np.ones((4, len(world))))
    cost = np.square(found.error_px).sum()
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        moved = seen(cameras, found.points_m + step)
        flat = np.stack([camera.undistort(view) for camera, view in zip(cameras, moved, strict=True)])
        given = np.stack([camera.undistort(view) for camera, view in zip(cameras, pixels, strict=True)])
        assert np.square(flat - given).sum() > cost


def test_a_wrong_view_is_left_out() -> None:
    cameras, world = around(), points()
    pixels = seen(cameras, world)
    pixels[2, :10] += 80
    plain = triangulate(cameras, pixels, np.ones((4, len(world))))
    robust = triangulate_robustly(cameras, pixels, np.ones((4, len(world))))
    assert np.linalg.norm(plain.points_m - world, axis=1)[:10].min() > 0.02
    assert np.abs(robust.points_m - world).max() < 1e-4
    expected = np.ones((4, len(world)), bool)
    expected[2, :10] = False
    assert (robust.used == expected).all()
    assert robust.error_px[2, :10].min() > 50


def test_views_that_saw_nothing_do_not_count() -> None:
    cameras, world = around(), points(4)
    pixels, weights = seen(cameras, world), np.ones((4, 4))
    weights[0, 0] = 0
    pixels[1, 1] = np.nan
    weights[1:, 2] = 0
    found = triangulate_robustly(cameras, pixels, weights)
    assert np.abs(found.points_m[[0, 1, 3]] - world[[0, 1, 3]]).max() < 1e-4
    assert np.isnan(found.points_m[2]).all()
    assert not found.used[0, 0]
    assert not found.used[1, 1]
    assert not found.used[:, 2].any()


def test_exchanged_sides_are_found() -> None:
    cameras = around()
    generator = np.random.default_rng(2)
    world = generator.uniform(-0.8, 0.8, (20, 4, 3))
    pixels = np.stack([camera.project(world) for camera in cameras]) + generator.normal(0, 1, (4, 20, 4, 2))
    pixels[1, 5:9] = pixels[1, 5:9][:, [1, 0, 3, 2]]  # a view confuses all sides
    pixels[3, 15] = pixels[3, 15][[0, 1, 3, 2]]  # or one pair
    order = exchange_sides(cameras, pixels, np.ones((4, 20, 4)), [(0, 1), (2, 3)])
    expected = np.tile(np.arange(4), (4, 20, 1))
    expected[1, 5:9] = [1, 0, 3, 2]
    expected[3, 15] = [0, 1, 3, 2]
    assert (order == expected).all()


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"expected \(4, N, 2\) and \(4, N\), since there are 4 cameras"):
        triangulate(around(), np.zeros((3, 5, 2)), np.zeros((3, 5)))
