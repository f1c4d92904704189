"""Effect of smoothing on synthetic videos: MPJPE, PA-MPJPE and acceleration error of clips, before and after.

    python benchmarks/smoothing.py MOTIONS [--split configs/mocap_split.yaml] [--part validation] [--frames 300]
        [--shared]

One video a clip (`motion/synthetic_video.py`), predicted frame by frame by the bundle that ships, without intrinsics;
errors in mm and mm/frame² at 30 frames a second, means over clips, and the position errors in the fastest tenth of each
clip's frames. --shared smooths tracks with one cutoff for all points and frames, for comparison. The last line of each
is the output of `predict` for a video: the smoothed track, and the body model fitted to it with one shape.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.inference.predictor import Predictor
from pose2mesh.metrics import acceleration_error, mean_distance, procrustes_distance
from pose2mesh.motion.person_fitting import load_rig
from pose2mesh.motion.smoothing import BodySmoother, Floats, OneEuroConfig, smooth_bodies
from pose2mesh.motion.synthetic_video import ALL_JOINTS_NOISY, SyntheticVideo, synthesise_video

SHARED = OneEuroConfig(min_cutoff_hz=2.0)
EXACT = NoiseConfig(model="none", drop=0.0, clean=0.0, plain_confidence=1.0, out_of_picture=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--split", type=Path, default=Path(__file__).parents[1] / "configs" / "mocap_split.yaml")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load()
    synthesiser = BodySynthesiser(default_body(), predictor.joint_set, None)
    train, validation = load_split(options.split, load_clips(options.motions))
    clips = train if options.part == "train" else validation
    titles = ("MPJPE", "PA-MPJPE", "accel.", "fastest", "PA")
    print(f"{len(clips)} clips".ljust(26), *(f"{title:>8}" for title in titles))
    config = SHARED if options.shared else None
    for name, noise in (("noisy 2D", ALL_JOINTS_NOISY), ("exact 2D", EXACT)):
        videos = [synthesise_video(clip, synthesiser, seed, noise, options.frames) for seed, clip in enumerate(clips)]
        rows = np.array([measure(predictor, video, config) for video in videos])
        for row, way in enumerate(("frame by frame", "stream", "whole track", "one shape")):
            print(f"{name}, {way:15}", *(f"{value:8.1f}" for value in rows.mean(0)[row]))


def measure(predictor: Predictor, video: SyntheticVideo, config: OneEuroConfig | None) -> Floats:
    """Errors (4, 5) in mm: rows unsmoothed, stream, track, one shape.

    Columns: MPJPE, PA-MPJPE, acceleration error, and the first two in the fastest tenth of the frames.
    """
    joint_set = predictor.joint_set
    joints, vertices = predictor.run(video.joints_px, video.confidence)
    no_vertices, still = joints[:, :0], np.ones((len(joints), 3), np.float32)
    stream = BodySmoother(video.fps, joint_set)
    streamed = np.stack([stream(*frame)[0] for frame in zip(joints, no_vertices, still, strict=True)])
    confidence = video.confidence[:, joint_set.evaluation_indices].mean(1)
    track, vertices, _ = smooth_bodies(joints, vertices, still, video.fps, joint_set, config, confidence)
    fitted = fit_one_shape(vertices, len(joint_set), joint_set.root_index)
    columns = joint_set.evaluation_indices
    ground_truth = torch.from_numpy(video.joints_cam)[:, columns]
    speed = (ground_truth[1:] - ground_truth[:-1]).norm(dim=-1).mean(1)
    fast = 1 + speed.topk(max(len(speed) // 10, 1)).indices
    rows = []
    for found in (joints, streamed, track, fitted):
        points = torch.from_numpy(found)[:, columns]
        errors = (
            mean_distance(points, ground_truth).mean(),
            procrustes_distance(points, ground_truth).mean(),
            acceleration_error(points, ground_truth),
            mean_distance(points[fast], ground_truth[fast]).mean(),
            procrustes_distance(points[fast], ground_truth[fast]).mean(),
        )
        rows.append([1000 * float(error) for error in errors])
    return np.array(rows)


def fit_one_shape(vertices: Floats, joints: int, root: int) -> Floats:
    """Root-relative joints (T, J, 3) of the body model fitted with one shape to the meshes (T, V, 3) of a track.

    The same steps as in `pipelines/video/body_track.py`.
    """
    rig = load_rig("coco")
    T = len(vertices)
    chosen = np.unique(np.linspace(0, T - 1, min(T, 64)).round().astype(int))
    shape = rig.fit(vertices[chosen], one_person=True).phenotypes[0]
    found = np.concatenate([rig.pose(vertices[t : t + 32], shape)[1][:, :joints] for t in range(0, T, 32)])
    return found - found[:, root, None]


if __name__ == "__main__":
    main()
