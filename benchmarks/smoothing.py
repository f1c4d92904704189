"""What smoothing does to synthetic videos: MPJPE, PA-MPJPE and acceleration error of clips, before and after.

    python benchmarks/smoothing.py MOTIONS [--split configs/mocap_split.yaml] [--part validation] [--frames 300]

One video a clip (`motion/synthetic_video.py`), recovered frame by frame by the bundle that ships, without intrinsics;
errors in mm and mm/frame² at 30 frames a second, means over clips. The last line of each is what `predict` makes of a
video: the track smoothed, and the body of one shape laid on it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.mocap import load_clips, load_split
from pose2mesh.inference.predictor import Predictor
from pose2mesh.metrics import acceleration_error, mean_distance, procrustes_distance
from pose2mesh.motion.person_fitting import load_rig
from pose2mesh.motion.smoothing import BodySmoother, Floats, smooth_bodies
from pose2mesh.motion.synthetic_video import ALL_JOINTS_NOISY, SyntheticVideo, synthesise_video

EXACT = NoiseConfig(model="none", drop=0.0, clean=0.0, plain_confidence=1.0, out_of_picture=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--split", type=Path, default=Path(__file__).parents[1] / "configs" / "mocap_split.yaml")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recovery = Predictor.load()
    synthesiser = BodySynthesiser(default_body(), recovery.joint_set, None)
    train, validation = load_split(options.split, load_clips(options.motions))
    clips = train if options.part == "train" else validation
    print(f"{len(clips)} clips   {'MPJPE':>8} {'PA-MPJPE':>8} {'accel.':>8}")
    for name, noise in (("noisy 2D", ALL_JOINTS_NOISY), ("exact 2D", EXACT)):
        videos = [synthesise_video(clip, synthesiser, seed, noise, options.frames) for seed, clip in enumerate(clips)]
        rows = np.array([measure(recovery, video) for video in videos])
        for row, way in enumerate(("frame by frame", "stream", "whole track", "one shape")):
            print(f"{name}, {way:15}", *(f"{value:8.1f}" for value in rows.mean(0)[row]))


def measure(recovery: Predictor, video: SyntheticVideo) -> Floats:
    """(4, 3) rows: unsmoothed, as a stream, as a track, of one shape; MPJPE, PA-MPJPE, acceleration error in mm."""
    joint_set = recovery.joint_set
    joints, vertices = recovery.run(video.joints_px, video.confidence)
    no_vertices, still = joints[:, :0], np.ones((len(joints), 3), np.float32)
    stream = BodySmoother(video.fps, joint_set)
    streamed = np.stack([stream(*frame)[0] for frame in zip(joints, no_vertices, still, strict=True)])
    track, vertices, _ = smooth_bodies(joints, vertices, still, video.fps, joint_set)
    shaped = of_one_shape(vertices, len(joint_set), joint_set.root_index)
    columns = joint_set.evaluation_indices
    truth = torch.from_numpy(video.joints_cam)[:, columns]
    rows = []
    for found in (joints, streamed, track, shaped):
        points = torch.from_numpy(found)[:, columns]
        errors = (
            mean_distance(points, truth).mean(),
            procrustes_distance(points, truth).mean(),
            acceleration_error(points, truth),
        )
        rows.append([1000 * float(error) for error in errors])
    return np.array(rows)


def of_one_shape(vertices: Floats, joints: int, root: int) -> Floats:
    """(T, J, 3) root-relative joints of the Anny body laid on a track's meshes (T, V, 3); as
    `pipelines/video/body_track.py` does."""
    rig = load_rig("coco")
    T = len(vertices)
    chosen = np.unique(np.linspace(0, T - 1, min(T, 64)).round().astype(int))
    shape = rig.fit(vertices[chosen], one_person=True).phenotypes[0]
    found = np.concatenate([rig.pose(vertices[t : t + 32], shape)[1][:, :joints] for t in range(0, T, 32)])
    return found - found[:, root, None]


if __name__ == "__main__":
    main()
