"""Body fits to meshes and joints: exact parameters are recovered, noise is tolerated, real predictions are fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.body_fitting import ADULTS, BodyFit, BodyFitter, spread_points
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.measurements import measure
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.keypoints import read_keypoints
from pose2mesh.skeletons import COCO, convert

# Bones whose own surface is small, or rotates with that of their neighbours: the fit does not determine them well.
POORLY_DETERMINED = ("LeftToeBase", "RightToeBase", "LeftShoulder", "RightShoulder", "Spine", "Spine1", "Neck")
WELL_DETERMINED = [index for index, name in enumerate(BODY_BONES) if name not in POORLY_DETERMINED]


@pytest.fixture(scope="module")
def fitter(anny_body: BodyModel) -> BodyFitter:
    return BodyFitter(anny_body)


@pytest.fixture(scope="module")
def posed(anny_body: BodyModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Phenotypes, orientations, translations and vertices of 16 bodies."""
    generator = torch.Generator().manual_seed(2)
    phenotypes, orientations = ShapeConfig().sample(16, generator), sample_procedural(16, generator)
    translation = torch.randn(16, 3, generator=generator)
    with torch.no_grad():
        return phenotypes, orientations, translation, anny_body(phenotypes, orientations) + translation[:, None]


def angles_deg(a: Tensor, b: Tensor) -> Tensor:
    cosine = ((a.mT @ b).diagonal(dim1=-1, dim2=-2).sum(-1) - 1) / 2
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def surface_error_mm(body: BodyModel, fit: BodyFit, vertices: Tensor) -> Tensor:
    return 1000 * (fit.vertices(body) - vertices).norm(dim=-1).mean(1)


def test_bounds_are_those_of_training_bodies() -> None:
    config = ShapeConfig()
    assert (config.gender, config.age, config.muscle, config.weight, config.height, config.proportions) == ADULTS


def test_points_are_linear_in_the_rotations(fitter: BodyFitter, posed: tuple[Tensor, ...]) -> None:
    phenotypes, orientations, translation, vertices = posed
    with torch.no_grad():
        points = torch.einsum("bsij,bnsj->bni", orientations, fitter.points.lever_arms(phenotypes))
    assert torch.allclose(points + translation[:, None], vertices[:, fitter.chosen], atol=2e-6)


