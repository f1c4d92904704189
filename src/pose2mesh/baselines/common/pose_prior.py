"""Pose prior: a Gaussian mixture over joint rotations, as in SMPLify (Bogo et al. 2016).

A pose is one rotation vector for each bone below the hips, relative to its parent (radians, axes of the rest pose); the
orientation of the hips is not part of it. `scripts/fit_pose_prior.py` fitted the mixture that ships, to training clips.
"""

from __future__ import annotations

from importlib.resources import files
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_tree import to_local

TURNING = len(BODY_BONES) - 1  # bones with a rotation in a pose: all but the hips
FILE = "pose_prior.npz"


class PosePrior(nn.Module):
    """A mixture of `K` Gaussians over poses.

    Args:
        weights: (K,) positive, with sum 1.
        means: (K, 63) rotation vectors of the bones, one after the other.
        covariances: (K, 63, 63), positive definite.

    Attributes:
        mean: (21, 3) the mean pose.
    """

    means: Tensor
    whitening: Tensor
    log_peaks: Tensor
    mean: Tensor

    def __init__(self, weights: NDArray[np.floating], means: NDArray[np.floating], covariances: NDArray[np.floating]):
        super().__init__()
        whitening = np.linalg.inv(np.linalg.cholesky(covariances.astype(np.float64)))
        log_peaks = np.log(weights) + np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(1)

        def buffer(name: str, value: NDArray[np.floating]) -> None:
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

        buffer("means", means)
        buffer("whitening", whitening)
        buffer("log_peaks", log_peaks - log_peaks.max())
        buffer("mean", (weights[:, None] * means).sum(0).reshape(TURNING, 3))

    @classmethod
    def load(cls, stream: BinaryIO | None = None) -> PosePrior:
        """Load the mixture from a file that `scripts/fit_pose_prior.py` wrote; by default the one that ships."""
        with (
            stream or files("pose2mesh.baselines.common").joinpath(FILE).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            return cls(arrays["weights"], arrays["means"], arrays["covariances"])

    def forward(self, pose: Tensor) -> Tensor:
        """(B,) negative logarithm of the density of poses (B, 21, 3), relative to the highest peak of the Gaussians."""
        offset = pose.flatten(1)[:, None] - self.means  # (B, K, 63)
        squared = torch.einsum("kij,bkj->bki", self.whitening, offset).square().sum(-1)
        return -torch.logsumexp(self.log_peaks - squared / 2, dim=1)


def rotation_vectors(orientations: Tensor) -> Tensor:
    """Pose (B, 21, 3) of bone orientations (B, 22, 3, 3) in any common frame."""
    local = to_local(orientations)[:, 1:]
    vectors = Rotation.from_matrix(local.reshape(-1, 3, 3).detach().cpu().numpy()).as_rotvec()
    return torch.from_numpy(vectors.astype(np.float32)).reshape(local.shape[:3]).to(orientations.device)
