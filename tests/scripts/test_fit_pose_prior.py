"""The fit of the Gaussian mixture recovers the distribution of its samples."""

from __future__ import annotations

import numpy as np
from fit_pose_prior import fit_mixture


def test_two_gaussians_are_found() -> None:
    rng = np.random.default_rng(0)
    narrow = rng.normal((2, 0, 0, 0), 0.1, (1500, 4))
    wide = rng.normal((-3, 0, 0, 0), (1.0, 0.5, 0.5, 0.2), (500, 4))
    weights, means, covariances = fit_mixture(np.concatenate((narrow, wide)), 2, rng)
    order = np.argsort(weights)
    np.testing.assert_allclose(weights[order], (0.25, 0.75), atol=0.01)
    np.testing.assert_allclose(means[order], ((-3, 0, 0, 0), (2, 0, 0, 0)), atol=0.15)
    spreads = np.sqrt(np.diagonal(covariances[order], axis1=1, axis2=2) - 0.05**2)
    np.testing.assert_allclose(spreads, ((1.0, 0.5, 0.5, 0.2), (0.1,) * 4), rtol=0.15)
