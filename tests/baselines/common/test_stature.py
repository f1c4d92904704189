"""Standing height from bone lengths: close to the height of the posed body model."""

from __future__ import annotations

import numpy as np
import torch

from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.stature import stature_features
from pose2mesh.inference.predictor import bone_log_lengths
from pose2mesh.skeletons import COCO


def test_height_of_bodies_in_the_rest_pose(fitter: Fitter) -> None:
    *weights, offset = stature_features(fitter.body, COCO)
    phenotypes = torch.tensor([[0.5, 0.8, 0.5, 0.5, height, 0.5] for height in (0.3, 0.5, 0.7)])
    with torch.no_grad():
        joints = fitter.body.regressor(COCO) @ fitter.body(phenotypes, torch.eye(3).expand(3, 22, 3, 3))
    height_m = np.exp(bone_log_lengths(joints.numpy(), COCO) @ np.array(weights) + offset)
    np.testing.assert_allclose(height_m, fitter.body.stature(phenotypes).numpy(), rtol=0.04)
