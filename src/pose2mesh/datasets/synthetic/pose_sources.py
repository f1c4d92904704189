"""Where poses come from: motion clips in memory, divided as a config says, or the joint limits alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips, load_split
from pose2mesh.datasets.synthetic.pose_sampling import FrameOrder, PoseConfig, PoseSource


def clip_poses(folder: Path) -> PoseSource:
    """Every frame of every clip of a folder as a pose to be tested on, none augmented.

    Raises:
        InputError: a clip cannot be used, or there is none.
    """
    return _unchanged(load_clips(folder))


def unchanged_poses(clips: Sequence[Clip]) -> PoseSource:
    """The frames of clips as poses to be measured on, long clips not counting as much more than short ones."""
    return _unchanged(clips, clip_weights(clips))


def pose_sources(data: DataConfig) -> tuple[PoseSource, PoseSource]:
    """Training and validation poses; without clips both are drawn from the joint limits.

    Validation poses are the clips' own frames: the training augmentation is no truth to measure by.
    """
    poses = data.synthetic.poses
    if data.motions is None or data.split is None:
        return PoseSource(None, poses), PoseSource(None, poses)
    train, validation = load_split(Path(data.split), load_clips(Path(data.motions), data.fps))
    return PoseSource(_frames(train), poses, clip_weights(train), clip_course(train)), unchanged_poses(validation)


def describe_poses(motions: str | None) -> str:
    """Where poses come from, in words; clips are named after their folders, without the path to these."""
    clips = ""
    if motions is not None:
        folders = {file.parent.name for file in Path(motions).rglob("*.bvh")}
        clips = f"of motion clips ({', '.join(sorted(folders))}) and "
    return f"Anny bodies in poses {clips}drawn from joint limits"


def _unchanged(clips: Sequence[Clip], weights: Tensor | None = None) -> PoseSource:
    return PoseSource(_frames(clips), PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0), weights)


def _frames(clips: Sequence[Clip]) -> Tensor:
    return torch.from_numpy(np.concatenate([clip.orientations for clip in clips]))


def clip_course(clips: Sequence[Clip]) -> FrameOrder:
    """Where clips go, their frames in a row."""
    following = [np.arange(len(stretch))[::-1] for clip in clips for stretch in clip.stretches()]
    root_m = np.concatenate([clip.root_m for clip in clips])
    return FrameOrder(torch.from_numpy(root_m), torch.from_numpy(np.concatenate(following)))


def clip_weights(clips: Sequence[Clip]) -> Tensor:
    """(N,) how often each frame is drawn: a clip counts with the square root of its length.

    Neighbouring frames are alike, so a clip ten times as long does not show ten times as much.
    """
    return torch.cat([torch.full((len(clip),), len(clip) ** -0.5) for clip in clips])
