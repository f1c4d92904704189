"""Synthetic videos with ground truth: consecutive frames of a motion clip, one body, one static camera.

Detection errors are sampled independently per frame, so they jitter more than those of a real detector, whose errors
persist over frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, ShapeConfig
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig, sample_cameras
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, add_detection_noise
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.geometry.camera import Intrinsics

# As in evaluations: every joint is detected, with an error.
ALL_JOINTS_NOISY = NoiseConfig(drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
# The whole person is in the image; the camera is at about the person's height.
_CAMERAS = CameraConfig(steep=0.0, fill=(0.35, 0.8))


@dataclass(frozen=True)
class SyntheticVideo:
    """`T` frames of one person.

    Attributes:
        fps: Frames per second.
        joints_px: (T, J, 2) detected joints.
        confidence: (T, J) confidences of the joints.
        joints_cam: (T, J, 3) ground truth, root-relative, metres, camera axes.
        root_cam: (T, 3) the root joint, in the camera's frame.
        intrinsics: Intrinsics of the camera.
        phenotypes: (6,) of the body.
        orientations: (T, 22, 3, 3) of its bones, in the clip's world.
        world_to_camera: (3, 3) from that world to the camera's axes.
    """

    fps: float
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    joints_cam: NDArray[np.float32]
    root_cam: NDArray[np.float32]
    intrinsics: Intrinsics
    phenotypes: Tensor
    orientations: Tensor
    world_to_camera: Tensor


def synthesise_video(
    clip: Clip,
    synthesiser: BodySynthesiser,
    seed: int,
    noise: NoiseConfig = ALL_JOINTS_NOISY,
    most_frames: int | None = None,
) -> SyntheticVideo:
    """Synthesise a video of the longest stretch of a clip without dropped frames.

    Args:
        clip: The motion.
        synthesiser: The body and the joint set.
        seed: Seed of the body's shape, the camera and the detection errors.
        noise: Model of the detector's errors.
        most_frames: Largest number of frames; a longer stretch is cut at the end.
    """
    generator = torch.Generator().manual_seed(seed)
    frames = max(clip.stretches(), key=len)[:most_frames]
    orientations = torch.from_numpy(clip.orientations[frames])
    path = torch.from_numpy(clip.root_m[frames] - clip.root_m[frames].mean(0))
    phenotypes = ShapeConfig().sample(1, generator)
    with torch.no_grad():
        joints, _, root = synthesiser(phenotypes.expand(len(frames), -1), orientations)
        stature = float(synthesiser.body.stature(phenotypes))
    camera = sample_cameras(1, stature, _CAMERAS, generator)
    rotation = camera.rotation[0]
    root_cam = (path + root) @ rotation.mT
    # Far enough for the whole path to lie in front of the camera.
    root_cam[:, 2] += max(float(camera.position_cam[0, 2]), float(root_cam[:, 2].abs().max()) + 2.5)
    intrinsics = Intrinsics(*(float(camera.focal_px[0]),) * 2, *camera.centre_px[0].tolist())
    joints_cam = joints @ rotation.mT
    exact_px = intrinsics.project((joints_cam + root_cam[:, None]).numpy()).astype(np.float32)
    joints_px, confidence = add_detection_noise(
        torch.from_numpy(exact_px), synthesiser.joint_set, noise, generator, camera.size_px.expand(len(frames), 2)
    )
    return SyntheticVideo(
        clip.fps,
        joints_px.numpy(),
        confidence.numpy(),
        joints_cam.numpy(),
        root_cam.numpy(),
        intrinsics,
        phenotypes[0],
        orientations,
        rotation,
    )
