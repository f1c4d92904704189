"""The hands of one person, as a detector estimates them from an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDES = ("left", "right")


@dataclass(frozen=True, eq=False)
class Hands:
    """Both hands of a person, the left one first, each with the 21 joints of `skeletons.HAND`.

    Attributes:
        joints_px: (2, 21, 3) float32: x and y in pixels, origin top left, and confidence in [0, 1]; 0 where there is no
            hand. A joint outside the image has confidence 0.
        joints3d_m: (2, 21, 3) float32 metres, origin at the centre of each hand, axes x right, y down, z forward of the
            camera; NaN where there is no hand.
    """

    joints_px: NDArray[np.float32]
    joints3d_m: NDArray[np.float32]

    @property
    def present(self) -> tuple[bool, bool]:
        """Whether there is a left hand, and a right one."""
        left, right = (bool(np.isfinite(hand).all()) for hand in self.joints3d_m)
        return left, right
