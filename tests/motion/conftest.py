"""The default body and the shipped bundle, each built once, and a synthetic clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.datasets.synthetic.pose_tree import to_world
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, rotation_from_vector
from pose2mesh.inference.predictor import Predictor
from pose2mesh.motion.body_motion import BodyMotion


@pytest.fixture(scope="session")
def anny_body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="session")
def recovery() -> Predictor:
    return Predictor.load()


@pytest.fixture(scope="session")
def synthetic_clip() -> Clip:
    """Two seconds of walking in place, leaning and a half turn, at 30 frames per second."""
    fps, frames = 30.0, 60
    time = np.arange(frames) / fps
    vectors = np.zeros((frames, len(BODY_BONES), 3), np.float32)
    swing = np.sin(2 * np.pi * time)
    for side, sign in (("Left", 1), ("Right", -1)):
        vectors[:, BODY_BONES.index(f"{side}UpLeg"), 0] = 0.6 * sign * swing
        vectors[:, BODY_BONES.index(f"{side}Leg"), 0] = 0.5 - 0.5 * sign * swing
        vectors[:, BODY_BONES.index(f"{side}Arm"), 0] = -0.5 * sign * swing
        vectors[:, BODY_BONES.index(f"{side}ForeArm"), 2] = -0.4 * sign
    vectors[:, BODY_BONES.index("Spine1"), 0] = 0.3 * time
    vectors[:, 0, 2] = np.pi / 2 * time
    local = rotation_from_vector(torch.from_numpy(vectors.reshape(-1, 3))).reshape(frames, -1, 3, 3)
    root = np.stack([0.3 * time, 0.1 * swing, 0.95 + 0.02 * np.cos(4 * np.pi * time)], axis=1)
    return Clip("synthetic", fps, to_world(local).numpy(), root.astype(np.float32), time)


@pytest.fixture(scope="session")
def motion_in_camera(synthetic_clip: Clip) -> BodyMotion:
    """The clip in the frame of a level camera at a distance of three metres."""
    to_camera = np.array(WORLD_TO_CAMERA, np.float32)
    shape = np.array([0.2, 0.7, 0.7, 0.4, 0.6, 0.3], np.float32)
    orientations, path = to_camera @ synthetic_clip.orientations, synthetic_clip.root_m @ to_camera.T
    return BodyMotion("p0", shape, orientations, path + np.array([0, 0, 3]), synthetic_clip.fps)
