"""Standardises landmarks and fills in missing ones from the others, since random forests need every feature.

Missing landmarks come from a linear model of all landmarks, a Gaussian of low rank (probabilistic PCA, Tipping and
Bishop 1999): their conditional mean given the detected landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_ROUNDS = 3  # iterations: position and size depend on the filled-in landmarks, and vice versa
_LEAST_CONFIDENCE = 0.5  # share of the person's median confidence; landmarks below it count as missing


@dataclass(frozen=True)
class StandardisedLandmarks:
    """Landmarks relative to their mean, with a root mean square distance of 1 from it; `B` people.

    Attributes:
        landmarks: (B, N, 2).
        centre: (B, 2) the mean, in units of the input.
        unit: (B,) the root mean square distance, in units of the input.
    """

    landmarks: Tensor
    centre: Tensor
    unit: Tensor

    @classmethod
    def of(cls, landmarks: Tensor) -> StandardisedLandmarks:
        centre = landmarks.mean(1)
        offset = landmarks - centre[:, None]
        unit = offset.square().sum(-1).mean(1).sqrt()
        unit = torch.where(unit > 1e-6, unit, 1.0)  # all landmarks in one point, as where none is detected
        return cls(offset / unit[:, None, None], centre, unit)


def detected_mask(confidence: Tensor) -> Tensor:
    """(B, N) bool, which landmarks count as detected: confidence (B, N) above 0 and not far below the median."""
    median = torch.where(confidence > 0, confidence, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0.0)
    return (confidence > 0) & (confidence >= _LEAST_CONFIDENCE * median)


class Completion(nn.Module):
    """The linear model; to be fitted by `fit_to` or loaded from a state.

    Args:
        landmarks: Number of landmarks, `N`.
        rank: Number of principal directions.
    """

    mean: Tensor
    basis: Tensor
    noise: Tensor

    def __init__(self, landmarks: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2 * landmarks))
        self.register_buffer("basis", torch.zeros(rank, 2 * landmarks))  # scaled so that coefficients have variance 1
        self.register_buffer("noise", torch.ones(()))  # standard deviation of each coordinate about the model

    @torch.no_grad()
    def fit_to(self, landmarks: Tensor) -> None:
        """Fit the model to landmarks (P, N, 2) of which none is missing; P must be above the rank."""
        flat = StandardisedLandmarks.of(landmarks).landmarks.flatten(1)
        self.mean.copy_(flat.mean(0))
        variance, direction = torch.linalg.eigh((flat - self.mean).T.double().cov())
        rank = len(self.basis)
        rest = variance[:-rank].clamp_min(0).mean()
        self.basis.copy_((direction[:, -rank:] * (variance[-rank:] - rest).clamp_min(0).sqrt()).T)
        self.noise.copy_(rest.sqrt().clamp_min(1e-3))

    def forward(self, landmarks: Tensor, confidence: Tensor) -> StandardisedLandmarks:
        """Completed, standardised landmarks, from detected landmarks (B, N, 2) with confidences (B, N)."""
        given = detected_mask(confidence)[..., None]
        middle = (given * landmarks).sum(1) / given.sum(1).clamp_min(1)
        completed = StandardisedLandmarks.of(torch.where(given, landmarks, middle[:, None]))
        for _ in range(_ROUNDS):
            expected = (
                completed.unit[:, None, None] * self._conditional_mean(completed.landmarks, given)
                + completed.centre[:, None]
            )
            completed = StandardisedLandmarks.of(torch.where(given, landmarks, expected))
        return completed

    def _conditional_mean(self, landmarks: Tensor, given: Tensor) -> Tensor:
        """Conditional mean of all landmarks (B, N, 2) under the model, given those of a mask (B, N, 1)."""
        weight = given.expand_as(landmarks).flatten(1) / self.noise.square()
        offset = landmarks.flatten(1) - self.mean
        matrix = torch.einsum("kn,bn,ln->bkl", self.basis, weight, self.basis) + torch.eye(
            len(self.basis), device=self.basis.device
        )
        coefficients = torch.linalg.solve(matrix, (weight * offset) @ self.basis.T)
        return (self.mean + coefficients @ self.basis).reshape(landmarks.shape)
