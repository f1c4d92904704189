"""Benchmark on synthetic videos of motion clips: single frames, raw and smoothed, and fits of whole videos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh import metrics
from pose2mesh.baselines.benchmark.method_benchmark import COLUMNS
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.interface import BaselineInput
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle_info import DEFAULT
from pose2mesh.motion.smoothing import smooth_bodies
from pose2mesh.motion.synthetic_video import SyntheticVideo, synthesise_video
from pose2mesh.skeletons import COCO


@dataclass(frozen=True)
class VideoErrors:
    """Errors of each method for videos.

    Attributes:
        rows: Errors (clips, 3) by method: MPJPE and PA-MPJPE in mm, acceleration error in mm/frame².
        frames: Number of frames in all clips.
        ms_a_frame: CPU time of the single-frame fits and of the fit of the whole video.
    """

    rows: dict[str, Tensor]
    frames: int
    ms_a_frame: dict[str, float]


@torch.no_grad()
def benchmark_videos(
    arnab: Arnab, predictor: Predictor, fitter: Fitter, clips: Sequence[Clip], frames: int, noise: NoiseConfig
) -> VideoErrors:
    """Run every method on one synthetic video a clip (`motion.synthetic_video`).

    Args:
        arnab: The fit of whole videos, which contains the single-frame fit.
        predictor: The Pose2Mesh bundle that ships.
        fitter: Provides the body and poses fitted parameters.
        clips: Motion clips.
        frames: Maximum number of frames of a video.
        noise: Errors of the 2D joints.
    """
    synthesiser = BodySynthesiser(fitter.body, COCO, None)
    rows: dict[str, list[Tensor]] = {}
    seconds = dict.fromkeys(("single frames", "video"), 0.0)
    count = 0
    for seed, clip in enumerate(clips):
        video = synthesise_video(clip, synthesiser, seed, noise, frames)
        count += len(video.joints_px)
        joints_px, confidence = torch.from_numpy(video.joints_px), torch.from_numpy(video.confidence)
        inputs = BaselineInput(joints_px, confidence, torch.zeros(len(joints_px), dtype=torch.long))
        began = time.process_time()
        start = arnab.start(inputs)
        seconds["single frames"] += time.process_time() - began
        began = time.process_time()
        bodies, target = arnab.fit(inputs, start)
        seconds["video"] += time.process_time() - began
        single_frames = fitter.pose(start, replace(target, person=torch.arange(len(joints_px)))).joints
        pose2mesh_joints = torch.from_numpy(predictor.run(video.joints_px, video.confidence)[0])
        predictions = {
            DEFAULT: pose2mesh_joints,
            f"{DEFAULT}, One-Euro": _smoothed(pose2mesh_joints, video),
            arnab.single.name: single_frames,
            f"{arnab.single.name}, One-Euro": _smoothed(single_frames, video),
            "arnab": fitter.pose(bodies, target).joints,
        }
        for name, joints in predictions.items():
            rows.setdefault(name, []).append(_errors(joints, video))
    each = {name: 1000 * spent / count for name, spent in seconds.items()}
    return VideoErrors({name: torch.stack(values) for name, values in rows.items()}, count, each)


def _smoothed(joints: Tensor, video: SyntheticVideo) -> Tensor:
    centred = (joints - joints[:, COCO.root_index, None]).numpy()
    still = np.ones((len(joints), 3), np.float32)
    return torch.from_numpy(smooth_bodies(centred, centred[:, :0], still, video.fps, COCO)[0]).float()


def _errors(joints: Tensor, video: SyntheticVideo) -> Tensor:
    """MPJPE, PA-MPJPE and acceleration error (3,), root-aligned, in millimetres."""
    predicted = (joints - joints[:, COCO.root_index, None])[:, COLUMNS]
    ground_truth = torch.from_numpy(video.joints_cam)[:, COLUMNS]
    bodies = metrics.BodyPoints(joints), metrics.BodyPoints(torch.from_numpy(video.joints_cam))
    means = [each.mean() for each in metrics.compute_errors(*bodies, COCO, ("mpjpe", "pa_mpjpe")).values()]
    acceleration = torch.as_tensor(metrics.acceleration_error(predicted, ground_truth))
    return 1000 * torch.stack([error.float() for error in (*means, acceleration)])
