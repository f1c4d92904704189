"""Interface of a lifter: the network that predicts 3D joints from normalised 2D joints.

A lifter is a subclass of `Lifter` in a file of its own and a line in `models.lifter_registry.LIFTERS`. `network.lifter`
of a config chooses it by name, and `network.lifter_settings` holds its sizes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from pose2mesh.models.network_config import NetworkConfig


class Lifted(NamedTuple):
    """Output of a lifter, in metres, in the axes of a camera that faces the person.

    Attributes:
        joints: (B, J, 3) relative to the root joint.
        landmark_offsets: (B, L, 3) from each landmark's interpolation between the joints (`MeshTopology.joint_base`)
            to the landmark; None for a network without landmarks.
        shape: (B, S) coefficients of the body's shape (`body_models.shape_basis`); None without
            `network.shape_components`.
        log_errors: (B, 2 J + S) logarithms of the expected absolute errors: of each joint, metres per axis, across and
            along the view, (J, 2) flattened, and of the shape; None without `network.expected_errors`.
    """

    joints: Tensor
    landmark_offsets: Tensor | None
    shape: Tensor | None = None
    log_errors: Tensor | None = None


class Lifter(nn.Module, ABC):
    """A network from 2D joints to 3D joints and, where `network.landmarks` is above 0, landmarks of the surface.

    Attributes:
        window: Frames that it takes at a time, an odd number. With 1 its input is (B, J, C). With more its input is
            (B, window, J, C), consecutive frames of one person, and its output is that of the middle frame.
            `Pose2Mesh` repeats a single frame to fill the window.
        needs_confidence: Whether it only works with `network.confidence_input: true`, that is with C = 3.
        settings: Dataclass of `network.lifter_settings`, against which a config is validated; None for a lifter that
            has no such settings.
    """

    window: int = 1
    needs_confidence: ClassVar[bool] = False
    settings: ClassVar[type | None] = None

    @classmethod
    @abstractmethod
    def from_config(cls, config: NetworkConfig, joints: int) -> Lifter:
        """A freshly initialised lifter of `joints` joints.

        It reads `config.in_channels` (C), `config.landmarks` (L), `config.shape_components` (S),
        `config.expected_errors` and its own settings.

        Raises:
            TypeError, ValueError: `config.lifter_settings` do not fit.
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Lifted:
        """Predict joints and landmarks.

        Args:
            x: (B, J, C) or (B, window, J, C) of `Pose2Mesh.normalise`: x and y, and the confidence where C is 3. A
                missing joint is 0 in every channel.
        """

    def fuse(self) -> None:
        """Simplify the layers for inference, without changing the function. By default nothing is done."""

    def convert_weights(
        self, state: dict[str, Tensor], source: NetworkConfig, same_landmarks: bool
    ) -> dict[str, Tensor]:
        """Weights of another lifter of this class, in this one's units; those that do not apply here are left out.

        Shapes are compared by `training.pretrained`, which lets layers of other shapes keep their fresh weights.

        Args:
            state: The other's state dict.
            source: The other's config.
            same_landmarks: Whether both have the same landmarks, or the other's are not recorded.
        """
        return state
