"""Cameras fitted in closed form: exact on exact data, plausible where the data do not determine them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import (
    Intrinsics,
    equivalent_intrinsics,
    fit_perspective,
    fit_weak_perspective,
    look_at,
    rotation_to_axis,
)

SEEDS = st.integers(0, 2**32 - 1)


def a_person(seed: int, joints: int = 17) -> np.ndarray:
    """Root-relative joints (J, 3), as wide as a person, metres."""
    return np.random.default_rng(seed).normal(size=(joints, 3)) * (0.3, 0.6, 0.25)


@given(
    focal=st.floats(100, 5000),
    aspect=st.floats(0.8, 1.25),
    x=st.floats(-2, 2),
    y=st.floats(-2, 2),
    z=st.floats(0.5, 30),
)
def test_rays_undo_the_projection(focal: float, aspect: float, x: float, y: float, z: float) -> None:
    camera = Intrinsics(focal, focal * aspect, 320.0, 260.0)
    point = np.array([x, y, z])
    ray = camera.rays(camera.project(point))
    assert ray[2] == 1
    np.testing.assert_allclose(ray * z, point, atol=1e-9)


def test_projection_of_a_known_point() -> None:
    camera = Intrinsics(500, 400, 320, 240)
    np.testing.assert_allclose(camera.project(np.array([[1.0, 2.0, 4.0]])), [[320 + 125, 240 + 200]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,4,5,6,7",
        "1,2,3,4,5,6,7,8,9,10",
        "1,2,3,4,nan,0,0,0",
        "a,b,c,d",
        "0,500,1,1",
        "500,-1,1,1",
        "nan,500,1,1",
        "1,1,inf,1",
    ],
)
def test_bad_intrinsics_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--intrinsics .* expected FX,FY,CX,CY"):
        Intrinsics.parse(text)


def test_intrinsics_from_text() -> None:
    found = Intrinsics.parse("500,510,320,240,-0.3,0.1,1e-3,2e-3")
    assert found == Intrinsics(500, 510, 320, 240, distortion=(-0.3, 0.1, 1e-3, 2e-3))
    assert found.pinhole == Intrinsics(500, 510, 320, 240)
    assert found.source == "given"
    assert Intrinsics.parse(" 500, 510.5,320,-2e1") == Intrinsics(500, 510.5, 320, -20)


def test_field_of_view_and_equivalent_focal_length() -> None:
    """A full-frame image behind a 24 mm lens: 73.7, 53.1 and 84.1 degrees."""
    camera = equivalent_intrinsics(24, (3600, 2400), "metadata")
    assert camera.fx == pytest.approx(2400)
    assert (camera.cx, camera.cy, camera.source) == (1800, 1200, "metadata")
    np.testing.assert_allclose(camera.field_of_view_deg((3600, 2400)), [73.74, 53.13, 84.06], atol=0.01)
    assert camera.focal_35mm((3600, 2400)) == pytest.approx(24)


@given(
    k1=st.floats(-0.4, 0.3),
    k2=st.floats(-0.1, 0.1),
    p=st.tuples(st.floats(-0.005, 0.005), st.floats(-0.005, 0.005)),
    k3=st.floats(-0.02, 0.02),
    x=st.floats(-640, 1280),
    y=st.floats(-480, 960),
)
def test_distortion_is_undone(k1: float, k2: float, p: tuple[float, float], k3: float, x: float, y: float) -> None:
    camera = Intrinsics(700, 710, 320, 240, distortion=(k1, k2, *p, k3))
    pixel = np.array([[x, y], [320, 240]])
    rays = camera.rays(pixel)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(camera.project(3 * rays), pixel, atol=1e-3)


def test_distortion_of_a_known_point() -> None:
    """Brown's polynomial by hand: r² = 0.05, radial 1 - 0.2 · 0.05 + 0.1 · 0.0025 + 0.4 · 0.000125."""
    camera = Intrinsics(1000, 1000, 0, 0, distortion=(-0.2, 0.1, 0.01, -0.02, 0.4))
    radial = 1 - 0.01 + 0.00025 + 0.00005
    x = 0.2 * radial + 2 * 0.01 * 0.02 - 0.02 * (0.05 + 0.08)
    y = 0.1 * radial + 0.01 * (0.05 + 0.02) - 2 * 0.02 * 0.02
    np.testing.assert_allclose(camera.project(np.array([0.4, 0.2, 2.0])), [1000 * x, 1000 * y], atol=1e-9)


def test_distorted_points_far_outside_the_image_stay_outside() -> None:
    """The polynomial of a barrel lens turns back at 1.05; beyond, pixels keep growing with the angle."""
    camera = Intrinsics(700, 700, 0, 0, distortion=(-0.3, 0.0, 0.0, 0.0))
    pixels = camera.project(np.stack([np.linspace(0, 5, 100), np.zeros(100), np.ones(100)], axis=1))[:, 0]
    assert (np.diff(pixels) > 0).all()


