"""Mesh files read back with other readers, and atomic writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pose2mesh.errors import InputError
from pose2mesh.io import mesh_files

UP = np.array([1.0, -1.0, -1.0])


@pytest.fixture
def mesh() -> tuple[np.ndarray, np.ndarray]:
    """A lopsided body in the camera frame, 3 m in front, with a vertex that no face uses."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices = np.asarray(ball.vertices) * (0.3, 0.9, 0.2) + (0.1, 0.2, 3.0)
    return np.concatenate([vertices, [[0.0, 0.0, 3.0]]]), np.asarray(ball.faces)


@pytest.mark.parametrize(("write", "name"), [(mesh_files.write_obj, "a b.obj"), (mesh_files.write_ply, "a.ply")])
def test_obj_and_ply_read_back_in_order_and_upright(tmp_path: Path, mesh, write, name: str) -> None:
    vertices, faces = mesh
    write(tmp_path / name, vertices, faces)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    read = trimesh.load(tmp_path / name, process=False, maintain_order=True)
    np.testing.assert_array_equal(read.faces, faces)
    np.testing.assert_allclose(read.vertices, vertices * UP, atol=6e-6)
    # Outward faces stay outward: the volume is positive.
    assert read.volume > 0


def test_ply_has_unit_outward_normals(tmp_path: Path, mesh) -> None:
    vertices, faces = mesh
    mesh_files.write_ply(tmp_path / "a.ply", vertices, faces)
    data = (tmp_path / "a.ply").read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    rows = np.frombuffer(data, "<f4", len(vertices) * 6, start).reshape(-1, 6)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 3:], axis=1), 1, atol=1e-6)
    outward = rows[:-1, :3] - vertices[:-1].mean(axis=0) * UP
    assert (np.einsum("vc,vc->v", outward, rows[:-1, 3:]) > 0).all()


def test_glb_has_a_named_upright_node_for_each_person(tmp_path: Path, mesh) -> None:
    vertices, faces = mesh
    people = [
        mesh_files.NamedMesh("person_0", vertices, faces, (0.2, 0.5, 0.9)),
        mesh_files.NamedMesh("person_1", vertices + np.array([1.0, 0.0, 2.0]), faces, (1.0, 0.0, 0.0)),
        ("other body", vertices[:-1] * 2, faces.copy(), (0.0, 0.0, 0.0)),
    ]
    mesh_files.write_glb(tmp_path / "all.glb", people)
    scene = trimesh.load_scene(tmp_path / "all.glb", process=False)
    assert set(scene.graph.nodes_geometry) == {"person_0", "person_1", "other body"}
    for name, points, corners, _ in people:
        transform, geometry = scene.graph[name]
        read = scene.geometry[geometry]
        np.testing.assert_array_equal(transform, np.eye(4))
        np.testing.assert_array_equal(read.faces, corners)
        np.testing.assert_allclose(read.vertices, points * UP, atol=1e-6)
        assert read.volume > 0
        # The head (least y in the camera frame) is on top, the person in front of a camera that looks along −Z.
        assert read.vertices[points[:, 1].argmin(), 1] == read.vertices[:, 1].max()
        assert (read.vertices[:, 2] < 0).all()
        true = trimesh.Trimesh(points * UP, corners, process=False).face_normals.mean(axis=0)
        np.testing.assert_allclose(read.face_normals.mean(axis=0), true, atol=1e-5)
    colour = scene.geometry[scene.graph["person_1"][1]].visual.material.baseColorFactor
    np.testing.assert_array_equal(colour, [255, 0, 0, 255])


