"""The comparison with MediaPipe: pairs, and the overlap of masks."""

from __future__ import annotations

import numpy as np
from blazepose_agreement import mask_iou

from pose2mesh.detectors.blazepose.landmark_network import Landmarks
from pose2mesh.detectors.blazepose.region import Region
from pose2mesh.detectors.detection import BodyMask


def test_masks_are_compared_in_the_image() -> None:
    region = Region(np.array([64.0, 64.0]), 64.0, 0.0)
    probability = np.zeros((256, 256), np.float32)
    probability[64:192, 64:192] = 1  # pixels 48 to 80 of the image
    landmarks = Landmarks(
        np.zeros((33, 2)),
        np.zeros(33),
        np.zeros((33, 3)),
        1.0,
        BodyMask(probability, region.affine(256)),
        region,
        region,
    )
    theirs = np.zeros((128, 160), np.float32)
    theirs[48:80, 48:80] = 1
    assert mask_iou(landmarks, theirs) > 0.93
    theirs[:, 64:] = 0
    assert 0.45 < mask_iou(landmarks, theirs) < 0.55
