"""The fitter and the body layer of the default body, built once."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.body_models.default_body import default_body
from pose2mesh.skeletons import COCO


@pytest.fixture(scope="session")
def fitter() -> Fitter:
    with torch.no_grad():
        return Fitter(default_body(), COCO, PosePrior.load())


@pytest.fixture(scope="session")
def layer(fitter: Fitter) -> BodyLayer:
    return fitter.layer
