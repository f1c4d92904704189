"""The rasteriser against exact arithmetic and geometry; the images against their expected content."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pose2mesh.errors import InputError
from pose2mesh.visualization import renderer

FOCAL_PX = 200.0


def sphere(centre: tuple[float, float, float], radius: float = 0.5, subdivisions: int = 3):
    """Vertices in the camera frame and faces, counter-clockwise seen from outside."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return np.asarray(ball.vertices) + centre, np.asarray(ball.faces)


def project(vertices: np.ndarray, height: int = 120, width: int = 160) -> np.ndarray:
    return vertices[:, :2] / vertices[:, 2:] * FOCAL_PX + (width / 2, height / 2)


def projected(centre: tuple[float, float, float], **options) -> renderer.ProjectedMesh:
    vertices, faces = sphere(centre, **options)
    return renderer.ProjectedMesh(project(vertices), vertices[:, 2], vertices, faces)


def soup(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small random triangles, of both orientations, some beyond the image border; corners at whole 1/256 px."""
    centres = rng.uniform(-3, 27, (count, 1, 2))
    corners = np.rint((centres + rng.normal(0, 6, (count, 3, 2))) * 256) / 256
    return corners.reshape(-1, 2), rng.uniform(1, 3, count * 3), np.arange(count * 3).reshape(-1, 3)


def reference(vertices_px, depth, faces, height, width) -> tuple[np.ndarray, np.ndarray]:
    """Face in front per pixel, in exact fractions, and where a pixel centre is on no edge at all."""
    found, clear = np.full((height, width), -1), np.ones((height, width), bool)
    nearest = np.zeros((height, width))
    for index, face in enumerate(faces):
        (ax, ay), (bx, by), (cx, cy) = ([Fraction(float(value)) for value in vertices_px[corner]] for corner in face)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0:
            continue
        for row in range(height):
            for column in range(width):
                x, y = column + Fraction(1, 2), row + Fraction(1, 2)
                weights = (
                    ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area,
                    ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area,
                    ((ax - x) * (by - y) - (ay - y) * (bx - x)) / area,
                )
                if min(weights) == 0:
                    clear[row, column] = False
                inverse = sum(float(weight) / depth[corner] for weight, corner in zip(weights, face, strict=True))
                if min(weights) > 0 and inverse > nearest[row, column]:
                    nearest[row, column], found[row, column] = inverse, index
    return found, clear


def test_every_pixel_shows_the_face_that_exact_arithmetic_finds() -> None:
    mesh = soup(np.random.default_rng(0), 60)
    expected, clear = reference(*mesh, 20, 24)
    raster = renderer.rasterise(*mesh, 20, 24)
    assert raster.face_index.dtype == np.int32
    assert (expected >= 0).mean() > 0.5
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(raster.face_index[clear], expected[clear])


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_faces_that_share_edges_leave_no_gap_and_no_double(jitter: float) -> None:
    # Without jitter every vertex, and every diagonal, is on pixel centres: the fill rule alone decides.
    rng = np.random.default_rng(1)
    side = 9
    x, y = np.meshgrid(np.arange(side) * 3.0, np.arange(side) * 3.0)
    grid = np.stack([x, y], axis=-1) + 2.5
    grid[1:-1, 1:-1] += rng.uniform(-jitter, jitter, (side - 2, side - 2, 2)) * 3
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.stack([a, c, b], axis=1), np.stack([a, d, c], axis=1)])
    times = np.zeros((30, 30), int)
    for face in faces:
        times += renderer.rasterise(grid.reshape(-1, 2), np.ones(side * side), face[None], 30, 30).face_index == 0
    assert (times[3:26, 3:26] == 1).all()
    # Of the square's own rim, on pixel centres 2 and 26, two sides belong to it and two do not.
    assert times.max() == 1
    assert times.sum() == 24 * 24


def test_barycentric_weights_are_corrected_for_perspective() -> None:
    vertices = np.array([[-0.9, -0.6, 2.0], [0.2, 0.9, 1.2], [2.5, -0.4, 5.0]])
    px = np.rint(project(vertices) * 256) / 256
    vertices[:, :2] = (px - (80, 60)) / FOCAL_PX * vertices[:, 2:]
    raster = renderer.rasterise(px, vertices[:, 2], np.array([[0, 1, 2]]), 120, 160)
    assert len(raster.pixels) > 2000
    points = raster.barycentric @ vertices
    rows, columns = np.divmod(raster.pixels, 160)
    np.testing.assert_allclose(project(points), np.stack([columns, rows], axis=1) + 0.5, atol=1e-3)


def test_back_faces_are_culled_and_the_near_side_is_visible() -> None:
    vertices, faces = sphere((0.1, -0.05, 2.0))
    px = project(vertices)
    raster = renderer.rasterise(px, vertices[:, 2], faces, 120, 160)
    seen = np.unique(raster.face_index[raster.face_index >= 0])
    assert (vertices[faces[seen]].mean(axis=1)[:, 2] < 2.0).all()
    inside_out = renderer.rasterise(px, vertices[:, 2], faces[:, ::-1], 120, 160)
    far = np.unique(inside_out.face_index[inside_out.face_index >= 0])
    assert (vertices[faces[far]].mean(axis=1)[:, 2] > 1.7).all()
    assert not set(seen) & set(far)


def test_silhouette_of_a_sphere_is_a_disc() -> None:
    vertices, faces = sphere((0.0, 0.0, 10.0), subdivisions=4)
    px = vertices[:, :2] / vertices[:, 2:] * 1000 + (80, 60)
    mask = renderer.silhouette(px, vertices[:, 2], faces, 120, 160)
    rows, columns = np.mgrid[:120, :160]
    distance = np.hypot(columns + 0.5 - 80, rows + 0.5 - 60)
    radius = 1000 * 0.5 / np.sqrt(10.0**2 - 0.5**2)
    assert mask.dtype == bool
    assert mask[distance < radius - 0.5].all()
    assert not mask[distance > radius + 0.01].any()


def test_clipping_is_the_same_as_cropping() -> None:
    vertices, faces = sphere((0.0, 0.0, 1.2))
    px = np.rint(project(vertices) * 256) / 256
    whole = renderer.rasterise(px, vertices[:, 2], faces, 120, 160).face_index
    part = renderer.rasterise(px - (70, 50), vertices[:, 2], faces, 40, 30).face_index
    np.testing.assert_array_equal(part, whole[50:90, 70:100])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = soup(np.random.default_rng(2), 200)
    whole = renderer.rasterise(*mesh, 20, 24)
    monkeypatch.setattr(renderer, "_CHUNK_PX", 100)
    chunked = renderer.rasterise(*mesh, 20, 24)
    np.testing.assert_array_equal(chunked.face_index, whole.face_index)
    np.testing.assert_array_equal(chunked.barycentric, whole.barycentric)


def test_what_is_behind_the_camera_or_not_finite_is_left_out() -> None:
    px = np.array([[1.0, 1], [1, 9], [9, 1], [9, 9], [1e9, 5]])
    depth = np.array([1.0, 1, 1, -1, 1])
    faces = np.array([[0, 1, 2], [2, 1, 3], [2, 1, 4]])
    assert set(np.unique(renderer.rasterise(px, depth, faces, 10, 10).face_index)) == {-1, 0}
    px[0, 0] = np.nan
    assert (renderer.rasterise(px, depth, faces, 10, 10).face_index == -1).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_person_in_front_hides_the_other_whatever_the_order(order: tuple[int, int]) -> None:
    people = [projected((-0.2, 0.0, 2.0)), projected((0.3, 0.0, 2.6))]
    colours: list[renderer.Colour] = [(200, 0, 0), (0, 0, 200)]
    canvas = np.full((120, 160, 3), 90, np.uint8)
    picture = renderer.draw_people(canvas, [people[i] for i in order], [colours[i] for i in order], alpha=1.0).astype(
        int
    )
    masks = [renderer.silhouette(p.vertices_px, p.depth_m, p.faces, 120, 160) for p in people]
    both = masks[0] & masks[1]
    assert both.sum() > 1000
    redder = picture[..., 0] > picture[..., 2]
    assert redder[both].mean() > 0.99
    assert (~redder[masks[1] & ~masks[0]]).mean() > 0.97


def test_people_share_a_z_buffer_where_they_meet() -> None:
    left, right = projected((-0.3, 0.0, 2.0)), projected((0.3, 0.0, 2.0))
    picture = renderer.draw_people(np.zeros((120, 160, 3), np.uint8), [left, right], [(200, 0, 0), (0, 0, 200)], 1.0)
    redder = picture[55:65, :, 0].astype(int) > picture[55:65, :, 2]
    assert redder[:, 60:79].all()
    assert not redder[:, 81:100].any()


def test_the_image_is_unchanged_outside_and_blended_inside() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)
    before = photo.copy()
    person = projected((0.0, 0.0, 2.0))
    fields = (person.vertices_px, person.depth_m, person.vertices_cam, person.faces)
    opaque = renderer.render_mesh(photo, *fields, colour=(80, 160, 220), alpha=1.0)
    blended = renderer.render_mesh(photo, *fields, colour=(80, 160, 220), alpha=0.9)
    np.testing.assert_array_equal(photo, before)
    mask = renderer.silhouette(*fields[:2], fields[3], 120, 160)
    distance = np.hypot(*np.mgrid[-59.5:60, -79.5:80])
    outside, inside = distance > 55, distance < 45
    assert mask[inside].all()
    assert not mask[outside].any()
    np.testing.assert_array_equal(blended[outside], photo[outside])
    expected = 0.9 * opaque[inside].astype(float) + 0.1 * photo[inside]
    np.testing.assert_allclose(blended[inside], expected, atol=1.01)


def test_shading_is_smooth_and_lit_from_the_camera_and_the_upper_left() -> None:
    person = projected((0.0, 0.0, 2.0))
    picture = renderer.draw_people(np.zeros((120, 160, 3), np.uint8), [person], [(80, 160, 220)], 1.0)[..., 1].astype(
        int
    )
    upper_left, centre, lower_right = picture[42, 62], picture[60, 80], picture[90, 110]
    assert upper_left > centre > lower_right > 30
    # No facet shows: neighbours inside the disc differ by little.
    assert np.abs(np.diff(picture[60, 40:120])).max() < 8


def test_a_person_outside_the_image_draws_nothing() -> None:
    canvas = renderer.plain_canvas(120, 160)
    for centre in ((50.0, 0.0, 2.0), (0.0, 0.0, -3.0)):
        np.testing.assert_array_equal(renderer.draw_people(canvas, [projected(centre)]), canvas)
    np.testing.assert_array_equal(renderer.draw_people(canvas, []), canvas)


def test_skeleton_leaves_missing_joints_out() -> None:
    canvas = np.full((100, 100, 3), 128, np.uint8)
    joints = np.array([[20.0, 20.0], [80.0, 20.0], [50.0, 80.0], [np.nan, 5.0]])
    edges = [(0, 1), (1, 2), (2, 3)]
    picture = renderer.draw_skeleton(canvas, joints, np.array([1.0, 0.7, 0.0, 1.0]), edges, colour=(255, 0, 0))
    assert (canvas == 128).all()
    assert picture[20, 50].tolist() == [255, 0, 0]
    assert picture[20, 20].tolist() == [255, 0, 0]
    assert (picture[30:] == 128).all()
    nothing = renderer.draw_skeleton(canvas, joints, np.zeros(4), edges)
    np.testing.assert_array_equal(nothing, canvas)
    outside = renderer.draw_skeleton(canvas, joints + 500, np.ones(4), edges)
    np.testing.assert_array_equal(outside, canvas)


def test_fit_within_scales_image_and_coordinates_alike() -> None:
    photo = np.zeros((900, 3200, 3), np.uint8)
    photo[400:408, 1600:1608] = 255
    small, scale = renderer.fit_within(photo, 1600)
    assert small.shape == (450, 1600, 3)
    assert scale == 0.5
    rows, columns = np.nonzero(small[..., 0] > 128)
    np.testing.assert_allclose([rows.mean() + 0.5, columns.mean() + 0.5], [404 * scale, 1604 * scale], atol=0.51)
    same, scale = renderer.fit_within(small, 1600)
    assert same is small
    assert scale == 1.0


def test_contact_sheet_places_every_image() -> None:
    shades = [
        np.full(shape, value, np.uint8)
        for value, shape in zip((10, 60, 110), ((9, 9, 3), (20, 40, 3), (40, 10, 3)), strict=True)
    ]
    sheet = renderer.contact_sheet(shades, ["one", "two " * 50, ""], columns=2, tile=(60, 80))
    assert sheet.shape == (6 + 2 * (60 + 22 + 6), 6 + 2 * (80 + 6), 3)
    for value, (row, column) in zip((10, 60, 110), ((36, 46), (36, 132), (124, 46)), strict=True):
        assert sheet[row, column].tolist() == [value] * 3
    with pytest.raises(ValueError, match="0 images"):
        renderer.contact_sheet([], [], 2, (60, 80))


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("a.jpg", 3)])
def test_saved_image_reads_back(tmp_path: Path, name: str, tolerance: int) -> None:
    picture = renderer.plain_canvas(40, 60)
    renderer.save_image(tmp_path / name, picture)
    read = np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
    assert np.abs(read - picture).max() <= tolerance
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(InputError, match="cannot be written"):
        renderer.save_image(tmp_path / "missing" / name, picture)


def test_import_stays_light() -> None:
    heavy = "{'torch', 'scipy', 'matplotlib', 'trimesh', 'PIL'} & set(sys.modules)"
    command = f"import sys, pose2mesh.visualization.renderer, pose2mesh.io.mesh_files; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
