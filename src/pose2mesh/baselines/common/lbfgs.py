"""L-BFGS (Liu and Nocedal 1989) on many problems at once, each with its own step and its own curvature.

All unknowns stand in one vector, and `owner` says which problem each belongs to: the people of a batch, or the videos
of a batch, each with as many frames as it has. An inner product is a sum by owner. Every round evaluates all problems
once; a problem whose trial is good enough takes it, the others shorten their steps, so that none waits for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 10
_SUFFICIENT = 1e-4  # of the decrease that the slope promises
_FIRST_STEP = 0.1  # the largest change of any unknown
_LARGEST_STEP = 0.5


def minimise(
    energy: Callable[[Tensor], Tensor], start: Tensor, owner: Tensor, rounds: int, free: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Descend from a start.

    Args:
        energy: Takes the unknowns (M,) and gives each problem's energy (P,), differentiable. Those of one problem
            may depend on that problem's unknowns alone.
        start: (M,) in units in which a step of 0.1 is a small one (radians, say).
        owner: (M,) the problem of each unknown, counted from 0.
        rounds: Evaluations.
        free: (M,) bool, which unknowns may change; all by default.

    Returns:
        The unknowns (M,), and the energies (P,), none higher than at the start.
    """

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = energy(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        slope = slope.nan_to_num(0.0)
        return value.detach(), slope if free is None else slope * free

    best = start.detach()
    value, gradient = evaluate(best)
    problems = len(value)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return value.new_zeros(problems).index_add_(0, owner, a * b)

    def largest(a: Tensor) -> Tensor:
        return value.new_zeros(problems).scatter_reduce_(0, owner, a.abs(), "amax").clamp_min(1e-12)

    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=MEMORY)
    direction = -gradient * (_FIRST_STEP / largest(gradient))[owner]
    length = torch.ones_like(value)
    curvature = torch.zeros_like(value)  # 0: no pair of that problem yet
    for _ in range(rounds):
        trial = best + length[owner] * direction
        trial_value, trial_gradient = evaluate(trial)
        promised = length * dot(gradient, direction)
        good = trial_value <= value + _SUFFICIENT * promised  # False for NaN
        taken = good[owner]
        # Of the parabola through value, slope and trial; where it makes no sense, a tenth to a half of the step.
        shorter = -promised / (2 * (trial_value - value - promised)).clamp_min(1e-30)
        length = torch.where(good, 1.0, length * shorter.nan_to_num(0.1).clamp(0.1, 0.5))
        step = torch.where(taken, trial - best, 0.0)
        change = torch.where(taken, trial_gradient - gradient, 0.0)
        best, gradient = torch.where(taken, trial, best), torch.where(taken, trial_gradient, gradient)
        value = torch.where(good, trial_value, value)
        along = dot(step, change)
        bent = along > 1e-10  # positive curvature, which L-BFGS needs; other pairs count for nothing
        inverse = torch.where(bent, 1 / along.clamp_min(1e-10), 0.0)
        curvature = torch.where(bent, along / dot(change, change).clamp_min(1e-20), curvature)
        pairs.append((step, change, inverse))
        fresh = _two_loops(gradient, pairs, curvature, owner, dot)
        uphill = (dot(fresh, gradient) >= 0) | (curvature == 0)
        steepest = -gradient * (_FIRST_STEP / largest(gradient))[owner]
        fresh = torch.where(uphill[owner], steepest, fresh)
        fresh = fresh * (_LARGEST_STEP / largest(fresh)).clamp_max(1.0)[owner]
        direction = torch.where(taken, fresh, direction)
    return best, value


def _two_loops(
    gradient: Tensor,
    pairs: deque[tuple[Tensor, Tensor, Tensor]],
    curvature: Tensor,
    owner: Tensor,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Minus the inverse Hessian, as the pairs of steps and changes of gradient tell it, times the gradient."""
    direction = -gradient
    shares = []
    for step, change, inverse in reversed(pairs):
        share = inverse * dot(step, direction)
        direction = direction - share[owner] * change
        shares.append(share)
    direction = direction * curvature[owner]
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - inverse * dot(change, direction))[owner] * step
    return direction
