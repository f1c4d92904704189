"""Pose prior: values of the density, and likely poses against unlikely ones."""

from __future__ import annotations

import numpy as np
import torch

from pose2mesh.baselines.common.pose_prior import PosePrior, rotation_vectors
from pose2mesh.datasets.synthetic.pose_tree import random_rotations, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import rotation_from_vector

SIZE = 63


def test_one_gaussian() -> None:
    mean, spread = np.full((1, SIZE), 0.1), np.linspace(0.1, 1.0, SIZE)
    prior = PosePrior(np.ones(1), mean, np.diag(spread**2)[None])
    pose = torch.from_numpy(mean).float().reshape(1, 21, 3).repeat(2, 1, 1)
    pose[1, 0, 0] += 0.2
    torch.testing.assert_close(prior(pose), torch.tensor([0.0, 0.5 * (0.2 / 0.1) ** 2]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prior.mean, pose[0])


def test_of_two_gaussians_the_sharper_peak_is_the_higher() -> None:
    means = np.stack((np.full(SIZE, -2.0), np.full(SIZE, 2.0)))
    covariances = np.stack((0.01 * np.eye(SIZE), np.eye(SIZE)))
    prior = PosePrior(np.array([0.5, 0.5]), means, covariances)
    energy = prior(torch.from_numpy(means).float().reshape(2, 21, 3))
    torch.testing.assert_close(energy, torch.tensor([0.0, SIZE * np.log(10.0)]).float(), rtol=1e-4, atol=1e-3)
    assert (prior(torch.randn(50, 21, 3)) >= 0).all()


def test_the_prior_that_ships() -> None:
    prior = PosePrior.load()
    likely = prior.mean[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(prior(likely).sum(), likely)
    assert torch.isfinite(slope).all()
    backwards = prior.mean.clone()
    backwards[2] = torch.tensor([-1.5, 0.0, 0.0])  # a knee bent the wrong way
    assert prior(backwards[None]) > prior(likely) + 20


def test_rotation_vectors_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    orientations = sample_procedural(8, generator)
    local = torch.cat((orientations[:, :1], rotation_from_vector(rotation_vectors(orientations))), dim=1)
    torch.testing.assert_close(to_world(local), orientations, atol=1e-5, rtol=0)
    # Where the hips face makes no difference.
    turned = random_rotations(8, generator)[:, None] @ orientations
    torch.testing.assert_close(rotation_vectors(turned), rotation_vectors(orientations), atol=1e-4, rtol=0)
