"""Batched L-BFGS (Liu and Nocedal 1989): many independent problems, each with its own step length and curvature.

The unknowns of all problems are in one vector; `owner` gives the problem of each, such as a person or a video of the
batch. Inner products are summed by owner. Every round evaluates all problems once; problems whose trial step lowers the
energy enough accept it, the others shorten their step, so that no problem waits for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 10
_SUFFICIENT = 1e-4  # least decrease, as a share of that predicted by the slope (Armijo)
_FIRST_STEP = 0.1  # largest change of an unknown in a steepest-descent step
_LARGEST_STEP = 0.5


def minimise(
    energy: Callable[[Tensor], Tensor], start: Tensor, owner: Tensor, rounds: int, free: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Minimise the energies of all problems.

    Args:
        energy: Maps the unknowns (M,) to the energies (P,), differentiably. The energy of a problem may depend on the
            unknowns of that problem only.
        start: (M,) initial values, in units in which a step of 0.1 is small (radians, for example).
        owner: (M,) problem of each unknown, counted from 0.
        rounds: Number of evaluations.
        free: (M,) bool, the unknowns that may change; all by default.

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
        expected = length * dot(gradient, direction)
        decreased = trial_value <= value + _SUFFICIENT * expected  # False for NaN
        accepted = decreased[owner]
        # Minimum of the parabola through value, slope and trial value, clamped to a tenth to a half of the step.
        shorter = -expected / (2 * (trial_value - value - expected)).clamp_min(1e-30)
        length = torch.where(decreased, 1.0, length * shorter.nan_to_num(0.1).clamp(0.1, 0.5))
        step = torch.where(accepted, trial - best, 0.0)
        change = torch.where(accepted, trial_gradient - gradient, 0.0)
        best, gradient = torch.where(accepted, trial, best), torch.where(accepted, trial_gradient, gradient)
        value = torch.where(decreased, trial_value, value)
        along = dot(step, change)
        usable = along > 1e-10  # L-BFGS needs positive curvature; other pairs are ignored
        inverse = torch.where(usable, 1 / along.clamp_min(1e-10), 0.0)
        curvature = torch.where(usable, along / dot(change, change).clamp_min(1e-20), curvature)
        pairs.append((step, change, inverse))
        new_direction = _two_loops(gradient, pairs, curvature, owner, dot)
        uphill = (dot(new_direction, gradient) >= 0) | (curvature == 0)
        steepest = -gradient * (_FIRST_STEP / largest(gradient))[owner]
        new_direction = torch.where(uphill[owner], steepest, new_direction)
        new_direction = new_direction * (_LARGEST_STEP / largest(new_direction)).clamp_max(1.0)[owner]
        direction = torch.where(accepted, new_direction, direction)
    return best, value


def _two_loops(
    gradient: Tensor,
    pairs: deque[tuple[Tensor, Tensor, Tensor]],
    curvature: Tensor,
    owner: Tensor,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Minus the gradient times the inverse Hessian, estimated from pairs of steps and gradient changes."""
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
