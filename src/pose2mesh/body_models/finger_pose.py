"""Poses of the fingers: rotations relative to the hand, beside a pose of the body.

Finger rotations are (…, 30, 3, 3) in the order of `body_models.bones.FINGER_BONES`: with D the world rotation of a bone
from the rest pose of the mean adult, that of a finger bone is D_handᵀ D_finger, the identity where it is as at rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, FINGER_BONES, FINGER_MIRROR, HAND_OF_FINGER


def with_fingers(orientations: Tensor, fingers: Tensor) -> Tensor:
    """World rotations (B, 52, 3, 3) of `POSED_BONES`, from those of the body (B, 22, 3, 3) and (B, 30, 3, 3)."""
    return torch.cat((orientations, orientations[:, list(HAND_OF_FINGER)] @ fingers), dim=1)


def fingers_of(orientations: Tensor) -> Tensor:
    """Finger rotations (B, 30, 3, 3) of a pose (B, 52, 3, 3): the inverse of `with_fingers`."""
    return orientations[:, list(HAND_OF_FINGER)].mT @ orientations[:, len(BODY_BONES) :]


def resting_fingers(count: int, device: torch.device | None = None) -> Tensor:
    """Finger rotations (count, 30, 3, 3) of hands as at rest."""
    return torch.eye(3, device=device).expand(count, len(FINGER_BONES), 3, 3)


def mirror_fingers(fingers: Tensor) -> Tensor:
    """The finger rotations (B, 30, 3, 3) of the mirrored body: the left hand's on the right and the reverse."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=fingers.device)
    return fingers[:, list(FINGER_MIRROR)] * (flip[:, None] * flip)
