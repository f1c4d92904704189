"""Inputs of the learned baselines, and the ground truth of training samples, in coordinates of a crop.

2D coordinates are in units of a square window around each person, the crop: x to the right and y down, from −1 at the
left and upper edge to 1 at the right and lower edge. Its centre is the confidence-weighted mean of the 2D joints
(`datasets.synthetic.bodies.weighted_centre`); half its side is `MARGIN` times the largest distance of a detected joint
from the centre, along either axis.
3D is in metres, in the axes of a camera whose optical axis passes through the centre of the crop, as everywhere in the
package.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias, TypeVar

from torch import Tensor

from pose2mesh.datasets.synthetic.bodies import weighted_centre

CROP_PX = 128  # pixels along the side of a crop
MAP_PX = 64  # pixels along the side of part maps and silhouettes
PARTS = 12
LANDMARKS = 91
MARGIN = 1.3

_Group = TypeVar("_Group", "Observation", "GroundTruth")
Need: TypeAlias = Literal["images", "parts", "silhouettes", "landmarks"]


@dataclass(frozen=True)
class Crops:
    """Square windows in `B` images.

    Attributes:
        centre_px: (B, 2) their centres, in pixels of the image.
        half_px: (B,) half their sides, pixels.
    """

    centre_px: Tensor
    half_px: Tensor

    @classmethod
    def around(cls, joints_px: Tensor, confidence: Tensor) -> Crops:
        """Crops around 2D joints (B, J, 2); joints whose confidence (B, J) is 0 are ignored."""
        centre = weighted_centre(joints_px, confidence)
        extent = (joints_px - centre[:, None]).abs().amax(-1) * (confidence > 0)
        return cls(centre, MARGIN * extent.amax(1).clamp_min(1.0))

    def units(self, pixels: Tensor) -> Tensor:
        """Pixels of the image (B, N, 2) to units of the crops."""
        return (pixels - self.centre_px[:, None]) / self.half_px[:, None, None]

    def pixels(self, units: Tensor) -> Tensor:
        """The inverse of `units`."""
        return units * self.half_px[:, None, None] + self.centre_px[:, None]


@dataclass(frozen=True)
class Observation:
    """Inputs of a learned baseline for `B` people. Fields that the method does not need may be None.

    Attributes:
        joints: (B, J, 2) detected 2D joints in units of the crop; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        images: (B, 3, CROP_PX, CROP_PX) crops, RGB in [0, 1].
        parts: (B, PARTS, MAP_PX, MAP_PX) probability of each body part at each pixel; the rest is background.
        silhouettes: (B, MAP_PX, MAP_PX) probability of the person at each pixel.
        landmarks: (B, LANDMARKS, 2) points of the surface and joints, in units of the crop; 0 where missing.
        landmark_confidence: (B, LANDMARKS) in [0, 1]; 0 where missing.
    """

    joints: Tensor
    confidence: Tensor
    images: Tensor | None = None
    parts: Tensor | None = None
    silhouettes: Tensor | None = None
    landmarks: Tensor | None = None
    landmark_confidence: Tensor | None = None

    def __getitem__(self, samples: slice | Tensor) -> Observation:
        return _selected(self, samples)


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of a batch of `B` training or validation samples.

    Attributes:
        index: (B,) number of the image in the data set; equal numbers mean the same image. For videos of F frames,
            `index // F` is the video.
        labelled: (B,) bool, whether the sample has 3D labels for training. For other samples, losses may use only
            `joints_2d` and `visible`.
        joints_2d: (B, J, 2) annotated 2D joints in units of the crop: the exact projection of the body's joints.
        visible: (B, J) in [0, 1]; 1 where a joint is annotated. Joints outside the image are not.
        joints: (B, J, 3) relative to the root joint, metres.
        phenotypes: (B, 6) in the order of `body_models.interface.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the rest pose to camera axes.
        vertices: (B, V, 3) relative to the root joint, metres; for metrics, None where they were not posed.
    """

    index: Tensor
    labelled: Tensor
    joints_2d: Tensor
    visible: Tensor
    joints: Tensor
    phenotypes: Tensor
    orientations: Tensor
    vertices: Tensor | None = None

    def __getitem__(self, samples: slice | Tensor) -> GroundTruth:
        return _selected(self, samples)


def _selected(group: _Group, samples: slice | Tensor) -> _Group:
    values = {item.name: getattr(group, item.name) for item in fields(group)}
    return replace(group, **{name: value[samples] for name, value in values.items() if value is not None})
