"""What runs a model for `inference.predictor.Predictor`, from NumPy to NumPy: on 2D joints, on pictures, on a
person's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pose2mesh.models.bundle.bundle_info import BundleInfo

if TYPE_CHECKING:
    from pose2mesh.baselines.observation import Observation

# What a model that looks at people is shown: the photo (H, W, 3) they are all in, or each one's crop.
Images: TypeAlias = Union[NDArray[np.uint8], "Observation"]


class Model(Protocol):
    """What every backend says of the model it runs.

    Attributes:
        info: Of the model.
        faces: (F, 3) of the mesh.
        template: (V, 3) the mean body at rest, metres.
    """

    info: BundleInfo
    faces: NDArray[np.int32]
    template: NDArray[np.float32]


class Backend(Model, Protocol):
    """What runs a model's networks."""

    def run(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints (P, J, 3) regressed from the mesh and vertices (P, V, 3), metres, in the axes of a camera that faces
        each person, from pixels (P, J, 2) and confidences (P, J) of at least one person.
        """


@runtime_checkable
class ImageBackend(Model, Protocol):
    """What runs a model that looks at pictures."""

    def look(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32], pictures: Images
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `Backend.run`; the pixels are those of the photo, or of whatever picture the crops were taken from."""


@runtime_checkable
class TrackBackend(Backend, Protocol):
    """What runs a model that recovers the frames of a video together.

    Attributes:
        window: The most frames it is given at a time. A longer video comes in several windows.
        overlap: So many frames each of them shares with the next, so that one can fade into the other.
    """

    window: int
    overlap: int

    def run_track(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """As `Backend.run`, for consecutive frames of one person; and the pixels (T, J, 2) where the model's own camera
        sees the joints that it gives.
        """
