"""Inputs, outputs and interfaces of the baselines: `FittingBaseline` for fits to 2D joints, `LearnedBaseline` for
trained methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from pose2mesh.baselines.observation import GroundTruth, Need, Observation
from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet


@dataclass(frozen=True)
class BaselineInput:
    """2D joints to fit; `B` frames of one or several persons.

    Attributes:
        joints_px: (B, J, 2) 2D joints in pixels of a camera that faces each person; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        person: (B,) person of each frame, counted from 0; the frames of one person are consecutive and in temporal
            order. Only methods for videos use it.

    Raises:
        InputError: the shapes do not agree, a pixel is not finite, a confidence is outside [0, 1], or the frames of a
            person are not consecutive.
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
        if self.person[0] != 0 or not ((step := self.person.diff()) == 0).logical_or(step == 1).all():
            raise InputError("person: expected one whole number a frame, counted from 0, each person's frames in a row")

    def single_frames(self, size: int) -> list[BaselineInput]:
        """Batches of at most `size` frames, in which every frame is treated as a separate person."""
        persons = torch.arange(size)
        batches = zip(self.joints_px.split(size), self.confidence.split(size), strict=True)
        return [BaselineInput(joints_px, confidence, persons[: len(joints_px)]) for joints_px, confidence in batches]


@dataclass(frozen=True)
class Parameters:
    """Parameters of the Anny body, from methods that estimate them.

    Attributes:
        phenotypes: (B, 6) in the order of `body_models.interface.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the rest pose to camera axes.
    """

    phenotypes: Tensor
    orientations: Tensor


@dataclass(frozen=True)
class BodyEstimate:
    """Estimated bodies: metres, in the axes of a camera that faces each person.

    Attributes:
        joints: (B, J, 3), regressed from the vertices.
        vertices: (B, V, 3), relative to the same origin as the joints.
        joints_px: (B, J, 2) the joints, projected by the camera that the method estimates.
        parameters: None where the method does not estimate body parameters.
    """

    joints: Tensor
    vertices: Tensor
    joints_px: Tensor
    parameters: Parameters | None = None

    @classmethod
    def joined(cls, parts: list[BodyEstimate]) -> BodyEstimate:
        """The concatenation of the estimates of several batches."""
        given = [part.parameters for part in parts if part.parameters is not None]
        parameters = None
        if given:
            parameters = Parameters(
                torch.cat([part.phenotypes for part in given]), torch.cat([part.orientations for part in given])
            )
        points = zip(*((part.joints, part.vertices, part.joints_px) for part in parts), strict=True)
        joints, vertices, joints_px = (torch.cat(column) for column in points)
        return cls(joints, vertices, joints_px, parameters)


class FittingBaseline(Protocol):
    """A method that fits bodies to 2D joints.

    Attributes:
        name: Its name for `--model`.
        joint_set: Joint set of the input and of the estimated joints.
    """

    name: str
    joint_set: JointSet

    def __call__(self, observed: BaselineInput) -> BodyEstimate: ...


# Maps a chunk number, from 0, to its training samples; deterministic.
Chunks: TypeAlias = Callable[[int], tuple[Observation, GroundTruth]]


class LearnedBaseline(nn.Module, ABC):
    """A method that is trained. Its `state_dict` holds the weights, and nothing that the constructor can rebuild.

    Attributes:
        needs: Fields of `Observation` that the method uses in addition to the joints.
        exact_inputs: Whether the method is trained on exact maps and landmarks instead of simulated detections, because
            it is itself the detector.
        predicts_bodies: Whether `estimate` is supported.
        joint_set: Joint set of the input and of the estimated joints.
    """

    needs: ClassVar[frozenset[Need]]
    exact_inputs: ClassVar[bool] = False
    predicts_bodies: ClassVar[bool] = True
    joint_set: JointSet

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Prepare for training, given bodies without images from the distribution of the training samples.

        Called before the first step, also of a resumed run. Methods with a body prior store the bodies. Does nothing by
        default.

        Args:
            orientations: (N, 22, 3, 3) of the bones, from the rest pose to world axes; N is a few thousand.
            phenotypes: (N, 6), sampled independently of the poses.
        """

    def begin(self, chunks: Chunks, log: Callable[[str], None]) -> None:
        """Precompute the state that depends on the training samples, such as fits to them.

        Called once, before the first step and after the network was initialised from another; not in a resumed run.
        Does nothing by default.

        Args:
            chunks: The training samples. The first `pictures.distinct / CHUNK` chunks hold all of them.
            log: Called with lines of progress.
        """

    @abstractmethod
    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """Terms of the training loss by name, each a weighted scalar.

        Args:
            observation, ground_truth: A batch.
            progress: Share of the training that is done, from 0 to 1.
        """

    def fit(self, chunks: Chunks, count: int, log: Callable[[str], None]) -> bool:
        """Train without gradients, in place of all training steps. By default does nothing and returns False.

        Args:
            chunks: The training samples.
            count: Number of chunks.
            log: Called with lines of progress.

        Returns:
            Whether the method is trained now, so that `losses` is not called.
        """
        return False

    def drop_training_state(self) -> None:
        """Delete the state that only training needs, so that it is not in the bundle. Called after the training."""

    @abstractmethod
    def estimate(self, observation: Observation) -> BodyEstimate:
        """Bodies, in evaluation mode and without gradients. `joints_px` is in units of the crop."""
