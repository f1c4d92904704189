"""Batched L-BFGS: finds minima of known functions, many at once and independently."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from pose2mesh.baselines.common.lbfgs import _two_loops, minimise


def rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock function (P,) of pairs (2 P,): its minimum is 0 at (1, 1), along a bent valley."""
    a, b = x.reshape(-1, 2).unbind(1)
    return (1 - a).square() + 100 * (b - a.square()).square()


STARTS = torch.tensor([-1.2, 1.0, 0.0, 0.0, 2.0, -1.0, 1.0, 1.0])
OWNERS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])


def test_rosenbrock() -> None:
    found, value = minimise(rosenbrock, STARTS, OWNERS, 120)
    torch.testing.assert_close(found, torch.ones(8), atol=1e-2, rtol=0)
    assert (value < 1e-4).all()


def test_problems_do_not_disturb_each_other() -> None:
    together, _ = minimise(rosenbrock, STARTS, OWNERS, 25)
    for problem in range(4):
        mine = problem == OWNERS
        alone, _ = minimise(rosenbrock, STARTS[mine], torch.zeros(2, dtype=torch.long), 25)
        torch.testing.assert_close(together[mine], alone, atol=1e-3, rtol=1e-3)


def test_problems_of_different_sizes() -> None:
    owner = torch.tensor([1, 0, 1, 1, 2])
    goal = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    steepness = torch.tensor([1.0, 100.0, 30.0, 0.1, 1.0])

    def energy(x: Tensor) -> Tensor:
        return torch.zeros(3).index_add(0, owner, steepness * (x - goal).square())

    found, value = minimise(energy, torch.zeros(5), owner, 60)
    torch.testing.assert_close(found, goal, atol=1e-3, rtol=0)
    assert value.shape == (3,)


def test_fixed_unknowns_do_not_move() -> None:
    free = torch.tensor([True, False] * 4)
    found, _ = minimise(rosenbrock, STARTS, OWNERS, 60, free)
    torch.testing.assert_close(found[1::2], STARTS[1::2], atol=0, rtol=0)
    assert not torch.equal(found[0::2], STARTS[0::2])


def test_the_energy_never_rises() -> None:
    before = rosenbrock(STARTS)
    for rounds in (1, 2, 5, 20):
        found, value = minimise(rosenbrock, STARTS, OWNERS, rounds)
        torch.testing.assert_close(rosenbrock(found), value)
        assert (value <= before).all()
        before = value


def test_no_step_to_nan() -> None:
    found, value = minimise(lambda x: x - x.log(), torch.tensor([0.01]), torch.tensor([0]), 60)
    torch.testing.assert_close(found, torch.tensor([1.0]), atol=1e-2, rtol=0)
    assert torch.isfinite(value).all()


def test_the_least_of_a_narrow_bowl() -> None:
    """½ xᵀ A x − bᵀ x has its minimum −½ bᵀ A⁻¹ b at A⁻¹ b; the curvatures differ by a factor of 300."""
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    matrix = turn @ torch.diag(torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0, 30.0], dtype=torch.float64)) @ turn.T
    right = torch.randn(6, dtype=torch.float64)
    least = torch.linalg.solve(matrix, right)

    def bowl(x: Tensor) -> Tensor:
        return (x @ matrix @ x / 2 - right @ x)[None]

    found, value = minimise(bowl, torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.long), 150)
    torch.testing.assert_close(found, least, atol=1e-4, rtol=0)
    torch.testing.assert_close(value, -right @ least[:, None] / 2, atol=1e-7, rtol=0)


def test_the_direction_satisfies_the_secant_equation() -> None:
    """The secant equation: for the newest pair's change of gradient the direction is minus its step, for each problem.

    With as many pairs as unknowns, steps conjugate to each other as coordinate axes of a diagonal bowl are, it is
    Newton's direction for any gradient.
    """
    owner = torch.tensor([0, 0, 1, 1])
    bent = torch.tensor([2.0, 50.0, 0.5, 8.0])

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.zeros(2).index_add(0, owner, a * b)

    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque()
    for axis in (torch.tensor([0.1, 0, 0.3, 0]), torch.tensor([0, -0.2, 0, 0.1])):
        pairs.append((axis, bent * axis, 1 / dot(axis, bent * axis)))
    step, change, _ = pairs[-1]
    curvature = dot(step, change) / dot(change, change)
    torch.testing.assert_close(_two_loops(change, pairs, curvature, owner, dot), -step)
    gradient = torch.tensor([1.0, -3.0, 2.0, 5.0])
    torch.testing.assert_close(_two_loops(gradient, pairs, curvature, owner, dot), -gradient / bent)


def test_stays_at_the_minimum() -> None:
    found, value = minimise(rosenbrock, torch.ones(8), OWNERS, 10)
    assert torch.equal(found, torch.ones(8))
    assert torch.equal(value, torch.zeros(4))


def test_zero_rounds_take_no_step() -> None:
    found, value = minimise(rosenbrock, STARTS, OWNERS, 0)
    assert torch.equal(found, STARTS)
    torch.testing.assert_close(value, rosenbrock(STARTS))


def test_a_nan_does_not_affect_other_problems() -> None:
    start = STARTS.clone()
    start[2] = torch.nan
    found, value = minimise(rosenbrock, start, OWNERS, 120)
    assert torch.isnan(value[1])
    others = torch.tensor([0, 1, 4, 5, 6, 7])
    torch.testing.assert_close(found[others], torch.ones(6), atol=1e-2, rtol=0)


def test_the_first_step_is_a_small_one() -> None:
    """At most a tenth, for any gradient."""
    found, _ = minimise(lambda x: 1e6 * (x - 9).square(), torch.zeros(1), torch.tensor([0]), 1)
    torch.testing.assert_close(found, torch.tensor([0.1]))
