"""What learned baselines see of people, what is known of these, and the interface of such a method.

Everything in the picture is told in the units of a square window around each person, the crop: x to the right and y
down, from −1 at its left and upper edge to 1 at its right and lower one. Its middle is the confidence-weighted middle
of the 2D joints (`datasets.synthetic.bodies.weighted_centre`), half its side `MARGIN` times what the joints seen
reach from there.
3D is in metres, in the axes of a camera that looks through the middle of the crop, as everywhere in the package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, TypeAlias, TypeVar

from torch import Tensor, nn

from pose2mesh.baselines.interface import BodyEstimate
from pose2mesh.datasets.synthetic.bodies import weighted_centre
from pose2mesh.skeletons import JointSet

CROP_PX = 128  # pixels along the side of a crop
MAP_PX = 64  # and of part maps and silhouettes
PARTS = 12
LANDMARKS = 91
MARGIN = 1.3

_Group = TypeVar("_Group", "Observation", "GroundTruth")
Need: TypeAlias = Literal["pictures", "parts", "silhouettes", "landmarks"]


@dataclass(frozen=True)
class Crops:
    """Square windows of `B` pictures.

    Attributes:
        centre_px: (B, 2) their middles, in the pixels of the picture.
        half_px: (B,) half their sides.
    """

    centre_px: Tensor
    half_px: Tensor

    @classmethod
    def around(cls, joints_px: Tensor, confidence: Tensor) -> Crops:
        """Around 2D joints (B, J, 2), those of confidence (B, J) 0 left out."""
        centre = weighted_centre(joints_px, confidence)
        reach = (joints_px - centre[:, None]).abs().amax(-1) * (confidence > 0)
        return cls(centre, MARGIN * reach.amax(1).clamp_min(1.0))

    def units(self, pixels: Tensor) -> Tensor:
        """Pixels of the picture (B, N, 2) in units of the crops."""
        return (pixels - self.centre_px[:, None]) / self.half_px[:, None, None]

    def pixels(self, units: Tensor) -> Tensor:
        """The inverse of `units`."""
        return units * self.half_px[:, None, None] + self.centre_px[:, None]


@dataclass(frozen=True)
class Observation:
    """People as a learned baseline sees them. What a method does not need (`LearnedBaseline.needs`) may be None.

    Attributes:
        joints: (B, J, 2) 2D joints in units of the crop, as a detector finds them; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        pictures: (B, 3, CROP_PX, CROP_PX) red, green and blue in [0, 1].
        parts: (B, PARTS, MAP_PX, MAP_PX) how surely each pixel shows each part of the body; the rest is background.
        silhouettes: (B, MAP_PX, MAP_PX) how surely each pixel shows the person.
        landmarks: (B, LANDMARKS, 2) points of the surface and joints, in units of the crop; 0 where missing.
        landmark_confidence: (B, LANDMARKS).
    """

    joints: Tensor
    confidence: Tensor
    pictures: Tensor | None = None
    parts: Tensor | None = None
    silhouettes: Tensor | None = None
    landmarks: Tensor | None = None
    landmark_confidence: Tensor | None = None

    def __getitem__(self, people: slice | Tensor) -> Observation:
        return _chosen(self, people)


@dataclass(frozen=True)
class GroundTruth:
    """What is known of the people of a batch.

    Attributes:
        index: (B,) which picture of the data set each is: the same number is the same picture again. Of videos of F
            frames, `index // F` is the video.
        labelled: (B,) of whom 3D is known for training. Of the others a loss may use nothing but the two 2D fields.
        joints_2d: (B, J, 2) annotated 2D joints in units of the crop, where the body's joints are truly seen.
        visible: (B, J) 1 where a joint is annotated, in [0, 1]: those outside of the picture are not.
        joints: (B, J, 3) relative to the root joint, metres.
        phenotypes: (B, 6) in the order of `body_models.interface.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the rest pose to camera axes.
        vertices: (B, V, 3) relative to the root joint, metres, where they were posed: to measure by.
    """

    index: Tensor
    labelled: Tensor
    joints_2d: Tensor
    visible: Tensor
    joints: Tensor
    phenotypes: Tensor
    orientations: Tensor
    vertices: Tensor | None = None

    def __getitem__(self, people: slice | Tensor) -> GroundTruth:
        return _chosen(self, people)


def _chosen(of: _Group, people: slice | Tensor) -> _Group:
    values = {item.name: getattr(of, item.name) for item in fields(of)}
    return replace(of, **{name: value[people] for name, value in values.items() if value is not None})


class LearnedBaseline(nn.Module, ABC):
    """A method that is trained. Its weights, and nothing else it could not make anew, are its `state_dict`.

    Attributes:
        needs: What of `Observation` it looks at beside the joints.
        exact: Whether the maps and landmarks it is trained on are the truth instead of what a detector would make of
            it: for one that learns to be the detector.
        gives_bodies: Whether `estimate` does.
        joint_set: Of the joints, in and out.
    """

    needs: ClassVar[frozenset[Need]]
    exact: ClassVar[bool] = False
    gives_bodies: ClassVar[bool] = True
    joint_set: JointSet

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        """Told before the first step, also of a resumed run: some thousand people, drawn as those of training.

        They belong to no picture. For methods that learn what bodies are like; the others ignore them.

        Args:
            orientations: (N, 22, 3, 3) of the bones, from the rest pose to world axes.
            phenotypes: (N, 6), drawn apart from the poses.
        """

    def begin(self, draw: Callable[[int], tuple[Observation, GroundTruth]], say: Callable[[str], None]) -> None:
        """Told once before the first step, after the network was filled with what it starts from; not in a resumed run.

        For what is made of the training people once and kept in the state. Most methods make nothing.

        Args:
            draw: Draws chunk 0, 1, … of the training people: the same number is the same people again. The first
                `pictures.distinct / CHUNK` are all of them.
            say: Takes a line of progress.
        """

    @abstractmethod
    def losses(self, seen: Observation, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """Every term of the training loss by name, weighted, a scalar each.

        Args:
            seen, truth: A batch.
            progress: How much of the training is done, from 0 to 1.
        """

    def fit(
        self, draw: Callable[[int], tuple[Observation, GroundTruth]], chunks: int, say: Callable[[str], None]
    ) -> bool:
        """Learn without gradients, in the place of all training steps. Most methods do not: they return False at once.

        Args:
            draw: Draws chunk 0, 1, … `chunks` − 1 of the training people: the same number is the same people again.
            chunks: How many there are.
            say: Takes a line of progress.

        Returns:
            Whether it did, so that `losses` is never called.
        """
        return False

    def forget(self) -> None:
        """Told when all training is done: drop what only that needs, so that it is not in the bundle."""

    @abstractmethod
    def estimate(self, seen: Observation) -> BodyEstimate:
        """Bodies, for use: in evaluation mode, without gradients. `joints_px` is in units of the crop."""
