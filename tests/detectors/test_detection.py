from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.detectors.detection import check_boxes, check_image, zero_outside
from pose2mesh.errors import InputError


def test_a_joint_outside_the_image_has_no_confidence() -> None:
    joints = np.array([[0, 0], [-1, 5], [5, 20.5], [20, 10], [21, 5]], np.float32)
    found = zero_outside(joints, np.array([1.5, 1, 1, 0.5, 1]), (20, 20))
    np.testing.assert_allclose(found, [1, 0, 0, 0.5, 0])


@pytest.mark.parametrize(
    "boxes", [np.zeros((4,)), np.zeros((2, 5)), [[0, 0, 10, 10], [5, 5, 5, 9]], [[0, 0, np.nan, 3]]]
)
def test_boxes_of_another_form_are_refused(boxes: list) -> None:
    with pytest.raises(InputError, match=r"boxes: .*expected"):
        check_boxes(np.asarray(boxes))


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_another_kind_of_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected \(H, W, 3\) of uint8"):
        check_image(image)
