"""The Anny body, built once, and posed joints to look at."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.body_models.anny import AnnyBody
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, People, SyntheticConfig, draw_people
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import COCO


@pytest.fixture(scope="session")
def anny_body() -> AnnyBody:
    return AnnyBody()


@pytest.fixture(scope="session")
def coco_people(anny_body: AnnyBody) -> People:
    """1500 people in procedural poses, each seen by one camera; joints in COCO order."""
    config = SyntheticConfig(
        poses=PoseConfig(procedural=1.0), cameras=CameraConfig(), noise=NoiseConfig(model="none"), views=1
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        return draw_people(
            1500, PoseSource(None, config.poses), BodySynthesiser(anny_body, COCO, None), config, generator
        )
