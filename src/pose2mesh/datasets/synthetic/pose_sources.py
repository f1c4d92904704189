"""Pose sources of a config: motion clips, split into training and validation, or the joint limits alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.datasets.synthetic.frame_weights import clip_weights, rarity_weights
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sampling import FrameOrder, PoseConfig, PoseSource


def clip_poses(folder: Path) -> PoseSource:
    """All frames of all clips of a folder as test poses, without augmentation.

    Raises:
        InputError: a clip cannot be used, or there is none.
    """
    return _unchanged(load_clips(folder))


def unchanged_poses(clips: Sequence[Clip]) -> PoseSource:
    """The frames of clips as evaluation poses, without augmentation; long clips are weighted down (`clip_weights`)."""
    return _unchanged(clips, clip_weights(clips))


def pose_sources(data: DataConfig) -> tuple[PoseSource, PoseSource]:
    """Training and validation poses of a config; without clips both are sampled from the joint limits.

    Validation poses are unchanged frames of the clips: augmented poses are not real motion and are not evaluated on.
    """
    poses = data.synthetic.poses
    if data.motions is None or data.split is None:
        return PoseSource(None, poses), PoseSource(None, poses)
    train, validation = load_split(Path(data.split), load_clips(Path(data.motions), data.fps))
    frames = _frames(train)
    weights = rarity_weights(frames, poses.rarity) if poses.rarity else clip_weights(train)
    return PoseSource(frames, poses, weights, frame_order(train)), unchanged_poses(validation)


def describe_poses(motions: str | None) -> str:
    """Description of the poses; clips are named after their folders, without the path."""
    clips = ""
    if motions is not None:
        folders = {file.parent.name for file in Path(motions).rglob("*.bvh")}
        clips = f"of motion clips ({', '.join(sorted(folders))}) and "
    return f"Anny bodies in poses {clips}sampled from joint limits"


def _unchanged(clips: Sequence[Clip], weights: Tensor | None = None) -> PoseSource:
    return PoseSource(_frames(clips), PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0), weights)


def _frames(clips: Sequence[Clip]) -> Tensor:
    return torch.from_numpy(np.concatenate([clip.orientations for clip in clips]))


def frame_order(clips: Sequence[Clip]) -> FrameOrder:
    """The order of the concatenated frames of clips."""
    following = [np.arange(len(stretch))[::-1] for clip in clips for stretch in clip.stretches()]
    root_m = np.concatenate([clip.root_m for clip in clips])
    return FrameOrder(torch.from_numpy(root_m), torch.from_numpy(np.concatenate(following)))
