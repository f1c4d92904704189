"""The Anny body compared with the package `anny`, and its invariants."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.anny import AnnyBody, split_quads
from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.body_models.skinning import SkinnedPoints
from pose2mesh.geometry.rotations import axis_rotation
from pose2mesh.models.bundle.bundle_file import read_bundle
from pose2mesh.skeletons import BODY_JOINT_SETS
from tests.body_models.random_bodies import random_adults, random_poses

IDENTITY = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)


def theirs(model: Any, body: AnnyBody, phenotypes: Tensor, orientations: Tensor) -> dict[str, Tensor]:
    """The package's own forward pass for our parameters; its orientations include the rest pose."""
    pose = torch.eye(4, dtype=torch.float64).repeat(len(phenotypes), len(body.bone_names), 1, 1)
    pose[..., :3, :3] = orientations.double()[:, body.bone_source] @ body.mean_rest_rotations.double()
    values = {name: value.double() for name, value in zip(PHENOTYPES, phenotypes.T, strict=True)}
    return model(pose_parameters=pose, phenotype_kwargs=values)


def test_bones_are_in_annys_order_with_annys_parents(anny_body: AnnyBody) -> None:
    names = anny_body.bone_names
    assert tuple(name for name in names if name in BODY_BONES) == BODY_BONES
    for bone, name in enumerate(BODY_BONES):
        parent = anny_body.parents[names.index(name)]
        assert (names[parent] if parent >= 0 else None) == (BODY_BONES[PARENTS[bone]] if bone else None)


def test_fingers_follow_their_hand(anny_body: AnnyBody) -> None:
    for name, source in zip(anny_body.bone_names, anny_body.bone_source.tolist(), strict=True):
        if name in BODY_BONES:
            assert BODY_BONES[source] == name
        else:
            assert BODY_BONES[source] == f"{'Left' if name.startswith('Left') else 'Right'}Hand"


def test_forward_agrees_with_anny(anny_body: AnnyBody, anny_model: Any) -> None:
    phenotypes, poses = random_adults(4, 0), random_poses(4, 1)
    expected = theirs(anny_model, anny_body, phenotypes, poses)
    torch.testing.assert_close(anny_body(phenotypes, poses).double(), expected["vertices"], atol=1e-5, rtol=0)
    heads = anny_body.bone_heads(phenotypes, poses).double()
    torch.testing.assert_close(heads, expected["bone_poses"][..., :3, 3], atol=1e-5, rtol=0)


def test_coefficients_agree_with_anny(anny_body: AnnyBody, anny_model: Any) -> None:
    """At any age, from newborn to old, and at the anchors themselves."""
    phenotypes = torch.rand(24, 6, generator=torch.Generator().manual_seed(2))
    phenotypes[:, 1] = torch.linspace(-1 / 3, 1, 24)
    phenotypes[:6] = phenotypes[:6].round()
    values = {name: value.double() for name, value in zip(PHENOTYPES, phenotypes.T, strict=True)}
    expected = anny_model.get_phenotype_blendshape_coefficients(**values)
    torch.testing.assert_close(anny_body.coefficients(phenotypes).double(), expected, atol=1e-6, rtol=0)


def test_a_body_with_another_rest_pose_takes_the_means_limb_directions(anny_body: AnnyBody) -> None:
    """Anny's rest pose depends on the shape; one pose nevertheless gives one set of limb directions."""
    phenotypes = random_adults(6, 3)
    heads = anny_body.bone_heads(phenotypes, IDENTITY.expand(6, -1, -1, -1))
    mean = anny_body.bone_heads(anny_body.mean_phenotypes[None], IDENTITY)
    for above, below in (("LeftArm", "LeftForeArm"), ("RightForeArm", "RightHand"), ("LeftUpLeg", "LeftLeg")):
        a, b = anny_body.bone_names.index(above), anny_body.bone_names.index(below)
        way, expected = (torch.nn.functional.normalize(x[:, b] - x[:, a], dim=-1) for x in (heads, mean))
        angles = torch.rad2deg(torch.arccos((way * expected).sum(-1).clamp(-1, 1)))
        assert angles.max() < 2


def test_template_is_the_mean_body_at_rest(anny_body: AnnyBody) -> None:
    vertices = anny_body(anny_body.mean_phenotypes[None], IDENTITY)[0]
    torch.testing.assert_close(vertices, anny_body.template, atol=1e-6, rtol=0)
    assert anny_body.template.shape == (13718, 3)
    assert anny_body.faces.shape[1] == 3
    assert anny_body.faces.max() == len(anny_body.template) - 1
    assert anny_body.skin_weights.sum(1).sub(1).abs().max() < 1e-5


