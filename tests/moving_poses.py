"""Clips of the tests: somebody turns on the spot, each frame by a little more, and walks on."""

from __future__ import annotations

import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_sampling import FrameOrder, PoseConfig, PoseSource
from pose2mesh.geometry.rotations import axis_rotation

TURN_RAD = 0.02  # from a frame to the next
STEP_M = 0.01
PLAIN = PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0)


def moving_poses(config: PoseConfig = PLAIN, lengths: tuple[int, ...] = (60, 30)) -> PoseSource:
    """One clip a length; the frames of all are numbered through by how far they are turned and walked."""
    number = torch.arange(sum(lengths))
    frames = axis_rotation(2, TURN_RAD * number)[:, None].expand(-1, len(BODY_BONES), -1, -1).contiguous()
    root_m = torch.stack((STEP_M * number, torch.zeros(len(number)), torch.ones(len(number))), dim=1)
    following = torch.cat([torch.arange(length - 1, -1, -1) for length in lengths])
    return PoseSource(frames, config, None, FrameOrder(root_m, following))
