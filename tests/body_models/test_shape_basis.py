"""The linear basis of body shapes, on the Anny body."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("anny")

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.shape_basis import ShapeBasis, fit_shape_basis

IDENTITY = torch.eye(3).expand(22, 3, 3)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def basis(body: BodyModel) -> ShapeBasis:
    return fit_shape_basis(body, 16)


def people(seed: int, count: int = 20) -> torch.Tensor:
    """Phenotypes of people of all ages."""
    generator = torch.Generator().manual_seed(seed)
    phenotypes = torch.rand(count, 6, generator=generator)
    phenotypes[:, 1] = 0.1 + 0.9 * phenotypes[:, 1]
    return phenotypes


def test_aligned_bodies_are_reproduced(body: BodyModel, basis: ShapeBasis) -> None:
    shapes = people(1)
    with torch.no_grad():
        vertices = body(shapes, IDENTITY.expand(20, 22, 3, 3))
        coefficients = basis.encode(body.coefficients(shapes))
    found = basis.vertices + torch.einsum("ns,svc->nvc", coefficients, basis.vertex_shapes)
    error_mm = 1000 * (found - vertices).norm(dim=-1).mean()
    mean_mm = 1000 * (basis.vertices - vertices).norm(dim=-1).mean()
    assert error_mm < 1.5
    assert mean_mm > 100


def test_bone_heads_move_with_the_shape(body: BodyModel, basis: ShapeBasis) -> None:
    shapes = people(2, 5)
    with torch.no_grad():
        heads = body.bone_heads(shapes, IDENTITY.expand(5, 22, 3, 3))[:, body.bone_names.index("LeftHand")]
        coefficients = basis.encode(body.coefficients(shapes))
    hand = 15
    found = basis.heads[hand] + coefficients @ basis.head_shapes[:, hand]
    assert (found - heads).norm(dim=-1).max() < 0.01


def test_coefficients_have_unit_variance_and_descending_size(body: BodyModel, basis: ShapeBasis) -> None:
    with torch.no_grad():
        coefficients = basis.encode(body.coefficients(people(3, 500)))
    assert torch.allclose(coefficients.std(0), torch.ones(16), atol=0.15)
    assert basis.size_m[0] > 0.1
    # by the whole displacement, which bone heads add little to
    assert (basis.size_m[:-1] > 0.9 * basis.size_m[1:]).all()


def test_phenotypes_follow_from_the_coefficients(body: BodyModel, basis: ShapeBasis) -> None:
    shapes = people(4, 200)
    with torch.no_grad():
        coefficients = basis.encode(body.coefficients(shapes))
    found = coefficients @ basis.phenotypes[:-1] + basis.phenotypes[-1]
    error = (found - shapes).abs().mean(0)
    spread = (shapes - shapes.mean(0)).abs().mean(0)
    assert (error < spread).all()
    assert error[1] < 0.1  # age


def test_basis_is_the_same_each_time(body: BodyModel, basis: ShapeBasis) -> None:
    again = fit_shape_basis(body, 4)
    assert torch.allclose(again.vertex_shapes, basis.vertex_shapes[:4], atol=1e-5)
