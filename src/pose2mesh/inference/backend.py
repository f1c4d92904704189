"""Interfaces between `inference.predictor.Predictor` and the runtimes of a model, in NumPy arrays.

A model takes 2D joints (`Backend`), 3D joints of a detector as well (`DepthBackend`), the image as well
(`ImageBackend`), or the frames of one person together (`TrackBackend`). Some predict more than joints and vertices
(`BodyBackend`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle_info import BundleInfo

if TYPE_CHECKING:
    from torch import Tensor


class PersonCrops(Protocol):
    """One image crop per person, prepared by the backend's own package; `baselines.observation.Observation` is one.

    Attributes:
        joints: (P, J, 2) 2D joints in units of the crops.
        confidence: (P, J) in [0, 1]; 0 where missing.
    """

    @property
    def joints(self) -> Tensor: ...

    @property
    def confidence(self) -> Tensor: ...


# Images for an `ImageBackend`: the one image (H, W, 3), RGB, that all people are in, or each person's crop.
Images: TypeAlias = NDArray[np.uint8] | PersonCrops


class Model(Protocol):
    """Description of its model that every backend provides.

    Attributes:
        info: Description of the model.
        faces: (F, 3) of the mesh.
        template: (V, 3) the mean body at rest, metres.
    """

    info: BundleInfo
    faces: NDArray[np.int32]
    template: NDArray[np.float32]


class Backend(Model, Protocol):
    """Runs a model that takes 2D joints."""

    def run(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict the bodies of P ≥ 1 people.

        Args:
            pixels: (P, J, 2) 2D joints in the image of a camera that faces each person.
            confidence: (P, J) in [0, 1]; 0 where a joint is missing.

        Returns:
            Joints (P, J, 3) regressed from the mesh, and vertices (P, V, 3), in metres, in the axes of that camera.
        """


@runtime_checkable
class DepthBackend(Model, Protocol):
    """Runs a model that merges its lifted joints with 3D joints that were estimated from the image.

    Attributes:
        takes_joints3d: Whether this model does; files exported by earlier versions do not.
    """

    takes_joints3d: bool

    def run(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `Backend.run`.

        Args:
            pixels, confidence: As there.
            joints3d_m: (P, J, 3) metres, in the axes of the same cameras, from any origin; NaN where missing.
        """


@dataclass(frozen=True)
class Bodies:
    """Predicted bodies of P people, in metres, in the axes of a camera that faces each person.

    Attributes:
        joints: (P, J, 3) joints regressed from the mesh.
        vertices: (P, V, 3).
        rotations: (P, 22, 3, 3) of the body's bones from rest; None for a model that predicts vertices alone.
        shape: (P, S) coefficients of the body's shape; None likewise.
        expected_errors_m: (P, J, 2) expected absolute error of each joint per axis, across and along the view; None
            for a model that does not predict it.
    """

    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    rotations: NDArray[np.float32] | None = None
    shape: NDArray[np.float32] | None = None
    expected_errors_m: NDArray[np.float32] | None = None


@runtime_checkable
class BodyBackend(DepthBackend, Protocol):
    """Runs a model that may predict the pose and the shape of bodies, and how large its errors are."""

    def run_bodies(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> Bodies:
        """As `DepthBackend.run`, with everything that the model predicts."""


@runtime_checkable
class ImageBackend(Model, Protocol):
    """Runs a model that takes the image beside the 2D joints."""

    def run_on_images(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32], images: Images
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `Backend.run`, with pixels of the image, or of the image that the crops were cut from."""


@runtime_checkable
class TrackBackend(Backend, Protocol):
    """Runs a model that predicts the frames of one person together.

    Attributes:
        window: Largest number of frames per call; a longer video is split into several windows.
        overlap: Number of frames that consecutive windows share, over which their results are cross-faded.
    """

    window: int
    overlap: int

    def run_track(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """As `Backend.run`, for consecutive frames (T instead of P) of one person.

        Returns:
            Joints (T, J, 3), vertices (T, V, 3), and the joints projected by the model's own camera, pixels (T, J, 2).
        """


def check_runtime(device: str, backend: str) -> None:
    """Refuse an unknown device or backend.

    Raises:
        InputError: names the option, the value and what was expected.
    """
    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device!r}: expected cpu or cuda")
    if backend not in ("torch", "onnx"):
        raise InputError(f"--backend {backend!r}: expected torch or onnx")
