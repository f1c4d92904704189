"""The descent finds known minima, many at once and each as if alone."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.minimise import minimise


def rosenbrock(x: Tensor) -> Tensor:
    """(P,) of pairs (2 P,): the least is 0 at (1, 1), along a bent valley."""
    a, b = x.reshape(-1, 2).unbind(1)
    return (1 - a).square() + 100 * (b - a.square()).square()


STARTS = torch.tensor([-1.2, 1.0, 0.0, 0.0, 2.0, -1.0, 1.0, 1.0])
OWNERS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])


def test_a_bent_valley() -> None:
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


def test_what_is_held_does_not_move() -> None:
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


def test_no_step_into_what_is_not_a_number() -> None:
    found, value = minimise(lambda x: x - x.log(), torch.tensor([0.01]), torch.tensor([0]), 60)
    torch.testing.assert_close(found, torch.tensor([1.0]), atol=1e-2, rtol=0)
    assert torch.isfinite(value).all()
