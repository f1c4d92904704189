"""What every baseline takes and gives: the same for one that fits bodies and for one that runs a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pose2mesh.skeletons import JointSet


@dataclass(frozen=True)
class Observed:
    """People as a baseline sees them; `B` frames.

    Attributes:
        joints_px: (B, J, 2) 2D joints of a camera that faces each person; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        person: (B,) whose frame each is, counted from 0, the frames of one after another in time; different people
            by default. Only methods for videos make something of it.
    """

    joints_px: Tensor
    confidence: Tensor
    person: Tensor


@dataclass(frozen=True)
class Parameters:
    """Of the Anny body, for methods that have them.

    Attributes:
        phenotypes: (B, 6) in the order of `body.anny.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the rest pose to camera axes.
    """

    phenotypes: Tensor
    orientations: Tensor


@dataclass(frozen=True)
class Estimate:
    """Bodies found: metres, in the axes of a camera that faces each person.

    Attributes:
        joints: (B, J, 3), regressed from the vertices.
        vertices: (B, V, 3), about the same origin as the joints.
        joints_px: (B, J, 2) where the method's own camera sees the joints.
        parameters: Where the method has them.
    """

    joints: Tensor
    vertices: Tensor
    joints_px: Tensor
    parameters: Parameters | None = None

    @classmethod
    def joined(cls, parts: list[Estimate]) -> Estimate:
        """One of several batches."""
        known = [part.parameters for part in parts if part.parameters is not None]
        parameters = None
        if known:
            parameters = Parameters(
                torch.cat([part.phenotypes for part in known]), torch.cat([part.orientations for part in known])
            )
        points = zip(*((part.joints, part.vertices, part.joints_px) for part in parts), strict=True)
        joints, vertices, joints_px = (torch.cat(column) for column in points)
        return cls(joints, vertices, joints_px, parameters)


class Baseline(Protocol):
    """A method.

    Attributes:
        name: As `--model` takes it.
        joint_set: Of the joints, in and out.
    """

    name: str
    joint_set: JointSet

    def __call__(self, observed: Observed) -> Estimate: ...
