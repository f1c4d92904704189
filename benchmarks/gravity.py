"""How far the estimate of `geometry.gravity` is off, on synthetic people before virtual cameras of known tilt.

    python benchmarks/gravity.py BVH_DIR [--samples N]

Poses are those of the training clips of `configs/mocap_split.yaml`, 2D joints are noisy, cameras nominal. People of one
image are people of the samples, turned so that their cameras share one tilt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import pose2mesh
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.mocap import load_clips, load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.geometry.gravity import LEVEL, Gravity, estimate_gravity
from pose2mesh.skeletons import JOINT_SETS

SPLIT = Path(__file__).parent.parent / "configs" / "mocap_split.yaml"
CHUNK = 64
IMAGES = 600  # of each number of people


def recovered(motions: Path, samples: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Predicted joints (N, J, 3) of samples, in camera axes, and the true direction that is up (N, 3)."""
    predictor, body = pose2mesh.load(), default_body()
    clips, _ = load_split(SPLIT, load_clips(motions))
    source, generator = unchanged_poses(clips), torch.Generator().manual_seed(3)
    synthesiser = BodySynthesiser(body, predictor.joint_set, None)
    noise = measured_noise("noisy", predictor.joint_set, 1.0)
    joints, ups = [], []
    for _ in range(0, samples, CHUNK):
        with torch.no_grad():
            people = sample_people(CHUNK, source, synthesiser, SyntheticConfig(views=1), generator)
            batch = detect(people, predictor.joint_set, noise, generator)
        cameras = [nominal_intrinsics((int(width), int(height))) for width, height in people.cameras.size_px]
        joints.append(predictor.run(batch.joints_px.numpy(), batch.confidence.numpy(), cameras)[0])
        ups.append(people.cameras.rotation.numpy() @ np.array([0.0, 0, 1]))
    return np.concatenate(joints), np.concatenate(ups)


def errors(joints: NDArray[np.float32], ups: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Errors (N, 2) in degrees of the estimate and of a level camera, where people are upright, and those cameras."""
    rng, rows = np.random.default_rng(0), []
    joint_set = JOINT_SETS[pose2mesh.load().info.joint_set]
    images = [[index] for index in range(len(joints))] if count == 1 else rng.integers(0, len(joints), (IMAGES, count))
    for chosen in images:
        up = ups[chosen[0]]
        # From each person's camera to that of the first, whose vertical is `up`.
        shared = turn_upright(up).T
        bodies = [(joints[index] @ (shared @ turn_upright(ups[index])).T)[None] for index in chosen]
        gravity = estimate_gravity(bodies, joint_set)
        if gravity.people:
            rows.append([np.rad2deg(np.arccos(np.clip(np.array(each) @ up, -1, 1))) for each in (gravity.up, LEVEL)])
    return np.array(rows)


def turn_upright(up: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = up.tolist()
    return Gravity((x, y, z), 0.0, "people", 1).rotation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--samples", type=int, default=2048)
    options = parser.parse_args()
    joints, ups = recovered(options.motions, options.samples)
    print("| people | a guess is made for | estimate | level camera |\n| --- | --- | --- | --- |")
    for count in (1, 2, 3, 5):
        found = errors(joints, ups, count)
        share = len(found) / (len(joints) if count == 1 else IMAGES)
        ours, level = (f"{found[:, i].mean():.1f} ({np.percentile(found[:, i], 90):.1f})" for i in (0, 1))
        print(f"| {count} | {100 * share:.0f} % | {ours} | {level} |")


if __name__ == "__main__":
    main()
