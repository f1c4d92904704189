"""Bones of given meshes: exact with the body model's own, unchanged by the identity, linear in the bones' matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.mesh_articulation import BONES, MeshArticulation, load_articulation
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotation_vectors import matrices_of_vectors
from pose2mesh.skeletons import COCO, HUMAN36
from pose2mesh.visualization.renderer import vertex_normals


@pytest.fixture(scope="module")
def articulation() -> MeshArticulation:
    return load_articulation("coco")


@pytest.fixture(scope="module")
def meshes(anny_body: BodyModel) -> np.ndarray:
    vectors = np.random.default_rng(1).normal(size=(2, BONES, 3)) * 0.2
    orientations = torch.from_numpy(matrices_of_vectors(vectors))
    with torch.no_grad():
        return anny_body(anny_body.mean_phenotypes.expand(2, -1), orientations).numpy()


def test_data_are_those_of_the_body(articulation: MeshArticulation, anny_body: BodyModel) -> None:
    assert articulation.vertex_count == len(anny_body.template)
    assert np.allclose(articulation.regressor.toarray(), anny_body.regressor(COCO).numpy(), atol=1e-6)
    template = anny_body.template.numpy()[None]
    heads = articulation.heads(template)[0]
    for bone, name in enumerate(BODY_BONES):
        assert np.linalg.norm(heads[bone] - anny_body.template_heads()[name].numpy()) < 0.02
    normals = articulation.surface_normals(template)[0]
    expected = vertex_normals(template[0], anny_body.faces.numpy())[articulation.surface]
    cosine = (normals * expected).sum(-1)
    assert np.median(cosine) > 0.98
    assert (cosine > 0).mean() > 0.98


def test_the_identity_changes_nothing(articulation: MeshArticulation, meshes: np.ndarray) -> None:
    heads = articulation.heads(meshes)
    transforms = articulation.transforms(heads, np.tile(np.eye(3, dtype=np.float32), (2, BONES, 1, 1)))
    assert np.abs(articulation.deform(meshes, transforms) - meshes).max() < 1e-6
    levers = articulation.joint_levers(meshes, heads)
    assert np.abs(levers.sum(1) + heads[:, :1] - articulation.joints(meshes)).max() < 1e-5


def test_points_are_linear_in_the_bones(articulation: MeshArticulation, meshes: np.ndarray) -> None:
    """The levers give the same joints and surface as deforming all vertices."""
    rng = np.random.default_rng(2)
    turns = matrices_of_vectors(0.3 * rng.normal(size=(2, BONES, 3)))
    bones = (turns * rng.uniform(0.8, 1.3, (2, BONES, 1, 3))).astype(np.float32)
    heads = articulation.heads(meshes)
    transforms = articulation.transforms(heads, bones)
    moved = articulation.deform(meshes, transforms)

    def placed(levers: np.ndarray) -> np.ndarray:
        return np.einsum("pbij,pbnj->pni", bones, levers) + heads[:, :1]

    assert np.abs(placed(articulation.joint_levers(meshes, heads)) - articulation.joints(moved)).max() < 1e-4
    surface, chosen = meshes[:, articulation.surface], np.array([[0, 5, 800], [3, 1, 899]])
    expected = np.take_along_axis(moved[:, articulation.surface], chosen[..., None], 1)
    assert np.abs(placed(articulation.surface_levers(surface, heads, chosen)) - expected).max() < 1e-5
    deformed, _ = articulation.deform_surface(surface, np.zeros_like(surface), transforms)
    assert np.abs(deformed - moved[:, articulation.surface]).max() < 1e-5


def test_a_turned_forearm_turns_the_hand(articulation: MeshArticulation, meshes: np.ndarray) -> None:
    bones = np.tile(np.eye(3, dtype=np.float32), (2, BONES, 1, 1))
    for name in ("LeftForeArm", "LeftHand"):
        bones[:, BODY_BONES.index(name)] = matrices_of_vectors(np.array([0.5, 0.0, 0.0]))
    heads = articulation.heads(meshes)
    joints, moved = (
        articulation.joints(points)
        for points in (meshes, articulation.deform(meshes, articulation.transforms(heads, bones)))
    )
    distance = np.linalg.norm(moved - joints, axis=-1)
    assert (distance[:, COCO.index("left_wrist")] > 0.05).all()
    still = [index for index, name in enumerate(COCO.names) if name not in ("left_wrist", "left_elbow")]
    assert distance[:, still].max() < 0.005


def test_joint_sets() -> None:
    assert load_articulation("human36").regressor.shape[0] == len(HUMAN36)
    with pytest.raises(InputError, match="joint set 'hand' has no regressor; expected coco, human36, smpl"):
        MeshArticulation("hand")