def test_faces_are_counter_clockwise_seen_from_outside(anny_body: AnnyBody) -> None:
    a, b, c = (anny_body.template.double()[anny_body.faces[:, corner]] for corner in range(3))
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    assert 0.04 < volume < 0.12  # cubic metres: a person weighs as much as water


def test_quads_are_split_the_same_however_anny_splits_them(anny_body: AnnyBody, anny_model: Any) -> None:
    """Which of equally long diagonals Anny takes differs between processors."""
    first, second = anny_model.faces[0::2], anny_model.faces[1::2]
    along_ac = (first[:, 0] == second[:, 2])[:, None]
    a, b, c, d = first[:, 0], first[:, 1], first[:, 2], second[:, 1]
    along_bd = torch.stack((a, b, d, d, b, c), dim=1)
    a, b, c, d = first[:, 0], first[:, 1], second[:, 2], first[:, 2]
    other = torch.where(along_ac, along_bd, torch.stack((a, b, c, c, d, a), dim=1)).reshape(-1, 3)
    assert not (other == anny_model.faces).all(1).any()
    for faces in (anny_model.faces, other):
        assert torch.equal(split_quads(faces, anny_model.template_vertices), anny_body.faces)
    changed = (anny_body.faces != anny_model.faces).any(1).sum()
    assert changed <= 2 * 56  # ties alone


def test_the_shipped_bundle_has_this_mesh(anny_body: AnnyBody) -> None:
    assert np.array_equal(read_bundle("default").surface.faces, anny_body.faces.numpy())


def test_the_hips_head_is_fixed_and_a_world_rotation_rotates_everything(anny_body: AnnyBody) -> None:
    phenotypes, poses = random_adults(2, 6), random_poses(2, 7)
    turn = axis_rotation(2, torch.tensor(0.8)) @ axis_rotation(0, torch.tensor(-1.1))
    vertices = anny_body(phenotypes, poses)
    turned = anny_body(phenotypes, turn @ poses)
    torch.testing.assert_close(turned, vertices @ turn.T, atol=2e-6, rtol=0)
    assert anny_body.bone_heads(phenotypes, poses)[:, 0].abs().max() < 1e-6


def test_stature(anny_body: AnnyBody) -> None:
    adult = anny_body.mean_phenotypes
    template = anny_body.template[:, 2]
    torch.testing.assert_close(anny_body.stature(adult[None])[0], template.max() - template.min())
    people = adult.repeat(5, 1)
    people[0, 0], people[1, 0] = 0, 1  # a man, a woman
    people[2, 4], people[3, 4] = 0.3, 0.7
    people[4, 1] = 1 / 3  # a child
    man, woman, short, tall, child = anny_body.stature(people).tolist()
    assert 1.5 < woman < man < 2.1
    assert tall - short > 0.3
    assert 0.9 < child < 1.5


def test_gradients_flow(anny_body: AnnyBody) -> None:
    phenotypes = random_adults(2, 8).requires_grad_()
    poses = random_poses(2, 9).requires_grad_()
    anny_body(phenotypes, poses).square().sum().backward()
    for parameter in (phenotypes, poses):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert (phenotypes.grad.abs() > 0).any(0).all()  # every phenotype moves something
    assert (poses.grad.flatten(2).abs().sum(-1) > 0).all()


def test_double_precision_stays_double() -> None:
    body = AnnyBody().double()
    points = SkinnedPoints(body, body.regressor(BODY_JOINT_SETS["smpl"])).double()
    phenotypes, poses = random_adults(1, 10).double(), random_poses(1, 11).double()
    coefficients = body.coefficients(phenotypes)
    assert body(phenotypes, poses).dtype == torch.float64
    assert points(coefficients, *body.bone_transforms(coefficients, poses)).dtype == torch.float64


def test_the_body_moves_to_a_device_as_a_whole() -> None:
    """The meta device stands for a GPU: an operation with a tensor left on the CPU would fail."""
    body = AnnyBody()
    points = SkinnedPoints(body, body.regressor(BODY_JOINT_SETS["smpl"])).to("meta")
    body.to("meta")
    phenotypes, poses = torch.empty(2, 6, device="meta"), torch.empty(2, 22, 3, 3, device="meta")
    assert body(phenotypes, poses).shape == (2, 13718, 3)
    coefficients = body.coefficients(phenotypes)
    assert points(coefficients, *body.bone_transforms(coefficients, poses)).shape == (2, 24, 3)
    assert body.stature(phenotypes).device.type == "meta"
    assert body.mean_phenotypes.device.type == "meta"
