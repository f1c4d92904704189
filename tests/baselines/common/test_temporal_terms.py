"""Energy between frames: 0 for a still body at its start, positive where joints move unsteadily or leave the start."""

from __future__ import annotations

from dataclasses import replace

import torch

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter
from pose2mesh.baselines.common.temporal_terms import VideoWeights, video_energy
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.skeletons import COCO

FRAMES = 4


def test_still_bodies_cost_nothing(fitter: Fitter) -> None:
    state = FitState(
        torch.zeros(1, 6),
        fitter.prior.mean.repeat(FRAMES, 1, 1),
        torch.tensor(WORLD_TO_CAMERA).expand(FRAMES, -1, -1),
        torch.zeros(FRAMES),
        torch.zeros(FRAMES, 2),
    )
    target = FitTarget(
        torch.zeros(FRAMES, len(COCO), 2),
        torch.ones(FRAMES, len(COCO)),
        torch.zeros(FRAMES, 2),
        torch.ones(FRAMES),
        torch.zeros(FRAMES, dtype=torch.long),
    )
    energy = video_energy(fitter, state, target, VideoWeights())
    torch.testing.assert_close(energy(fitter.pose(state, target)), torch.zeros(FRAMES), atol=1e-6, rtol=0)
    bent = state.pose.clone()
    bent[1, 12, 2] += 0.5
    moved = energy(fitter.pose(replace(state, pose=bent), target))
    assert (moved[:2] > 0.01).all()
    assert moved[2:].abs().max() < 1e-6
