"""What tells bodies a network makes up from people's: the adversarial prior of HMR (Kanazawa et al. 2018, section 3.3).

Factorised: one critic a joint, which sees that joint's rotation alone; one of the whole pose; one of the shape. The
joints' critics and the pose's read rotations through one small network. Scores are not squashed: the losses are those
of least squares (Mao et al. 2017), 1 for what people are like and 0 for what is made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.pose_prior import TURNING
from pose2mesh.body_models.interface import PHENOTYPES

_READ = 32  # numbers that a rotation is read as
_HIDDEN = 256


@dataclass(frozen=True)
class DiscriminatorInput:
    """What the critics see of `B` bodies.

    Attributes:
        rotations: (B, 21, 3, 3) of the bones below the hips, relative to their parents.
        shapes: (B, 6) phenotypes as places between the bounds of adults, from 0 to 1.
    """

    rotations: Tensor
    shapes: Tensor

    def detached(self) -> DiscriminatorInput:
        return DiscriminatorInput(self.rotations.detach(), self.shapes.detach())


class Discriminator(nn.Module):
    """All of them: 21 of joints, one of the pose, one of the shape.

    Differs from the paper: hidden layers of 256 where it has 1024.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(9, _READ), nn.ReLU(), nn.Linear(_READ, _READ), nn.ReLU())
        self.joint_weight = nn.Parameter(torch.randn(TURNING, _READ) * _READ**-0.5)
        self.joint_bias = nn.Parameter(torch.zeros(TURNING))
        self.pose = nn.Sequential(
            nn.Linear(TURNING * _READ, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, 1),
        )
        self.shape = nn.Sequential(
            nn.Linear(len(PHENOTYPES), 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1)
        )

    def forward(self, bodies: DiscriminatorInput) -> Tensor:
        """(B, 23) scores: of each joint, the pose, the shape."""
        read = self.read(bodies.rotations.flatten(2))
        joints = (read * self.joint_weight).sum(-1) + self.joint_bias
        return torch.cat((joints, self.pose(read.flatten(1)), self.shape(bodies.shapes)), dim=1)


def adversarial_loss(critics: Discriminator, made_up: DiscriminatorInput) -> Tensor:
    """The network's term: how far critics are from taking its bodies for people. No gradient reaches the critics."""
    as_they_are = {name: weight.detach() for name, weight in critics.named_parameters()}
    scores: Tensor = torch.func.functional_call(critics, as_they_are, (made_up,))
    return (scores - 1).square().sum(1).mean()


def discriminator_loss(critics: Discriminator, people: DiscriminatorInput, made_up: DiscriminatorInput) -> Tensor:
    """The critics' term: how badly they tell people from what is made up. No gradient reaches whoever made it up."""
    return (critics(people) - 1).square().sum(1).mean() + critics(made_up.detached()).square().sum(1).mean()
