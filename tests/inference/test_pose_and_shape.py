"""Pose, shape and expected errors of recovered people, and in the files of `predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.models.pose2mesh import Skinning

CAMERA = Intrinsics(900, 900, 500, 400)


@pytest.fixture
def predictor(skinned_bundle_file: Path) -> Predictor:
    return Predictor.load(skinned_bundle_file)


def keypoints(people: int = 3) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal((620, 380), 60, (people, 17, 2))


def skinned(predictor: Predictor, rotations: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) of one body, by the model's skinning."""
    assert isinstance(predictor.backend, TorchBackend)
    skinning = predictor.backend.network.skinning
    assert isinstance(skinning, Skinning)
    with torch.no_grad():
        return skinning(torch.from_numpy(rotations)[None], torch.from_numpy(shape)[None])[0].numpy()


@pytest.mark.parametrize("camera", [None, CAMERA], ids=["facing", "given"])
def test_vertices_are_the_body_in_its_pose(predictor: Predictor, camera: Intrinsics | None) -> None:
    for person in predictor.recover(keypoints(), intrinsics=camera, height_m=1.5):
        assert person.pose is not None
        vertices = person.pose.size * skinned(predictor, person.pose.rotations, person.pose.shape)
        moved = person.vertices - vertices
        assert np.allclose(moved, moved[0], atol=1e-4)
        assert np.allclose(np.linalg.det(person.pose.rotations), 1, atol=1e-4)


def test_expected_errors_grow_with_the_given_height(predictor: Predictor) -> None:
    small, large = (predictor.recover(keypoints(), height_m=height) for height in (1.0, 2.0))
    for one, two in zip(small, large, strict=True):
        assert one.expected_errors_m is not None
        assert two.expected_errors_m is not None
        assert one.expected_errors_m.shape == (19, 2)
        assert np.allclose(2 * one.expected_errors_m, two.expected_errors_m, rtol=1e-4)


def test_onnx_gives_the_same(predictor: Predictor, skinned_bundle_file: Path) -> None:
    pytest.importorskip("onnx")
    other = Predictor.load(skinned_bundle_file, backend="onnx")
    for one, two in zip(predictor.recover(keypoints()), other.recover(keypoints()), strict=True):
        assert one.pose is not None
        assert two.pose is not None
        assert np.allclose(one.pose.rotations, two.pose.rotations, atol=1e-3)
        assert np.allclose(one.pose.shape, two.pose.shape, atol=1e-3)
        assert np.allclose(one.expected_errors_m, two.expected_errors_m, rtol=1e-3)


def test_models_of_vertices_alone_have_no_pose(recovery: Predictor) -> None:
    person = recovery.recover(keypoints(1))[0]
    assert person.pose is None
    assert person.expected_errors_m is None


def test_refined_bodies_keep_their_bones_with_their_vertices() -> None:
    """The rotations that refinement adds to the bones are part of the pose."""
    from pose2mesh import load

    predictor = load()
    person = predictor.recover(keypoints(1), image_size=(1280, 720))[0]
    if person.pose is None:
        pytest.skip("the bundle that ships predicts vertices alone")
    refined = refine_people(predictor, [person])[0]
    assert refined.pose is not None
    vertices = refined.pose.size * skinned(predictor, refined.pose.rotations, refined.pose.shape)
    plain = person.pose.size * skinned(predictor, person.pose.rotations, person.pose.shape)

    def distance(points: np.ndarray) -> float:
        """Mean distance of the refined vertices from points, both about their means."""
        centred = refined.vertices - refined.vertices.mean(0) - points + points.mean(0)
        return float(np.linalg.norm(centred, axis=1).mean())

    assert distance(vertices) < 0.5 * distance(plain)


def test_files_of_predict(skinned_bundle_file: Path, tmp_path: Path) -> None:
    from pose2mesh.cli.main import main

    points = np.zeros((2, 17, 3))
    points[..., :2], points[..., 2] = keypoints(2), 1
    np.save(tmp_path / "people.npy", points)
    out = tmp_path / "out"
    arguments = ["predict", str(tmp_path / "people.npy"), "--model", str(skinned_bundle_file), "--out", str(out)]
    assert main([*arguments, "--formats", "json,npz"]) == 0
    document: dict[str, Any] = json.loads((out / "people.json").read_text())
    with np.load(out / "people.npz") as arrays:
        assert arrays["rotations"].shape == (2, 22, 3, 3)
        assert arrays["shape"].shape == (2, 3)
        assert arrays["expected_errors_m"].shape == (2, 19, 2)
        for index, person in enumerate(document["people"]):
            from scipy.spatial.transform import Rotation

            given = Rotation.from_rotvec(person["pose"]["rotations_rad"]).as_matrix()
            assert np.allclose(given, arrays["rotations"][index], atol=1e-3)
            assert person["pose"]["bones"][0] == "Hips"
            assert np.allclose(person["expected_errors_m"], arrays["expected_errors_m"][index], atol=1e-4)
