from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.motion.body_motion import BodyMotion


def test_bad_motion_is_named(motion_in_camera: BodyMotion) -> None:
    with pytest.raises(InputError, match=r"motion 'p0': shapes .* expected \(6,\), \(T, 22, 3, 3\), \(T, 3\), T > 0"):
        BodyMotion("p0", motion_in_camera.phenotypes, np.zeros((2, 22, 3, 3)), np.zeros((3, 3)), 30)
    rotations = np.tile(np.eye(3), (2, 22, 1, 1))
    with pytest.raises(InputError, match="motion 'p0': hips_m of frame 1 are not finite"):
        BodyMotion("p0", motion_in_camera.phenotypes, rotations, np.array([[0, 0, 0], [0, np.nan, 0]]), 30)
    with pytest.raises(InputError, match="motion 'p0': fps is 0, expected a positive number"):
        BodyMotion("p0", motion_in_camera.phenotypes, rotations, np.zeros((2, 3)), 0)