def test_glb_is_laid_out_as_the_standard_says(tmp_path: Path, mesh) -> None:
    vertices, faces = mesh
    mesh_files.write_glb(tmp_path / "a.glb", [("a", vertices, faces, (0.5,) * 3), ("b", vertices, faces, (0.5,) * 3)])
    data = (tmp_path / "a.glb").read_bytes()
    assert data[:4] == b"glTF"
    version, total, length = np.frombuffer(data, "<u4", 3, 4)
    assert (version, total, length % 4, data[16:20]) == (2, len(data), 0, b"JSON")
    document = json.loads(data[20 : 20 + length])
    size, kind = np.frombuffer(data, "<u4", 1, 20 + length)[0], data[24 + length : 28 + length]
    assert (kind, size, size % 4) == (b"BIN\0", len(data) - 28 - length, 0)
    assert document["buffers"] == [{"byteLength": size}]
    primitives = [entry["primitives"][0] for entry in document["meshes"]]
    assert primitives[0]["indices"] == primitives[1]["indices"]
    position = document["accessors"][primitives[0]["attributes"]["POSITION"]]
    np.testing.assert_array_equal(position["max"], (vertices * UP).astype(np.float32).max(axis=0))
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= size
    # sRGB 0.5 is 0.214 in linear light.
    assert document["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"][0] == pytest.approx(0.214, abs=1e-3)


def test_large_meshes_take_wide_indices(tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).normal(size=(70_000, 3))
    faces = np.array([[0, 1, 69_999], [2, 65_535, 3]])
    mesh_files.write_glb(tmp_path / "a.glb", [("a", vertices, faces, (1.0, 1.0, 1.0))])
    read = next(iter(trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()))
    np.testing.assert_array_equal(read.faces, faces)


