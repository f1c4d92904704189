"""Thickness of limbs, lengths of edges and self-intersection of surfaces of known geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_sampling import sample_procedural
from pose2mesh.evaluation.surface_quality import (
    LIMBS,
    SURFACE_MEASURES,
    SurfaceMeter,
    edge_lengths,
    edges_of,
    summarise_surfaces,
)
from pose2mesh.geometry.rotations import rotation_from_vector

BODIES = 5
# Limb → the bones whose heads are its ends.
ENDS = {
    "left_upper_arm": ("LeftArm", "LeftForeArm"),
    "left_forearm": ("LeftForeArm", "LeftHand"),
    "right_thigh": ("RightUpLeg", "RightLeg"),
    "right_shank": ("RightLeg", "RightFoot"),
}


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def meter(body: BodyModel) -> SurfaceMeter:
    return SurfaceMeter(body)


def posed(body: BodyModel, seed: int) -> Tensor:
    """(BODIES, V, 3) the same bodies in other poses for each seed."""
    shapes = ShapeConfig().sample(BODIES, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return body(shapes, sample_procedural(BODIES, torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def true(body: BodyModel) -> Tensor:
    return posed(body, 1)


def across(body: BodyModel, limb: str) -> tuple[Tensor, Tensor, Tensor]:
    """The vertices of a limb at rest, its axis (3,), and their feet (N, 3) on the line between the bone heads."""
    heads, bones = body.template_heads(), ENDS[limb]
    start, stop = (heads[bone] for bone in bones)
    along = torch.nn.functional.normalize(stop - start, dim=0)
    own = (body.body_bone_weights().argmax(1) == BODY_BONES.index(bones[0])).nonzero()[:, 0]
    offset = body.template[own] - start
    return own, along, start + (offset @ along)[:, None] * along


def test_the_ground_truth_is_perfect(meter: SurfaceMeter, true: Tensor) -> None:
    values = meter(true, true)
    assert values.keys() == set(SURFACE_MEASURES)
    assert values["limb_radius"].shape == values["limb_narrow"].shape == (BODIES, len(LIMBS))
    torch.testing.assert_close(values["limb_radius"], torch.ones(BODIES, 8).double())
    torch.testing.assert_close(values["limb_narrow"], torch.ones(BODIES, 8).double())
    assert not values["edge_error"].any()
    assert not values["short_edges"].any()
    torch.testing.assert_close(values["self_intersection"], values["true_self_intersection"])


def test_measured_parts_are_the_middles_of_limbs(meter: SurfaceMeter, body: BodyModel) -> None:
    assert len(LIMBS) == len(meter.parts) == 8
    heads = {name: head.numpy() for name, head in body.template_heads().items()}
    sizes = dict(zip(LIMBS, map(len, meter.parts), strict=True))
    for limb, (start, stop) in ENDS.items():
        other = limb.replace("left", "right") if limb.startswith("left") else limb.replace("right", "left")
        assert 20 < sizes[limb] == pytest.approx(sizes[other], abs=2)
        middle = body.template[meter.parts[LIMBS.index(limb)]].numpy().mean(0)
        assert np.linalg.norm(middle - (heads[start] + heads[stop]) / 2) < 0.04


@pytest.mark.parametrize("limb", ENDS)
@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5])
def test_a_limb_that_is_scaled_towards_its_axis(limb: str, factor: float, meter: SurfaceMeter, body: BodyModel) -> None:
    own, _, feet = across(body, limb)
    changed = body.template.clone()
    changed[own] = feet + factor * (changed[own] - feet)
    values = meter(changed[None], body.template[None])
    others = [index for index, name in enumerate(LIMBS) if name != limb]
    for measure in ("limb_radius", "limb_narrow"):
        assert values[measure][0, LIMBS.index(limb)] == pytest.approx(factor, rel=0.01)
        # Of the neighbours, the joint that they share moves by some millimetres.
        np.testing.assert_allclose(values[measure][0, others], 1, atol=0.005)
    assert values["edge_error"] > 1e-5


def test_a_ribbon_is_flat_and_thin(meter: SurfaceMeter, body: BodyModel) -> None:
    """A circle pressed onto its diameter keeps 2 / π of its mean radius; the limb's section is nearly a circle."""
    limb = "left_forearm"
    own, along, feet = across(body, limb)
    side = torch.nn.functional.normalize(torch.linalg.cross(along, torch.tensor([0.0, 0.0, 1.0])), dim=0)
    ribbon = body.template.clone()
    ribbon[own] = ribbon[own] - ((ribbon[own] - feet) @ side)[:, None] * side
    values = meter(ribbon[None], body.template[None])
    assert values["limb_radius"][0, LIMBS.index(limb)] == pytest.approx(2 / math.pi, abs=0.12)
    assert values["limb_narrow"][0, LIMBS.index(limb)] < 0.05
    figures = summarise_surfaces(values)
    assert (figures["thin_limbs_50"], figures["flat_limbs_50"]) == (0, 1)


