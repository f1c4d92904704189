"""Soft silhouette: agreement with exact silhouettes, area, gradients, use as a loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.parameter_regressor import mean_parameters
from pose2mesh.baselines.common.soft_silhouette import SoftSilhouette, overlap_loss
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.visualization import renderer

FINE = 256


@pytest.fixture(scope="module")
def silhouette(layer: BodyLayer) -> SoftSilhouette:
    return SoftSilhouette(layer.body)


def some_bodies(layer: BodyLayer, count: int) -> BodyParameters:
    """Bodies of many shapes in procedural poses, roughly facing the camera, within the crop."""
    generator = torch.Generator().manual_seed(0)
    poses = sample_procedural(count, generator, tumble=0.0)
    rotations = poses.clone()
    rotations[:, 0] = torch.tensor(WORLD_TO_CAMERA) @ poses[:, 0]
    mean = mean_parameters(layer)[torch.zeros(count, dtype=torch.long)]
    shape = 2 * torch.randn(count, 6, generator=generator)
    return replace(mean, shape=shape, rotations=rotations, log_scale=mean.log_scale - 0.2)


def soft(silhouette: SoftSilhouette, layer: BodyLayer, parameters: BodyParameters) -> Tensor:
    return silhouette(layer.vertices(parameters)[:, silhouette.vertices], parameters)


def exact(layer: BodyLayer, parameters: BodyParameters) -> Tensor:
    """(B, FINE, FINE)"""
    vertices = layer.vertices(parameters)
    pixels = ((parameters.project(vertices) + 1) * (FINE / 2) - 0.5).double().numpy()
    depth = (5 + vertices[..., 2]).double().numpy()
    faces = layer.body.faces.numpy()
    masks = [renderer.silhouette(*person, faces, FINE, FINE) for person in zip(pixels, depth, strict=True)]
    return torch.from_numpy(np.stack(masks)).float()


def test_agrees_with_exact_silhouettes(silhouette: SoftSilhouette, layer: BodyLayer) -> None:
    parameters = some_bodies(layer, 12)
    coverage, fine = soft(silhouette, layer, parameters), exact(layer, parameters)
    target = torch.nn.functional.adaptive_avg_pool2d(fine, silhouette.size)
    assert coverage.shape == (12, silhouette.size, silhouette.size)
    assert overlap_loss(coverage, target, torch.ones(12)) < 0.16
    covered, full = coverage > 0.5, target > 0.5
    assert (covered & full).sum() / (covered | full).sum() > 0.87
    # Neither thinner nor thicker than the body, whatever its shape: what shape can be told from.
    ratio = coverage.sum((1, 2)) / target.sum((1, 2))
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() < 0.04


def test_one_ball_is_a_disc(layer: BodyLayer, silhouette: SoftSilhouette) -> None:
    """All balls at one position: the silhouette is a disc of known radius."""
    count = len(silhouette.share)
    ends = torch.zeros(1, 2 * count, 3)
    ends[:, :count, 1], ends[:, count:, 1] = 0.5, -0.5
    parameters = replace(mean_parameters(layer), log_scale=torch.zeros(1), shift_m=torch.zeros(1, 2))
    centre, radius = silhouette.discs(ends, parameters)
    assert torch.allclose(centre, torch.zeros(1, count, 2), atol=1e-6)
    assert torch.allclose(radius[0], 0.5 * silhouette.share + silhouette.gap_m, atol=1e-6)
    area = silhouette(ends, parameters).sum() * (2 / silhouette.size) ** 2
    assert area == pytest.approx(torch.pi * float(radius.max()) ** 2, rel=0.02)


def test_thicker_bodies_cover_more(silhouette: SoftSilhouette, layer: BodyLayer) -> None:
    parameters = mean_parameters(layer)
    weight = parameters.shape.clone().requires_grad_()
    soft(silhouette, layer, replace(parameters, shape=weight)).sum().backward()
    assert weight.grad is not None
    assert weight.grad[0, 3] > 0  # PHENOTYPES: weight
    assert torch.isfinite(weight.grad).all()


def test_gradient(silhouette: SoftSilhouette, layer: BodyLayer) -> None:
    """Against finite differences, for points, scale and shift."""
    exactly = SoftSilhouette(layer.body, balls=40, size=16).double()
    parameters = mean_parameters(layer)
    points = layer.vertices(parameters)[:, exactly.vertices].double()
    target = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.double)

    def loss(points: Tensor, log_scale: Tensor, shift_m: Tensor) -> Tensor:
        parameters_of = BodyParameters(parameters.shape, parameters.rotations, log_scale, shift_m)
        return overlap_loss(exactly(points, parameters_of), target, torch.ones(1))

    generator = torch.Generator().manual_seed(1)
    start = (points, parameters.log_scale.double(), parameters.shift_m.double())
    leaves = [value.clone().requires_grad_() for value in start]
    loss(*leaves).backward()
    for index, leaf in enumerate(leaves):
        assert leaf.grad is not None
        way = torch.randn(leaf.shape, generator=generator, dtype=torch.double)
        ends = [[*start[:index], start[index] + step * way, *start[index + 1 :]] for step in (1e-6, -1e-6)]
        slope = (loss(*ends[0]) - loss(*ends[1])) / 2e-6
        assert float((leaf.grad * way).sum()) == pytest.approx(float(slope), rel=1e-3)


@pytest.mark.thorough
def test_descends_to_a_silhouette(silhouette: SoftSilhouette, layer: BodyLayer) -> None:
    """A body is moved, scaled and widened onto the exact silhouette of another."""
    mean = mean_parameters(layer)
    other = torch.zeros(1, 6)
    other[0, 3] = 1.5
    target_body = replace(
        mean, shape=other, log_scale=mean.log_scale - 0.25, shift_m=mean.shift_m + torch.tensor([0.1, -0.1])
    )
    target = torch.nn.functional.adaptive_avg_pool2d(exact(layer, target_body), silhouette.size)
    leaves = [value.clone().requires_grad_() for value in (mean.shape, mean.log_scale, mean.shift_m)]
    optimiser = torch.optim.Adam(leaves, 0.02)
    overlaps = []
    for _ in range(120):
        shape, log_scale, shift_m = leaves
        parameters = BodyParameters(shape, mean.rotations, log_scale, shift_m)
        loss = overlap_loss(soft(silhouette, layer, parameters), target, torch.ones(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        overlaps.append(1 - float(loss.detach()))
    assert overlaps[0] < 0.6
    assert overlaps[-1] > 0.85
    assert torch.allclose(leaves[1], target_body.log_scale, atol=0.03)
    assert torch.allclose(leaves[2], target_body.shift_m, atol=0.02)


def test_overlap_of_known_silhouettes() -> None:
    left, low = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    left[:, :, :2], low[:, 2:] = 1, 1
    both, one = torch.cat((left, left)), torch.tensor([True, False])
    assert overlap_loss(left, low, torch.ones(1)) == pytest.approx(2 / 3)  # 4 of 12 pixels are of both
    assert overlap_loss(left, left, torch.ones(1)) == 0
    assert overlap_loss(0.5 * left, left, torch.ones(1)) == pytest.approx(0.5)
    assert overlap_loss(both, torch.cat((left, low)), one) == 0
    assert overlap_loss(both, torch.cat((left, low)), ~one) == pytest.approx(2 / 3)


def test_all_weights_zero() -> None:
    coverage = torch.rand(2, 4, 4, requires_grad=True)
    loss = overlap_loss(coverage, torch.zeros(2, 4, 4), torch.zeros(2))
    loss.backward()
    assert loss == 0
    assert coverage.grad is not None
    assert torch.isfinite(coverage.grad).all()