def test_vertex_normals_of_a_sphere_are_its_radii() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    normals = mesh_files.vertex_normals(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert normals.dtype == np.float32
    assert np.einsum("vc,vc->v", normals, ball.vertices).min() > 0.999
    lonely = mesh_files.vertex_normals(np.zeros((2, 3)), np.array([[0, 0, 0]]))
    np.testing.assert_array_equal(lonely, [[0, 0, 1], [0, 0, 1]])


def test_npz_reads_back_without_pickle(tmp_path: Path, mesh) -> None:
    vertices, faces = mesh
    people = np.stack([vertices, vertices + 1])
    mesh_files.write_npz(tmp_path / "a.npz", people, people[:, :17], faces, names=["a", "b"], score=np.ones(2))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
        assert set(read.files) == {"vertices", "joints", "faces", "names", "score"}
        assert read["vertices"].dtype == np.float32
        np.testing.assert_allclose(read["vertices"], people, atol=1e-6)
        assert read["joints"].shape == (2, 17, 3)
        np.testing.assert_array_equal(read["faces"], faces)
        assert read["names"].tolist() == ["a", "b"]


def test_npz_of_nobody(tmp_path: Path, mesh) -> None:
    mesh_files.write_npz(tmp_path / "a.npz", np.zeros((0, 5, 3)), np.zeros((0, 17, 3)), mesh[1])
    assert np.load(tmp_path / "a.npz")["vertices"].shape == (0, 5, 3)


def test_json_is_rounded_plain_and_compact(tmp_path: Path) -> None:
    document = {
        "people": [{"joints3d_m": np.array([[0.1234567, -1e-9, 2.0]], np.float32), "score": np.float32(0.5), "n": 3}],
        "skipped": [],
        "text": "bracket [\n1, 2]",
        "file": Path("é.obj"),
        "none": None,
        "flag": np.bool_(True),
    }
    mesh_files.write_json(tmp_path / "a.json", document)
    text = (tmp_path / "a.json").read_text()
    assert "[0.12346, 0.0, 2.0]" in text
    assert json.loads(text) == {
        "people": [{"joints3d_m": [[0.12346, 0.0, 2.0]], "score": 0.5, "n": 3}],
        "skipped": [],
        "text": "bracket [\n1, 2]",
        "file": "é.obj",
        "none": None,
        "flag": True,
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path: Path, mesh, bad: float) -> None:
    vertices, faces = mesh
    vertices[7, 2] = bad
    place = r"\[7, 2\]; expected finite"
    with pytest.raises(InputError, match=rf"a\.obj: vertices has {bad} at {place}"):
        mesh_files.write_obj(tmp_path / "a.obj", vertices, faces)
    with pytest.raises(InputError, match=place):
        mesh_files.write_ply(tmp_path / "a.ply", vertices, faces)
    with pytest.raises(InputError, match=rf"all\.glb: person_3: vertices has {bad}"):
        mesh_files.write_glb(tmp_path / "all.glb", [("person_3", vertices, faces, (1, 1, 1))])
    with pytest.raises(InputError, match=r"a\.npz: vertices has"):
        mesh_files.write_npz(tmp_path / "a.npz", vertices[None], vertices[None], faces)
    with pytest.raises(InputError, match=r"a\.json: people\[0\]\.score is"):
        mesh_files.write_json(tmp_path / "a.json", {"people": [{"score": bad}]})
    assert list(tmp_path.iterdir()) == []


def test_meshes_that_cannot_be_are_refused(tmp_path: Path, mesh) -> None:
    vertices, faces = mesh
    with pytest.raises(InputError, match="faces name vertices 0 to 999; expected 0 to 162"):
        mesh_files.write_obj(tmp_path / "a.obj", vertices, np.array([[0, 1, 999]]))
    with pytest.raises(InputError, match=r"vertices of shape \(163, 2\)"):
        mesh_files.write_ply(tmp_path / "a.ply", vertices[:, :2], faces)
    with pytest.raises(InputError, match="every name once"):
        mesh_files.write_glb(tmp_path / "a.glb", [("a", vertices, faces, (1, 1, 1))] * 2)
    with pytest.raises(InputError, match="holds Python objects"):
        mesh_files.write_npz(tmp_path / "a.npz", vertices[None], vertices[None], faces, more=[{}])
    with pytest.raises(InputError, match="what is a set"):
        mesh_files.write_json(tmp_path / "a.json", {"what": {1}})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(TypeError, match="bytes-like"), mesh_files.atomic_write(target) as file:
        file.writelines([b"half", "not bytes"])
    assert target.read_text() == "old"
    with mesh_files.atomic_write(target) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_path_that_cannot_be_written_is_named_in_one_line(tmp_path: Path, mesh) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.obj").mkdir()
    for name in ("missing/a.obj", "file/a.obj", "folder.obj"):
        with pytest.raises(InputError, match=rf"{name}: cannot be written") as caught:
            mesh_files.write_obj(tmp_path / name, *mesh)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.obj"]


def test_a_node_turns_a_scene_upright_and_vertices_stay_in_camera_space(tmp_path: Path) -> None:
    vertices, faces = np.array([[0.0, 0, 2], [0.1, 0, 2], [0, -1.0, 2]]), np.array([[0, 1, 2]])
    upright = np.array([[1, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]])
    people = [("person_0", vertices, faces, (1.0, 1.0, 1.0))]
    mesh_files.write_glb(tmp_path / "turned.glb", people, upright, {"up": {"source": "people"}})
    assert b'"extras":{"up":{"source":"people"}}' in (tmp_path / "turned.glb").read_bytes()
    scene = trimesh.load(tmp_path / "turned.glb")
    transform, name = scene.graph["person_0"]
    np.testing.assert_allclose(scene.geometry[name].vertices, vertices * [1, -1, -1], atol=1e-6)
    turned = scene.geometry[name].vertices @ transform[:3, :3].T
    np.testing.assert_allclose(turned, vertices @ upright.T * [1, -1, -1], atol=1e-6)
    mesh_files.write_glb(tmp_path / "level.glb", people, np.eye(3))
    mesh_files.write_glb(tmp_path / "plain.glb", people)
    assert (tmp_path / "level.glb").read_bytes() == (tmp_path / "plain.glb").read_bytes()
