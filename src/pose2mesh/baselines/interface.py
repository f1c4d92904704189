"""What every baseline takes and gives: the same for one that fits bodies and for one that runs a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet


@dataclass(frozen=True)
class BaselineInput:
    """People as a baseline sees them; `B` frames.

    Attributes:
        joints_px: (B, J, 2) 2D joints of a camera that faces each person; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        person: (B,) whose frame each is, counted from 0, the frames of one after another in time. Only
            methods for videos make something of it.

    Raises:
        InputError: shapes that do not agree, pixels or confidences that are none, or people not in a row.
    """

    joints_px: Tensor
    confidence: Tensor
    person: Tensor

    def __post_init__(self) -> None:
        B = len(self.joints_px)
        if self.joints_px.ndim != 3 or self.joints_px.shape[2] != 2 or B == 0:
            raise InputError(f"joints to fit have shape {tuple(self.joints_px.shape)}, expected (B, J, 2), B above 0")
        if self.confidence.shape != self.joints_px.shape[:2] or self.person.shape != (B,):
            raise InputError(
                f"confidence and person have shapes {tuple(self.confidence.shape)} and {tuple(self.person.shape)}, "
                f"expected {tuple(self.joints_px.shape[:2])} and {(B,)}"
            )
        if not (torch.isfinite(self.joints_px).all() and (self.confidence >= 0).all() and (self.confidence <= 1).all()):
            raise InputError("joints to fit: expected finite pixels, and confidences from 0 to 1")
        if self.person[0] != 0 or not ((counted := self.person.diff()) == 0).logical_or(counted == 1).all():
            raise InputError("person: expected one whole number a frame, counted from 0, each person's frames in a row")

    def parts(self, size: int) -> list[BaselineInput]:
        """In batches of so many frames at most, each frame taken for another person's."""
        people = torch.arange(size)
        pairs = zip(self.joints_px.split(size), self.confidence.split(size), strict=True)
        return [BaselineInput(joints_px, confidence, people[: len(joints_px)]) for joints_px, confidence in pairs]


@dataclass(frozen=True)
class Parameters:
    """Of the Anny body, for methods that have them.

    Attributes:
        phenotypes: (B, 6) in the order of `body_models.interface.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the rest pose to camera axes.
    """

    phenotypes: Tensor
    orientations: Tensor


@dataclass(frozen=True)
class BodyEstimate:
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
    def joined(cls, parts: list[BodyEstimate]) -> BodyEstimate:
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

    def __call__(self, observed: BaselineInput) -> BodyEstimate: ...
