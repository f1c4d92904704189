"""Animated GLB files: valid, loadable, and skinning with the file's data gives the body model's vertices."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation, Slerp

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.errors import InputError
from pose2mesh.motion.body_motion import BodyMotion
from pose2mesh.motion.glb_writer import strongest_weights, write_animated_glb

DTYPES = {5121: "<u1", 5123: "<u2", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
UP = np.array([1, -1, -1])


@pytest.fixture(scope="module")
def motions(motion_in_camera: BodyMotion) -> list[BodyMotion]:
    """Two people; the second comes 20 frames later and leaves 25 frames earlier."""
    other = np.array([0.9, 0.9, 0.3, 0.7, 0.3, 0.6], np.float32)
    path = motion_in_camera.hips_m[:15] + np.array([1, 0, 1])
    return [motion_in_camera, BodyMotion("p1", other, motion_in_camera.orientations[:15], path, 30, first_frame=20)]


@pytest.fixture(scope="module")
def glb_file(anny_body: BodyModel, motions: list[BodyMotion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "two.glb"
    write_animated_glb(path, anny_body, motions, [(0.9, 0.5, 0.3), (0.3, 0.5, 0.9)])
    return path


class Player:
    """A minimal glTF viewer: node transforms at a time, and skinning (glTF 2.0, section 3.7.3)."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.document: dict[str, Any] = json.loads(data[20 : 20 + size])
        self.binary = data[28 + size :]

    def array(self, accessor: int) -> np.ndarray:
        entry = self.document["accessors"][accessor]
        start = self.document["bufferViews"][entry["bufferView"]]["byteOffset"]
        width = WIDTHS[entry["type"]]
        dtype = DTYPES[entry["componentType"]]
        return np.frombuffer(self.binary, dtype, entry["count"] * width, start).reshape(-1, width)

    def local_matrices(self, seconds: float | None) -> list[np.ndarray]:
        nodes = [dict(node) for node in self.document["nodes"]]
        if seconds is not None:
            (animation,) = self.document["animations"]
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times, values = self.array(sampler["input"])[:, 0].astype(float), self.array(sampler["output"])
                target = channel["target"]
                nodes[target["node"]][target["path"]] = sample(times, values, seconds, target["path"], sampler)
        matrices = []
        for node in nodes:
            matrix = np.eye(4)
            matrix[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            matrix[:3, :3] *= np.array(node.get("scale", [1, 1, 1]))
            matrix[:3, 3] = node.get("translation", [0, 0, 0])
            matrices.append(matrix)
        return matrices

    def vertices(self, name: str, seconds: float | None) -> np.ndarray:
        nodes, local = self.document["nodes"], self.local_matrices(seconds)
        above = {child: parent for parent, node in enumerate(nodes) for child in node.get("children", [])}

        def world(node: int) -> np.ndarray:
            return world(above[node]) @ local[node] if node in above else local[node]

        node = next(node for node in nodes if node["name"] == name)
        skin = self.document["skins"][node["skin"]]
        bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        bones = np.stack([world(joint) @ matrix for joint, matrix in zip(skin["joints"], bind, strict=True)])
        attributes = self.document["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        position, joints, weights = (self.array(attributes[key]) for key in ("POSITION", "JOINTS_0", "WEIGHTS_0"))
        blended = np.einsum("vk,vkij->vij", weights.astype(float), bones[joints])
        return np.einsum("vij,vj->vi", blended[:, :3, :3], position) + blended[:, :3, 3]


def sample(times: np.ndarray, values: np.ndarray, seconds: float, path: str, sampler: dict[str, Any]) -> np.ndarray:
    if sampler["interpolation"] == "STEP":
        return values[max(np.searchsorted(times, seconds + 1e-6) - 1, 0)]
    seconds = float(np.clip(seconds, times[0], times[-1]))
    if path == "rotation":
        return Slerp(times, Rotation.from_quat(values))(seconds).as_quat()
    return np.array([np.interp(seconds, times, column) for column in values.T])


def test_skinning_with_the_file_gives_the_body(anny_body: BodyModel, motions: list[BodyMotion], glb_file: Path) -> None:
    player = Player(glb_file)
    for motion in motions:
        ground_truth = motion.vertices(anny_body) * UP
        for frame in (0, 7, len(motion) - 1):
            found = player.vertices(motion.name, (motion.first_frame + frame) / motion.fps)
            error = np.linalg.norm(found - ground_truth[frame], axis=1)
            assert error.mean() < 1e-4  # four weights a vertex instead of all
            assert error.max() < 3e-3


def test_without_the_animation_people_have_the_pose_of_their_first_frame(
    anny_body: BodyModel, motions: list[BodyMotion], glb_file: Path
) -> None:
    found = Player(glb_file).vertices("p1", None)
    assert np.linalg.norm(found - motions[1].vertices(anny_body)[0] * UP, axis=1).mean() < 1e-4


def test_people_are_hidden_while_absent(glb_file: Path) -> None:
    player = Player(glb_file)
    sizes = [np.ptp(player.vertices("p1", frame / 30), axis=0).max() for frame in (0, 19, 20, 34, 35, 59)]
    assert [size > 1 for size in sizes] == [False, False, True, True, False, False]
    assert np.ptp(player.vertices("p0", 59 / 30), axis=0).max() > 1


def test_people_are_hidden_in_long_gaps(anny_body: BodyModel, motions: list[BodyMotion], tmp_path: Path) -> None:
    path = tmp_path / "gaps.glb"
    write_animated_glb(path, anny_body, [motions[0], replace(motions[1], absent=((22, 24), (30, 31)))])
    player = Player(path)
    shown = [frame for frame in range(18, 40) if np.ptp(player.vertices("p1", frame / 30), axis=0).max() > 1]
    assert shown == [20, 21, *range(25, 30), 32, 33, 34]


def test_rotations_take_the_short_path_and_weights_sum_to_one(anny_body: BodyModel, glb_file: Path) -> None:
    player = Player(glb_file)
    (animation,) = player.document["animations"]
    for channel in animation["channels"]:
        if channel["target"]["path"] == "rotation":
            turns = player.array(animation["samplers"][channel["sampler"]]["output"])
            assert (turns[1:] * turns[:-1]).sum(1).min() > 0.9
    joints, weights = strongest_weights(anny_body.skin_weights.numpy())
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)), abs=3e-7)
    assert joints.max() < 52
    full = anny_body.skin_weights.numpy()
    assert np.take_along_axis(full, joints.astype(int), 1).sum(1).mean() > 0.999


