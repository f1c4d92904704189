"""The common sample: what any data set gives the networks, as a batch on the device where the networks are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """People with their 2D input and their 3D truth.

    3D is in metres, relative to the root joint, in the axes of a camera that looks straight at the person (`to_ray`
    turns the picture's camera to it): a network that sees only a normalised 2D pose cannot know where in the picture
    it stood.

    Attributes:
        joints_px: (B, J, 2) input joints; 0 where missing.
        confidence: (B, J) in [0, 1]; 0 where missing.
        joints: (B, J, 3) true joints.
        points: (B, R, 3) true points of the surface that MeshNet predicts, or None where only joints are wanted.
        joints_valid: (B, J) which joints have a 3D label.
        surface_valid: (B,) which people have a true surface.
        to_ray: (B, 3, 3) from the picture's camera axes to those above.
    """

    joints_px: Tensor
    confidence: Tensor
    joints: Tensor
    points: Tensor | None
    joints_valid: Tensor
    surface_valid: Tensor
    to_ray: Tensor
