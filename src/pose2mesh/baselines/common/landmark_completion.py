"""Landmarks brought to one place and size, those not found filled in from the others: forests need every number.

What is missing comes from a linear model of where landmarks lie together, a Gaussian of low rank (probabilistic PCA,
Tipping and Bishop 1999): the mean of the missing ones given those found.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_ROUNDS = 3  # place and size depend on what is filled in, and that on them
_UNSURE = 0.5  # of the person's median confidence: what a detector is less sure of counts as missing


@dataclass(frozen=True)
class StandardisedLandmarks:
    """Landmarks about their middle, with a root mean square distance of 1 from it; `B` people.

    Attributes:
        landmarks: (B, N, 2).
        centre: (B, 2) that middle, in the units in which they were seen.
        unit: (B,) that distance, likewise.
    """

    landmarks: Tensor
    centre: Tensor
    unit: Tensor

    @classmethod
    def of(cls, landmarks: Tensor) -> StandardisedLandmarks:
        centre = landmarks.mean(1)
        offset = landmarks - centre[:, None]
        unit = offset.square().sum(-1).mean(1).sqrt()
        unit = torch.where(unit > 1e-6, unit, 1.0)  # all in one point, as where none is found
        return cls(offset / unit[:, None, None], centre, unit)


def found(confidence: Tensor) -> Tensor:
    """(B, N) which landmarks are there: with confidence (B, N), and not much less than the person's others."""
    median = torch.where(confidence > 0, confidence, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0.0)
    return (confidence > 0) & (confidence >= _UNSURE * median)


class Completion(nn.Module):
    """The linear model; it knows nothing until `learn` has been called or its state is loaded.

    Args:
        landmarks: How many there are, `N`.
        rank: Directions in which they vary together.
    """

    mean: Tensor
    basis: Tensor
    noise: Tensor

    def __init__(self, landmarks: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2 * landmarks))
        self.register_buffer("basis", torch.zeros(rank, 2 * landmarks))  # of variance 1 along each direction
        self.register_buffer("noise", torch.ones(()))  # the spread of each number about the model

    @torch.no_grad()
    def learn(self, landmarks: Tensor) -> None:
        """From people of whom all landmarks (P, N, 2) are known, P above the rank."""
        flat = StandardisedLandmarks.of(landmarks).landmarks.flatten(1)
        self.mean.copy_(flat.mean(0))
        variance, direction = torch.linalg.eigh((flat - self.mean).T.double().cov())
        rank = len(self.basis)
        rest = variance[:-rank].clamp_min(0).mean()
        self.basis.copy_((direction[:, -rank:] * (variance[-rank:] - rest).clamp_min(0).sqrt()).T)
        self.noise.copy_(rest.sqrt().clamp_min(1e-3))

    def forward(self, landmarks: Tensor, confidence: Tensor) -> StandardisedLandmarks:
        """All landmarks of people (B, N, 2) who were seen with confidences (B, N)."""
        known = found(confidence)[..., None]
        middle = (known * landmarks).sum(1) / known.sum(1).clamp_min(1)
        whole = StandardisedLandmarks.of(torch.where(known, landmarks, middle[:, None]))
        for _ in range(_ROUNDS):
            likely = whole.unit[:, None, None] * self._likely(whole.landmarks, known) + whole.centre[:, None]
            whole = StandardisedLandmarks.of(torch.where(known, landmarks, likely))
        return whole

    def _likely(self, landmarks: Tensor, known: Tensor) -> Tensor:
        """The model's mean of all landmarks (B, N, 2) given those known (B, N, 1)."""
        weight = known.expand_as(landmarks).flatten(1) / self.noise.square()
        offset = landmarks.flatten(1) - self.mean
        matrix = torch.einsum("kn,bn,ln->bkl", self.basis, weight, self.basis) + torch.eye(
            len(self.basis), device=self.basis.device
        )
        place = torch.linalg.solve(matrix, (weight * offset) @ self.basis.T)
        return (self.mean + place @ self.basis).reshape(landmarks.shape)