def test_looking_at_a_person_takes_the_distortion_out() -> None:
    plain = Intrinsics(700, 700, 320, 240)
    bent = Intrinsics(700, 700, 320, 240, distortion=(-0.25, 0.08, 0.001, 0.0))
    joints = a_person(3) + np.array([0.8, 0.3, 5.0])
    expected, rotation = look_at(plain.project(joints), np.ones(17), plain)
    found, found_rotation = look_at(bent.project(joints), np.ones(17), bent)
    np.testing.assert_allclose(found_rotation, rotation, atol=5e-3)  # the mean of bent pixels is another one
    np.testing.assert_allclose(found, expected, atol=6)
    joints -= joints[0]
    np.testing.assert_allclose(
        fit_perspective(joints, bent.project(joints + np.array([1, 0, 6])), np.ones(17), bent), (1, 0, 6), atol=1e-6
    )


@given(seed=SEEDS, scale=st.floats(1, 2000), x=st.floats(-1000, 3000), y=st.floats(-1000, 3000))
def test_weak_perspective_is_recovered(seed: int, scale: float, x: float, y: float) -> None:
    joints = a_person(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(joints))
    found, shift = fit_weak_perspective(joints, scale * joints[:, :2] + (x, y), weights)
    assert found == pytest.approx(scale)
    np.testing.assert_allclose(shift, (x, y), atol=1e-6)


def test_joints_of_no_weight_are_left_out() -> None:
    joints = a_person(1)
    pixels = 200 * joints[:, :2] + (50, 60)
    pixels[3] = 1e6
    weights = np.ones(len(joints))
    weights[3] = 0
    scale, shift = fit_weak_perspective(joints, pixels, weights)
    assert scale == pytest.approx(200)
    np.testing.assert_allclose(shift, (50, 60))
    camera = Intrinsics(900, 900, 320, 240)
    pixels = camera.project(joints + np.array((0.2, 0.1, 4)))
    pixels[3] = -1e5
    np.testing.assert_allclose(fit_perspective(joints, pixels, weights, camera), (0.2, 0.1, 4), atol=1e-9)


def test_a_body_that_contradicts_the_pixels_still_gets_their_size() -> None:
    """Turned by half a turn, least squares would give a negative scale: a body upside down and inside out."""
    joints = a_person(2)
    scale, shift = fit_weak_perspective(joints, -150 * joints[:, :2] + (300, 200), np.ones(len(joints)))
    assert scale == pytest.approx(150)
    np.testing.assert_allclose(shift + scale * joints[:, :2].mean(0), (-150 * joints[:, :2] + (300, 200)).mean(0))


@given(seed=SEEDS, x=st.floats(-3, 3), y=st.floats(-2, 2), z=st.floats(2.5, 30), focal=st.floats(300, 3000))
def test_translation_is_recovered(seed: int, x: float, y: float, z: float, focal: float) -> None:
    joints, camera = a_person(seed), Intrinsics(focal, 1.1 * focal, 640, 360)
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(joints))
    found = fit_perspective(joints, camera.project(joints + np.array((x, y, z))), weights, camera)
    np.testing.assert_allclose(found, (x, y, z), atol=1e-6)


def test_a_body_that_contradicts_the_pixels_stands_in_front_of_the_camera() -> None:
    joints, camera = a_person(3), Intrinsics(800, 800, 320, 240)
    pixels = camera.project(joints * (-1, -1, 1) + (0.5, 0.2, 5))
    translation = fit_perspective(joints, pixels, np.ones(len(joints)), camera)
    assert 3 < translation[2] < 8  # as far as its apparent size says
    np.testing.assert_allclose(camera.project(joints + translation).mean(0), pixels.mean(0), atol=25)


@given(x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_the_turn_to_a_ray_is_the_smallest(x: float, y: float) -> None:
    ray = np.array([x, y, 1.0])
    turn = rotation_to_axis(ray)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ ray, (0, 0, np.linalg.norm(ray)), atol=1e-9)
    angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
    assert angle == pytest.approx(np.arctan(np.hypot(x, y)), abs=1e-6)


@given(seed=SEEDS, x=st.floats(-4, 4), y=st.floats(-2, 2), z=st.floats(3, 10))
def test_looking_at_a_person_is_turning_the_camera(seed: int, x: float, y: float, z: float) -> None:
    camera = Intrinsics(700, 720, 500, 300)
    points = a_person(seed) + np.array((x, y, z))
    points[:, 2] = points[:, 2].clip(0.5)
    pixels_faced, turn = look_at(camera.project(points), np.ones(len(points)), camera)
    turned = points @ turn.T
    in_front = turned[:, 2] > 0.1
    np.testing.assert_allclose(pixels_faced[in_front], camera.project(turned[in_front]), rtol=1e-9, atol=1e-6)


def test_looking_at_a_person_puts_their_centre_on_the_axis() -> None:
    camera = Intrinsics(700, 700, 500, 300)
    pixels, confidence = camera.project(a_person(5) + np.array((3, 1, 4))), np.ones(17)
    confidence[[2, 7]], pixels[[2, 7]] = 0, 1e9  # missing: they neither count nor come back
    centre = pixels[confidence > 0].mean(0)
    pixels_faced, turn = look_at(pixels, confidence, camera)
    np.testing.assert_allclose(turn @ camera.rays(centre), (0, 0, np.linalg.norm(camera.rays(centre))), atol=1e-12)
    np.testing.assert_array_equal(pixels_faced[[2, 7]], 0)
    assert np.isfinite(pixels_faced).all()
