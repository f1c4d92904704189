"""Random shapes and poses of bodies."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_tree import random_rotations
from pose2mesh.geometry.rotations import rotation_from_vector


def random_poses(count: int, seed: int) -> Tensor:
    """World rotations (count, 22, 3, 3), each bone rotated by some 30° from a common random orientation."""
    generator = torch.Generator().manual_seed(seed)
    turns = rotation_from_vector(0.4 * torch.randn(count, len(BODY_BONES), 3, generator=generator))
    return random_rotations(count, generator)[:, None] @ turns


def random_adults(count: int, seed: int) -> Tensor:
    return ShapeConfig().sample(count, torch.Generator().manual_seed(seed))