def test_thickness_does_not_depend_on_the_pose(meter: SurfaceMeter, true: Tensor, body: BodyModel) -> None:
    values = meter(posed(body, 2), true)
    forearms_and_shanks = [index for index, name in enumerate(LIMBS) if name.endswith(("forearm", "shank"))]
    np.testing.assert_allclose(values["limb_radius"][:, forearms_and_shanks], 1, atol=0.006)
    np.testing.assert_allclose(values["limb_radius"], 1, atol=0.05)  # the shoulder moves the skin of upper arms
    np.testing.assert_allclose(values["limb_narrow"], 1, atol=0.08)
    assert values["edge_error"].max() < 0.002  # skin stretches at bent joints alone


@pytest.mark.thorough
def test_the_mean_body_has_thin_limbs_beside_few_people(meter: SurfaceMeter, body: BodyModel) -> None:
    """The shares that a model of perfect poses has, which does not see build and size (`docs/evaluation.md`)."""
    people = 500
    shapes = ShapeConfig().sample(people, torch.Generator().manual_seed(3))
    rest = torch.eye(3).expand(people, len(BODY_BONES), 3, 3)
    with torch.no_grad():
        mean = body(body.mean_phenotypes[None], rest[:1])
        chunks = [body(shapes[part], rest[part]) for part in torch.arange(people).split(50)]
    for factor, thin, tolerance in ((1.0, 0.011, 0.01), (0.9, 0.079, 0.03)):
        values = [meter(factor * mean.expand(len(true), -1, -1), true) for true in chunks]
        figures = summarise_surfaces({name: torch.cat([each[name] for each in values]) for name in SURFACE_MEASURES})
        assert figures["thin_limbs_70"] == pytest.approx(thin, abs=tolerance)
        assert figures["thin_limbs_50"] == 0


def test_rigid_motion_changes_nothing_and_size_scales_everything(meter: SurfaceMeter, true: Tensor) -> None:
    turn = rotation_from_vector(torch.tensor([0.4, -1.1, 2.0]))
    moved = meter(true @ turn.mT + torch.tensor([3.0, -2.0, 5.0]), true)
    np.testing.assert_allclose(moved["limb_radius"], 1, atol=1e-3)
    assert moved["edge_error"].max() < 1e-6
    smaller = meter(0.4 * true, true)
    np.testing.assert_allclose(smaller["limb_radius"], 0.4, atol=1e-3)
    np.testing.assert_allclose(smaller["limb_narrow"], 0.4, atol=1e-3)
    np.testing.assert_allclose(smaller["short_edges"], 1)
    lengths = edge_lengths(true, meter.edges).mean(0)
    torch.testing.assert_close(smaller["edge_error"], 0.6 * lengths)


def test_a_forearm_in_the_trunk_is_a_self_intersection(meter: SurfaceMeter, body: BodyModel) -> None:
    true = body.template[None]
    owner = body.body_bone_weights().argmax(1)
    bones = [index for index, name in enumerate(BODY_BONES) if name.startswith(("LeftForeArm", "LeftHand"))]
    heads = body.template_heads()
    arm = torch.isin(owner, torch.tensor(bones))
    inside = true.clone()
    belly = (heads["Spine1"] + heads["LeftUpLeg"]) / 2
    inside[:, arm] += belly - (heads["LeftForeArm"] + heads["LeftHand"]) / 2
    values = meter(inside, true)
    assert values["true_self_intersection"].tolist() == [0]
    assert values["self_intersection"].tolist() == [1]


def test_edges_of_a_tetrahedron() -> None:
    faces = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    edges = edges_of(faces)
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    corners = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 12]])
    lengths = edge_lengths(torch.stack([corners, 2 * corners]), torch.from_numpy(edges))
    assert lengths[:, 0].tolist() == pytest.approx([3, 4, 12, 5, math.hypot(3, 12), math.hypot(4, 12)])
    torch.testing.assert_close(lengths[:, 1], 2 * lengths[:, 0])


def test_figures_of_the_report() -> None:
    radius, narrow = torch.ones(4, 8), torch.ones(4, 8)
    radius[0, 3], radius[1, 5], radius[1, 6], radius[2, 0] = 0.69, 0.49, 0.2, 0.71
    narrow[:3, 2] = torch.tensor([0.3, 0.6, 0.45])
    values = {
        "limb_radius": radius,
        "limb_narrow": narrow,
        "edge_error": torch.tensor([0.001, 0.002, 0.003, 0.002]),
        "short_edges": torch.tensor([0.0, 0.1, 0.0, 0.1]),
        "self_intersection": torch.tensor([1.0, 0, 0, 0]),
        "true_self_intersection": torch.zeros(4),
    }
    assert summarise_surfaces(values) == {
        "limb_radius_median": 1,
        "thin_limbs_70": 0.5,
        "thin_limbs_50": 0.25,
        "limb_narrow_median": 1,
        "flat_limbs_70": 0.75,
        "flat_limbs_50": 0.5,
        "edge_error_mm": pytest.approx(2),
        "short_edges": pytest.approx(0.05),
        "self_intersection": 0.25,
        "true_self_intersection": 0,
    }
    radius[3, 0] = math.nan  # no number is no thickness
    assert summarise_surfaces(values)["thin_limbs_50"] == 0.5
