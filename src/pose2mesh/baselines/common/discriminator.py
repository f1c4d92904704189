"""The discriminator of HMR's adversarial prior (Kanazawa et al. 2018, section 3.3).

It is factorised: one score for each joint, from the rotation of that joint alone; one for the whole pose; one for the
shape. The joint and pose scores share an encoder of rotations. Scores are unbounded, with least-squares losses (Mao et
al. 2017): the target is 1 for real bodies and 0 for predicted ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.pose_prior import TURNING
from pose2mesh.body_models.interface import PHENOTYPES

_ENCODED = 32  # features of an encoded rotation
_HIDDEN = 256


@dataclass(frozen=True)
class DiscriminatorInput:
    """Pose and shape of `B` bodies.

    Attributes:
        rotations: (B, 21, 3, 3) of the bones below the hips, relative to their parents.
        shapes: (B, 6) phenotypes, scaled to [0, 1] between the bounds of adults.
    """

    rotations: Tensor
    shapes: Tensor

    def detached(self) -> DiscriminatorInput:
        return DiscriminatorInput(self.rotations.detach(), self.shapes.detach())


class Discriminator(nn.Module):
    """The network: 21 scores of joints, one of the pose, one of the shape.

    Differs from the paper: hidden layers of 256 instead of 1024.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(9, _ENCODED), nn.ReLU(), nn.Linear(_ENCODED, _ENCODED), nn.ReLU())
        self.joint_weight = nn.Parameter(torch.randn(TURNING, _ENCODED) * _ENCODED**-0.5)
        self.joint_bias = nn.Parameter(torch.zeros(TURNING))
        self.pose = nn.Sequential(
            nn.Linear(TURNING * _ENCODED, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, 1),
        )
        self.shape = nn.Sequential(
            nn.Linear(len(PHENOTYPES), 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1)
        )

    def forward(self, bodies: DiscriminatorInput) -> Tensor:
        """Scores (B, 23): of each joint, of the pose and of the shape."""
        read = self.read(bodies.rotations.flatten(2))
        joints = (read * self.joint_weight).sum(-1) + self.joint_bias
        return torch.cat((joints, self.pose(read.flatten(1)), self.shape(bodies.shapes)), dim=1)


def adversarial_loss(discriminator: Discriminator, predicted: DiscriminatorInput) -> Tensor:
    """Loss of the body network: squared distance of its scores from 1. No gradient reaches the discriminator."""
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    scores: Tensor = torch.func.functional_call(discriminator, frozen, (predicted,))
    return (scores - 1).square().sum(1).mean()


def discriminator_loss(discriminator: Discriminator, real: DiscriminatorInput, predicted: DiscriminatorInput) -> Tensor:
    """Loss of the discriminator on real and predicted bodies. No gradient reaches the body network."""
    return (discriminator(real) - 1).square().sum(1).mean() + discriminator(predicted.detached()).square().sum(1).mean()