@pytest.mark.thorough
def test_exact_parameters_are_recovered(
    anny_body: BodyModel, fitter: BodyFitter, posed: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    phenotypes, orientations, translation, vertices = posed
    fit = fitter(vertices)
    assert fit.residual_mm.max() < 2
    assert fit.residual_mm.mean() < 0.2
    assert torch.allclose(fit.residual_mm, surface_error_mm(anny_body, fit, vertices), rtol=1e-3, atol=1e-3)
    angles = angles_deg(fit.orientations, orientations)
    assert angles[:, WELL_DETERMINED].max() < 2
    assert angles.max() < 6
    assert (fit.translation_m - translation).norm(dim=-1).max() < 2e-3
    assert (anny_body.stature(fit.phenotypes) - anny_body.stature(phenotypes)).abs().max() < 3e-3
    low, high = torch.tensor(ADULTS).unbind(1)
    assert ((fit.phenotypes >= low) & (fit.phenotypes <= high)).all()


@pytest.mark.thorough
def test_noise_is_tolerated(
    anny_body: BodyModel, fitter: BodyFitter, posed: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    """The fit is closer to the exact surface than its noisy input, and its error grows with the noise."""
    _, orientations, _, vertices = posed
    generator = torch.Generator().manual_seed(0)
    errors = []
    for noise_m in (0.002, 0.01):
        given = vertices + noise_m * torch.randn(vertices.shape, generator=generator)
        fit = fitter(given)
        errors.append(float(surface_error_mm(anny_body, fit, vertices).mean()))
        given_mm = 1000 * (given - vertices).norm(dim=-1).mean()
        assert errors[-1] < 0.35 * given_mm
        assert fit.residual_mm.mean() == pytest.approx(float(given_mm), rel=0.1)
        assert angles_deg(fit.orientations, orientations)[:, WELL_DETERMINED].mean() < 1000 * noise_m * 0.5
    assert errors[0] < errors[1]


@pytest.mark.thorough
def test_frames_of_one_person_share_a_shape(
    anny_body: BodyModel, fitter: BodyFitter, posed: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    phenotypes, orientations, _, _ = posed
    person = torch.arange(16) % 2
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        vertices = anny_body(phenotypes[:2][person], orientations)
    given = vertices + 0.01 * torch.randn(vertices.shape, generator=generator)
    together, apart = fitter(given, person), fitter(given)
    assert together.phenotypes.shape == (2, 6)
    assert torch.equal(together.person, person)
    true = anny_body.stature(phenotypes[:2])
    errors = [
        float((anny_body.stature(fit.phenotypes)[fit.person] - true[person]).abs().mean()) for fit in (together, apart)
    ]
    assert errors[0] < 1e-3 < errors[1]
    assert together.residual_mm.mean() < 1.02 * apart.residual_mm.mean()


def test_a_given_shape_is_kept(fitter: BodyFitter, posed: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    phenotypes, orientations, _, vertices = posed
    fit = fitter(vertices, phenotypes=phenotypes)
    assert torch.equal(fit.phenotypes, phenotypes)
    assert fit.residual_mm.max() < 0.2
    assert angles_deg(fit.orientations, orientations)[:, WELL_DETERMINED].max() < 1
    with pytest.raises(InputError, match=r"phenotypes have shape \(15, 6\), expected \(16, 6\)"):
        fitter(vertices, phenotypes=phenotypes[:15])


@pytest.mark.thorough
def test_order_and_number_of_frames_do_not_matter(fitter: BodyFitter, posed: tuple[Tensor, ...]) -> None:
    vertices = posed[3]
    many = fitter(torch.cat((vertices, vertices[:4])))  # more than one chunk
    few = fitter(vertices[:4].flip(0))
    assert torch.allclose(many.residual_mm[16:], few.residual_mm.flip(0), atol=0.02)
    assert torch.allclose(many.orientations[16:], few.orientations.flip(0), atol=5e-3)


def test_joints_place_the_limbs(anny_body: BodyModel, posed: tuple[Tensor, ...]) -> None:
    """19 joints determine the positions of the limbs, but not their twist."""
    _, orientations, _, vertices = posed
    regressor = anny_body.regressor(COCO)
    fit = BodyFitter(anny_body, regressor)(regressor @ vertices)
    assert fit.residual_mm.median() < 4
    assert surface_error_mm(anny_body, fit, vertices).median() < 40
    thighs = [BODY_BONES.index("LeftUpLeg"), BODY_BONES.index("RightUpLeg")]
    assert angles_deg(fit.orientations, orientations)[:, thighs].median() < 15


def test_predictions_of_the_bundle_are_fitted(anny_body: BodyModel, fitter: BodyFitter) -> None:
    """Example people: the mean distance of the fit from the mesh is below 20 mm, and the joints agree."""
    recovery = Predictor.load()
    images = read_keypoints(Path(__file__).parents[2] / "examples" / "coco_people.json")
    people = [person for image in images for person in image.people]
    joints_px, confidence = convert(
        np.stack([person.joints_px for person in people]),
        np.stack([person.confidence for person in people]),
        COCO.names,
        recovery.joint_set,
    )
    joints, vertices = (torch.from_numpy(array) for array in recovery.run(joints_px, confidence))
    fit = fitter(vertices)
    assert fit.residual_mm.mean() < 20
    moved = anny_body.regressor(COCO) @ fit.vertices(anny_body) - joints
    assert moved.norm(dim=-1).mean() < 0.02


def test_measurements_and_their_residuals(
    anny_body: BodyModel, fitter: BodyFitter, posed: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    phenotypes, _, translation, vertices = posed
    fit = fitter(vertices)
    found = measure(anny_body, fit, vertices)
    assert torch.allclose(found["height_m"].value, anny_body.stature(phenotypes), atol=3e-3)
    assert found["waist_m"].value.min() > 0.5
    assert found["waist_m"].value.max() < 1.8
    assert torch.allclose(found["mass_kg"].value, 980 * found["volume_m3"].value)
    assert found["height_m"].residual.abs().max() < 2e-3
    assert found["waist_m"].residual.abs().max() < 5e-3
    larger = measure(anny_body, fit, (vertices - translation[:, None]) * 1.02 + translation[:, None])
    assert larger["height_m"].residual / larger["height_m"].value == pytest.approx(0.02, abs=2e-3)
    ratio = larger["waist_m"].residual / larger["waist_m"].value
    assert torch.allclose(ratio, torch.full_like(ratio, 0.02), atol=6e-3)


@pytest.mark.parametrize(
    ("points", "person", "message"),
    [
        (torch.zeros(2, 5, 3), None, r"shape \(2, 5, 3\), expected \(B, 13718, 3\)"),
        (torch.full((2, 13718, 3), torch.nan), None, "not finite in frame 0"),
        (torch.zeros(2, 13718, 3), torch.tensor([0, 2]), "people counted from 0"),
    ],
)
def test_bad_input_is_named(fitter: BodyFitter, points: Tensor, person: Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitter(points, person)


def test_spread_points_are_far_apart() -> None:
    line = torch.linspace(0, 1, 101)[:, None] * torch.tensor([1.0, 0, 0])
    assert sorted(spread_points(line, 5).tolist()) == [0, 25, 50, 75, 100]
