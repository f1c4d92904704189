"""Energy terms: values on small cases, 0 at the optimum, gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common import energy_terms
from pose2mesh.body_models.bones import BODY_BONES, MIRROR
from pose2mesh.datasets.synthetic.pose_limits import AngleLimits, angle_limits

PEOPLE = torch.tensor([0, 0, 0, 1, 1, 1, 1])


def knee_limit() -> AngleLimits:
    """The left knee bends from 0 to 2 radians about x."""
    bone = torch.tensor([BODY_BONES.index("LeftLeg")])
    return AngleLimits(bone, torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0.0]), torch.tensor([2.0]))


@pytest.mark.parametrize(("squared", "expected"), [(0.0, 0.0), (1.0, 0.8), (4.0, 2.0), (1e9, 4.0)])
def test_the_robust_error_saturates(squared: float, expected: float) -> None:
    assert float(energy_terms.geman_mcclure(torch.tensor(squared), sigma=2.0)) == pytest.approx(expected, rel=1e-6)


def test_reprojection_counts_joints_of_positive_weight() -> None:
    observed = torch.tensor([[[0.0, 0.0], [5.0, 5.0], [1.0, 1.0]]])
    projected = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [1.0, 1.0]]])
    weight = torch.tensor([[0.5, 0.0, 1.0]])
    assert float(energy_terms.reprojection(projected, observed, weight, sigma=5.0)) == pytest.approx(0.5 * 12.5)


@pytest.mark.parametrize(("angle", "expected"), [(-0.5, 0.25), (0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.5, 0.25)])
def test_knees_bend_one_way(angle: float, expected: float) -> None:
    pose = torch.zeros(2, 21, 3)
    pose[1, BODY_BONES.index("LeftLeg") - 1, 0] = angle
    torch.testing.assert_close(energy_terms.beyond_limits(pose, knee_limit()), torch.tensor([0.0, expected]))


def test_the_rest_pose_is_within_all_limits() -> None:
    assert float(energy_terms.beyond_limits(torch.zeros(1, 21, 3), angle_limits())) == 0


def test_shapes_are_measured_from_the_middle() -> None:
    shapes = torch.stack((torch.zeros(6), torch.tensor([1.0, 2.0, 0.0, 0.0, 0.0, 0.0])))
    torch.testing.assert_close(energy_terms.unusual_shape(shapes), torch.tensor([0.0, 5.0]))


def test_steady_motion_costs_nothing() -> None:
    time = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 4.0, 9.0])  # steady, then with a second difference of 2
    points = time[:, None, None] * torch.tensor([1.0, 0.0, 2.0]).expand(1, 3, 3)
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]) * 3 * (2**2 + 4**2)
    expected[4] = expected[3]
    torch.testing.assert_close(energy_terms.second_difference(points, PEOPLE), expected)


@pytest.mark.parametrize("frames", [1, 2])
def test_short_videos_are_steady(frames: int) -> None:
    torch.testing.assert_close(
        energy_terms.second_difference(torch.randn(frames, 4, 3), PEOPLE[:frames]), torch.zeros(frames)
    )


def test_distance_from_the_start() -> None:
    start = torch.zeros(1, 2, 3)
    points = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    assert float(energy_terms.distance(points, start, sigma=1.0)) == pytest.approx(0.5)


def test_gradients_of_far_joints_vanish() -> None:
    """The slope of ρ(r²) = σ² r² / (σ² + r²) in r is 2 r σ⁴ / (σ² + r²)²: largest at r = σ / √3, then less and less."""
    distance = torch.tensor([0.1, 1 / 3**0.5, 3.0, 30.0])
    projected = torch.stack((distance, torch.zeros(4)), dim=1)[:, None].requires_grad_()
    observed, weight = torch.zeros(4, 1, 2), torch.ones(4, 1)
    (slope,) = torch.autograd.grad(energy_terms.reprojection(projected, observed, weight, sigma=1.0).sum(), projected)
    torch.testing.assert_close(slope[:, 0, 0], 2 * distance / (1 + distance.square()).square())
    assert slope[:, 0, 0].argmax() == 1
    assert (slope[:, 0, 1] == 0).all()


def test_gradients_are_zero_at_the_optimum() -> None:
    """Gradients at a residual of exactly 0 are 0 instead of NaN; so are those of missing joints."""
    points = torch.zeros(3, 2, 2, requires_grad=True)
    observed = torch.tensor([[0.0, 0.0], [9.0, 9.0]]).expand(3, 2, 2)
    weight = torch.tensor([1.0, 0.0]).expand(3, 2)
    well = energy_terms.reprojection(points, observed, weight, 0.1) + energy_terms.distance(
        points, torch.zeros(3, 2, 2), 0.1
    )
    well = well + energy_terms.second_difference(points, torch.zeros(3, dtype=torch.long))
    (slope,) = torch.autograd.grad(well.sum(), points)
    assert torch.equal(slope, torch.zeros_like(slope))


def test_limits_are_those_of_both_sides() -> None:
    """A pose and its mirror image exceed them equally; a knee bent by 160° is 25° beyond, one bent backwards by all."""
    limits = angle_limits()
    pose = torch.randn(20, 21, 3, generator=torch.Generator().manual_seed(0))
    mirrored = pose[:, [bone - 1 for bone in MIRROR[1:]]] * torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(energy_terms.beyond_limits(mirrored, limits), energy_terms.beyond_limits(pose, limits))
    for side in ("Left", "Right"):
        knees = torch.zeros(2, 21, 3)
        knees[:, BODY_BONES.index(side + "Leg") - 1, 0] = torch.deg2rad(torch.tensor([160.0, -30.0]))
        expected = torch.deg2rad(torch.tensor([25.0, 30.0])).square()
        torch.testing.assert_close(energy_terms.beyond_limits(knees, limits), expected)


def test_an_elbow_is_straight_before_it_bends_backwards() -> None:
    limits = angle_limits()
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        across = torch.nn.functional.normalize(torch.tensor([0.66, 0.0, 0.75 * sign]), dim=0)
        pose = torch.zeros(3, 21, 3)
        pose[:, BODY_BONES.index(side + "ForeArm") - 1] = (
            torch.deg2rad(torch.tensor([[40.0], [52.0], [-118.0]])) * across
        )
        expected = torch.deg2rad(torch.tensor([0.0, 10.0, 10.0])).square()
        torch.testing.assert_close(energy_terms.beyond_limits(pose, limits), expected, atol=1e-6, rtol=1e-4)


def test_gradients() -> None:
    torch.manual_seed(0)

    def double(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    observed, weight = torch.randn(2, 3, 2, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    limits = AngleLimits(*(part.double() if part.is_floating_point() else part for part in vars(knee_limit()).values()))
    people = PEOPLE
    cases = (
        (lambda x: energy_terms.geman_mcclure(x.square(), 0.7), double(5)),
        (lambda x: energy_terms.reprojection(x, observed, weight, 0.7), double(2, 3, 2)),
        (lambda x: energy_terms.beyond_limits(x, limits), double(2, 21, 3)),
        (energy_terms.unusual_shape, double(2, 6)),
        (lambda x: energy_terms.second_difference(x, people), double(7, 2, 3)),
        (lambda x: energy_terms.distance(x, torch.zeros_like(x), 0.7), double(2, 3, 3)),
    )
    for term, point in cases:
        assert torch.autograd.gradcheck(term, point)
