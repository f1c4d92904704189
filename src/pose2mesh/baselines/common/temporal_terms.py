"""Energy terms between the frames of a video, as in Arnab et al. 2019 (arXiv 1905.04266)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pose2mesh.baselines.common import energy_terms
from pose2mesh.baselines.common.fitting import EnergyTerm, FitState, FitTarget, Fitter, PosedBodies


@dataclass(frozen=True)
class VideoWeights:
    """Weights of the terms between frames.

    Attributes:
        smooth_3d: Per squared metre of the second difference of the joints relative to the hips.
        smooth_2d: Per squared unit of the person's size of the second difference of the projected joints.
        start: Per squared metre of distance from the single-frame fit.
        start_robust_m: Scale of the robust error of that distance, metres; farther joints lose influence.
    """

    smooth_3d: float = 1000.0
    smooth_2d: float = 5.0
    start: float = 10.0
    start_robust_m: float = 0.1


def video_energy(fitter: Fitter, start: FitState, target: FitTarget, weights: VideoWeights) -> EnergyTerm:
    """The energy term (B,) that a video adds to the energies of its frames.

    Args:
        fitter: Poses the bodies.
        start: The single-frame fits, to which the term keeps the joints close.
        target: The 2D joints that are fitted.
        weights: Weights of the terms.
    """
    start_joints = fitter.pose(start, target).joints.detach()
    centre = target.centre_px / target.unit_px[:, None]

    def energy(posed: PosedBodies) -> Tensor:
        smooth = weights.smooth_3d * energy_terms.second_difference(posed.joints, target.person)
        projected = posed.projected + centre[:, None]
        smooth = smooth + weights.smooth_2d * energy_terms.second_difference(projected, target.person)
        return smooth + weights.start * energy_terms.distance(posed.joints, start_joints, weights.start_robust_m)

    return energy
