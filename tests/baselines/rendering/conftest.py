"""Fixtures: the Anny body and a camera that it faces."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.camera_sampling import Cameras
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA


@pytest.fixture(scope="session")
def anny_body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="session")
def facing() -> Cameras:
    """A camera 4 m in front of a person who faces it, in the middle of an image of 1000 × 1000 pixels."""
    return Cameras(
        torch.tensor([WORLD_TO_CAMERA]),
        torch.tensor([[0.0, 0.0, 4.0]]),
        torch.tensor([1500.0]),
        torch.tensor([[500.0, 500.0]]),
        torch.tensor([[1000.0, 1000.0]]),
    )