def test_trimesh_loads_it(glb_file: Path) -> None:
    scene = trimesh.load(glb_file)
    assert len(scene.geometry) == 2
    assert {len(mesh.vertices) for mesh in scene.geometry.values()} == {13718}
    for mesh in scene.geometry.values():
        assert 1.3 < np.ptp(mesh.vertices[:, 1]) < 2.3  # upright, in metres
        assert mesh.volume > 0.03  # wound outwards


def test_khronos_validator_finds_no_fault(
    anny_body: BodyModel, motions: list[BodyMotion], glb_file: Path, tmp_path: Path
) -> None:
    """Needs `npm install gltf-validator` in the folder GLTF_VALIDATOR."""
    folder = os.environ.get("GLTF_VALIDATOR")
    if folder is None or shutil.which("node") is None:
        pytest.skip("needs node, and the folder where `npm install gltf-validator` was run in GLTF_VALIDATOR")
    still = replace(motions[0], orientations=motions[0].orientations[:1], hips_m=motions[0].hips_m[:1])
    write_animated_glb(tmp_path / "still.glb", anny_body, [still])
    script = "const v = require('gltf-validator'), fs = require('fs');" + (
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(r => console.log(JSON.stringify(r)))"
    )
    for path in (glb_file, tmp_path / "still.glb"):
        result = subprocess.run(["node", "-e", script, str(path)], cwd=folder, capture_output=True, check=True)
        issues = json.loads(result.stdout)["issues"]
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


def test_a_still_has_no_animation(anny_body: BodyModel, motions: list[BodyMotion], tmp_path: Path) -> None:
    still = replace(motions[0], orientations=motions[0].orientations[:1], hips_m=motions[0].hips_m[:1])
    write_animated_glb(tmp_path / "still.glb", anny_body, [still])
    player = Player(tmp_path / "still.glb")
    assert "animations" not in player.document
    error = player.vertices("p0", None) - still.vertices(anny_body)[0] * UP
    assert np.linalg.norm(error, axis=1).mean() < 1e-4


def test_bad_scenes_are_named(anny_body: BodyModel, motions: list[BodyMotion], tmp_path: Path) -> None:
    path = tmp_path / "bad.glb"
    for scene in ([], [motions[0], motions[0]], [motions[0], replace(motions[1], fps=25)]):
        with pytest.raises(InputError, match="expected at least one person, every name once, one frame rate"):
            write_animated_glb(path, anny_body, scene)
    assert not path.exists()
