"""Discriminator: losses of given scores, and which network each loss trains."""

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


def random_bodies(count: int, spread: float = 1.0) -> DiscriminatorInput:
    return DiscriminatorInput(rotation_from_vector(spread * torch.randn(count, 21, 3)), torch.rand(count, 6))


class Always(Discriminator):
    """Gives one score to bodies whose first phenotype is below a half, another to the others."""

    def __init__(self, below: float, above: float) -> None:
        super().__init__()
        self.below, self.above = below, above

    def forward(self, bodies: DiscriminatorInput) -> Tensor:
        score = torch.where(bodies.shapes[:, :1] < 0.5, self.below, self.above)
        return score.expand(-1, 23) + 0 * super().forward(bodies)


@torch.no_grad()
def test_losses_at_known_scores() -> None:
    rotations = random_bodies(3).rotations
    predicted, real = DiscriminatorInput(rotations, torch.zeros(3, 6)), DiscriminatorInput(rotations, torch.ones(3, 6))
    perfect, undecided, fooled = Always(0, 1), Always(0.5, 0.5), Always(1, 0)
    assert discriminator_loss(perfect, real, predicted) == 0
    assert adversarial_loss(perfect, predicted) == pytest.approx(23)
    assert discriminator_loss(undecided, real, predicted) == pytest.approx(23 * 0.5)
    assert adversarial_loss(undecided, predicted) == pytest.approx(23 * 0.25)
    assert discriminator_loss(fooled, real, predicted) == pytest.approx(23 * 2)
    assert adversarial_loss(fooled, predicted) == 0


def test_each_loss_has_gradients_for_one_network_alone() -> None:
    torch.manual_seed(0)
    discriminator, real = Discriminator(), random_bodies(4)
    predicted = DiscriminatorInput(*(value.requires_grad_() for value in vars(random_bodies(4)).values()))
    adversarial_loss(discriminator, predicted).backward()
    assert all(weight.grad is None for weight in discriminator.parameters())
    for value in vars(predicted).values():
        assert value.grad.abs().sum() > 0
        value.grad = None
    discriminator_loss(discriminator, real, predicted).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in discriminator.parameters())
    assert all(value.grad is None for value in vars(predicted).values())


def test_the_score_of_a_joint_depends_on_that_joint_alone() -> None:
    discriminator, bodies = Discriminator(), random_bodies(2)
    turned = bodies.rotations.clone()
    turned[:, 7] = random_bodies(2).rotations[:, 7]
    changed = (discriminator(bodies) - discriminator(DiscriminatorInput(turned, bodies.shapes))).abs().amax(0) > 0
    assert changed.nonzero()[:, 0].tolist() == [7, 21]  # the joint, and the whole pose
    other_shape = (
        discriminator(bodies) - discriminator(DiscriminatorInput(bodies.rotations, torch.rand(2, 6)))
    ).abs().amax(0) > 0
    assert other_shape.nonzero()[:, 0].tolist() == [22]


def test_the_discriminator_learns_straight_from_bent_limbs() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator()
    optimiser = torch.optim.AdamW(discriminator.parameters(), 1e-3)
    for _ in range(200):
        loss = discriminator_loss(discriminator, random_bodies(32, spread=0.1), random_bodies(32, spread=1.0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    joints = slice(0, 21)
    assert (
        discriminator(random_bodies(64, 0.1))[:, joints].mean()
        > discriminator(random_bodies(64, 1.0))[:, joints].mean() + 0.4
    )
