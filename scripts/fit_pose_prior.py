"""Fit the pose prior of the optimisation baselines: a Gaussian mixture over the poses of the training clips.

    python scripts/fit_pose_prior.py MOTIONS [--split configs/mocap_split.yaml] [--gaussians 8]

writes `src/pose2mesh/baselines/common/pose_prior.npz` and prints the energy of both parts of the split under the prior.
Only the training clips are fitted, half of the sampled frames mirrored, clips weighted by the square root of their
length as in training. Expectation–maximisation with full covariances and a widened diagonal, since clips of few people
and actions do not cover all poses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from pose2mesh.baselines.common.pose_prior import FILE, PosePrior, rotation_vectors
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import clip_weights
from pose2mesh.datasets.synthetic.pose_tree import mirror

ROOT = Path(__file__).parents[1]
SAMPLES = 20_000
ROUNDS = 60
WIDENING_RAD = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--split", type=Path, default=ROOT / "configs/mocap_split.yaml")
    parser.add_argument("--gaussians", type=int, default=8)
    parser.add_argument("--out", type=Path, default=ROOT / "src/pose2mesh/baselines/common" / FILE)
    options = parser.parse_args()
    train, validation = load_split(options.split, load_clips(options.motions))
    generator = torch.Generator().manual_seed(0)
    poses = sample_poses(train, generator)
    weights, means, covariances = fit_mixture(poses, options.gaussians, np.random.default_rng(0))
    np.savez_compressed(
        options.out,
        weights=weights.astype(np.float32),
        means=means.astype(np.float32),
        covariances=covariances.astype(np.float32),
    )
    with options.out.open("rb") as stream:
        prior = PosePrior.load(stream)
    for name, part in (("training", poses), ("validation", sample_poses(validation, generator))):
        energy = prior(torch.from_numpy(part).float().unflatten(1, (-1, 3)))
        print(f"{name:10} {len(part):6} poses: energy {energy.mean():.1f}, median {energy.median():.1f}")
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB, shares {np.round(weights, 2)}")


def sample_poses(clips: Sequence[Clip], generator: torch.Generator) -> NDArray[np.float64]:
    """Sample rotation vectors (SAMPLES, 63) of frames, half of them mirrored."""
    frames = torch.from_numpy(np.concatenate([clip.orientations for clip in clips]))
    chosen = frames[torch.multinomial(clip_weights(clips), SAMPLES, replacement=True, generator=generator)]
    chosen[::2] = mirror(chosen[::2])
    return rotation_vectors(chosen).flatten(1).double().numpy()


def fit_mixture(
    points: NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit weights (count,), means (count, D) and covariances (count, D, D) of a Gaussian mixture to points (N, D)."""
    size = points.shape[1]
    means = points[rng.choice(len(points), 1)]
    for _ in range(1, count):  # k-means++: each new start is sampled by its squared distance to the previous ones
        squared = ((points[:, None] - means) ** 2).sum(-1).min(1)
        means = np.concatenate([means, points[rng.choice(len(points), 1, p=squared / squared.sum())]])
    weights = np.full(count, 1 / count)
    covariances = np.tile(np.cov(points.T) + WIDENING_RAD**2 * np.eye(size), (count, 1, 1))
    for _ in range(ROUNDS):
        logs = np.empty((len(points), count))
        for k in range(count):
            whitening = np.linalg.inv(np.linalg.cholesky(covariances[k]))
            squared = (((points - means[k]) @ whitening.T) ** 2).sum(1)
            logs[:, k] = np.log(weights[k]) + np.log(np.diag(whitening)).sum() - squared / 2
        shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        total = shares.sum(0) + 1e-9
        weights = total / total.sum()
        means = shares.T @ points / total[:, None]
        for k in range(count):
            offset = points - means[k]
            covariances[k] = (shares[:, k, None] * offset).T @ offset / total[k] + WIDENING_RAD**2 * np.eye(size)
    return weights, means, covariances


if __name__ == "__main__":
    main()
