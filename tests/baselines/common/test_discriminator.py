"""Critics: their losses at known scores, and whom each loss teaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.discriminator import (
    Discriminator,
    DiscriminatorInput,
    adversarial_loss,
    discriminator_loss,
)
from pose2mesh.geometry.rotations import rotation_from_vector


def judged(count: int, spread: float = 1.0) -> DiscriminatorInput:
    return DiscriminatorInput(rotation_from_vector(spread * torch.randn(count, 21, 3)), torch.rand(count, 6))


class Always(Discriminator):
    """Gives one score to everybody whose first phenotype is below a half, another to the rest."""

    def __init__(self, below: float, above: float) -> None:
        super().__init__()
        self.below, self.above = below, above

    def forward(self, bodies: DiscriminatorInput) -> Tensor:
        score = torch.where(bodies.shapes[:, :1] < 0.5, self.below, self.above)
        return score.expand(-1, 23) + 0 * super().forward(bodies)


@torch.no_grad()
def test_losses_at_known_scores() -> None:
    rotations = judged(3).rotations
    made_up, people = DiscriminatorInput(rotations, torch.zeros(3, 6)), DiscriminatorInput(rotations, torch.ones(3, 6))
    perfect, blind, fooled = Always(0, 1), Always(0.5, 0.5), Always(1, 0)
    assert discriminator_loss(perfect, people, made_up) == 0
    assert adversarial_loss(perfect, made_up) == pytest.approx(23)
    assert discriminator_loss(blind, people, made_up) == pytest.approx(23 * 0.5)
    assert adversarial_loss(blind, made_up) == pytest.approx(23 * 0.25)
    assert discriminator_loss(fooled, people, made_up) == pytest.approx(23 * 2)
    assert adversarial_loss(fooled, made_up) == 0


def test_each_loss_teaches_one_side_alone() -> None:
    torch.manual_seed(0)
    critics, people = Discriminator(), judged(4)
    made_up = DiscriminatorInput(*(value.requires_grad_() for value in vars(judged(4)).values()))
    adversarial_loss(critics, made_up).backward()
    assert all(weight.grad is None for weight in critics.parameters())
    for value in vars(made_up).values():
        assert value.grad.abs().sum() > 0
        value.grad = None
    discriminator_loss(critics, people, made_up).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in critics.parameters())
    assert all(value.grad is None for value in vars(made_up).values())


def test_a_joints_critic_sees_that_joint_alone() -> None:
    critics, bodies = Discriminator(), judged(2)
    turned = bodies.rotations.clone()
    turned[:, 7] = judged(2).rotations[:, 7]
    changed = (critics(bodies) - critics(DiscriminatorInput(turned, bodies.shapes))).abs().amax(0) > 0
    assert changed.nonzero()[:, 0].tolist() == [7, 21]  # the joint, and the whole pose
    other_shape = (critics(bodies) - critics(DiscriminatorInput(bodies.rotations, torch.rand(2, 6)))).abs().amax(0) > 0
    assert other_shape.nonzero()[:, 0].tolist() == [22]


def test_critics_learn_to_tell_straight_limbs_from_bent_ones() -> None:
    torch.manual_seed(0)
    critics = Discriminator()
    optimiser = torch.optim.AdamW(critics.parameters(), 1e-3)
    for _ in range(200):
        loss = discriminator_loss(critics, judged(32, spread=0.1), judged(32, spread=1.0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    joints = slice(0, 21)
    assert critics(judged(64, 0.1))[:, joints].mean() > critics(judged(64, 1.0))[:, joints].mean() + 0.4
