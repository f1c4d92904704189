"""Landmark completion: missing landmarks are filled in from the others; position and size are normalised."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.common.landmark_completion import Completion, StandardisedLandmarks, detected_mask

N, RANK = 12, 3


def people(count: int, seed: int = 0) -> Tensor:
    """Landmarks that vary in few directions: near an upright line, with waves to the side."""
    generator = torch.Generator().manual_seed(seed)
    wave = torch.rand(count, 2, generator=generator) - 0.5
    down = torch.linspace(-1, 1, N)
    across = wave[:, :1] * torch.sin(3 * down) + wave[:, 1:] * down.square()
    return torch.stack((across, down.expand(count, -1)), dim=-1)


def learnt() -> Completion:
    completion = Completion(N, RANK)
    completion.fit_to(people(500))
    return completion


def test_standardised_landmarks_have_middle_zero_and_size_one() -> None:
    whole = StandardisedLandmarks.of(7 * people(5) + 3)
    torch.testing.assert_close(whole.landmarks.mean(1), torch.zeros(5, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.landmarks.square().sum(-1).mean(1), torch.ones(5))
    back = whole.unit[:, None, None] * whole.landmarks + whole.centre[:, None]
    torch.testing.assert_close(back, 7 * people(5) + 3)


def test_detected_landmarks_stay_and_missing_ones_are_filled_in() -> None:
    true = people(20, seed=1)
    confidence = torch.ones(20, N)
    confidence[:, [0, 4, 5, 11]] = 0
    seen = true * (confidence > 0)[..., None]
    whole = learnt()(seen, confidence)
    filled = whole.unit[:, None, None] * whole.landmarks + whole.centre[:, None]
    known = confidence > 0
    torch.testing.assert_close(filled[known], true[known])
    # Beside the middle of those known, which is off by about 1 at the ends of the line.
    assert (filled - true)[~known].norm(dim=-1).max() < 0.1


def test_place_and_size_do_not_matter() -> None:
    true, confidence = people(8, seed=2), torch.ones(8, N)
    confidence[:, 3:6] = 0
    completion = learnt()
    one, other = completion(true, confidence), completion(0.2 * true - 4, confidence)
    torch.testing.assert_close(one.landmarks, other.landmarks, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(0.2 * one.unit, other.unit, atol=1e-4, rtol=1e-4)


def test_landmarks_of_low_confidence_count_as_missing() -> None:
    confidence = torch.tensor([[0.8, 0.8, 0.3, 0.0, 0.9], [0.2, 0.2, 0.2, 0.0, 0.2], [0.0, 0.0, 0.0, 0.0, 0.0]])
    expected = [[True, True, False, False, True], [True, True, True, False, True], [False] * 5]
    assert detected_mask(confidence).tolist() == expected


def test_without_detections_the_mean_is_given() -> None:
    completion = learnt()
    whole = completion(torch.zeros(1, N, 2), torch.zeros(1, N))
    assert torch.isfinite(whole.landmarks).all()
    mean = StandardisedLandmarks.of(completion.mean.reshape(1, N, 2))
    torch.testing.assert_close(whole.landmarks, mean.landmarks, atol=1e-3, rtol=1e-3)


def test_the_model_is_the_covariance() -> None:
    """For Gaussian data with two principal directions and small noise, both and the noise are recovered."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(20_000, 2 * N, generator=generator) * 0.01
    directions = torch.linalg.qr(torch.randn(2 * N, 2, generator=generator))[0].T
    flat = flat + torch.randn(20_000, 2, generator=generator) * torch.tensor([0.3, 0.2]) @ directions
    shape = torch.stack((torch.zeros(N), torch.linspace(-1.7, 1.7, N)), dim=1)
    landmarks = shape + flat.reshape(-1, N, 2)
    completion = Completion(N, 2)
    completion.fit_to(landmarks)
    standard = StandardisedLandmarks.of(landmarks).landmarks.flatten(1)
    model = completion.basis.T @ completion.basis + completion.noise.square() * torch.eye(2 * N)
    torch.testing.assert_close(model, standard.T.cov(), atol=2e-3, rtol=0)
