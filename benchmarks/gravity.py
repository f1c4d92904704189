"""The direction of gravity from recovered people: error in degrees against a camera that is assumed level.

    python benchmarks/gravity.py MOTIONS [--split configs/mocap_split.yaml] [--part validation] [--scenes 300] [--fit]

Scenes of synthetic people on level ground, in poses of motion clips, before cameras of known pitch and roll: one
standing person, one person in any pose, groups of 2 to 6, and the track of one person over 3 seconds. The bundle that
ships recovers them from noisy 2D joints with nominal intrinsics; the true focal length is another. Two distributions of
cameras: hand-held ones as the network was trained with (`CameraConfig`), and tilted ones, uniform from 40° downward
to 20° upward with a roll of up to 10°.

`--fit` prints the coefficients of `geometry/gravity.py`, by least squares over people of the training clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, SyntheticSamples, detect
from pose2mesh.datasets.synthetic.camera_sampling import Cameras
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.geometry.gravity import LEVEL, Gravity, estimate_gravity, pose_features
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor

SEED = 18
SIZE_PX = (1000, 750)
TRACK_FRAMES, TRACK_STRIDE = 30, 3
KINDS = ("one person, standing", "one person, any pose", "2 to 6 people", "a track of 3 s")
CAMERAS = ("hand-held", "tilted")


@dataclass(frozen=True)
class Scene:
    """The recovered people of one camera.

    Attributes:
        joints: For each person (T, J, 3) in the camera frame, metres.
        confidence: For each person (T, J) of the 2D joints.
        up: (3,) true direction, in camera axes.
    """

    joints: list[NDArray[np.floating]]
    confidence: list[NDArray[np.floating]]
    up: NDArray[np.floating]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path, help="folder of BVH clips")
    parser.add_argument("--split", type=Path, default=Path(__file__).parents[1] / "configs" / "mocap_split.yaml")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    parser.add_argument("--scenes", type=int, default=300, help="of each kind")
    parser.add_argument("--fit", action="store_true", help="print the coefficients instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load()
    synthesiser = BodySynthesiser(default_body(), predictor.joint_set, None)
    train, validation = load_split(options.split, load_clips(options.motions))
    clips = train if options.part == "train" or options.fit else validation
    if options.fit:
        scenes = sample_scenes(KINDS[1], CAMERAS[0], options.scenes, clips, predictor, synthesiser, SEED)
        print_coefficients(scenes, predictor)
        return
    print(f"{'':36} {'level':>14} {'people':>14} {'90th perc.':>11} {'stated':>7} {'used':>6} {'better':>7}")
    for cameras in CAMERAS:
        for number, kind in enumerate(KINDS):
            scenes = sample_scenes(kind, cameras, options.scenes, clips, predictor, synthesiser, SEED + 1 + number)
            estimates = [estimate_gravity(scene.joints, predictor.joint_set, scene.confidence) for scene in scenes]
            print(f"{cameras:10} {kind:25}", table_row(scenes, estimates), flush=True)


def table_row(scenes: Sequence[Scene], estimates: Sequence[Gravity]) -> str:
    """Mean and standard error of both errors in degrees, the 90th percentiles, the stated uncertainty (root mean
    square) with the actual one, and the share of scenes where people are used, and where they are better."""
    level = np.array([angle_deg(LEVEL, scene.up) for scene in scenes])
    found = np.array([angle_deg(estimate.up, scene.up) for scene, estimate in zip(scenes, estimates, strict=True)])
    used = np.array([estimate.source == "people" for estimate in estimates])
    stated = np.sqrt(np.mean([estimate.spread_deg**2 for estimate in estimates if estimate.source == "people"]))
    actual = np.sqrt(np.mean(found[used] ** 2))
    both = " ".join(f"{error.mean():8.1f} ± {error.std() / len(error) ** 0.5:3.1f}" for error in (level, found))
    tails = "/".join(f"{np.percentile(error, 90):.0f}" for error in (level, found))
    return f"{both} {tails:>11} {stated:.0f}/{actual:.0f}   {used.mean():6.0%} {(found < level)[used].mean():7.0%}"


def angle_deg(first: Sequence[float], second: NDArray[np.floating]) -> float:
    """Angle between two unit vectors (3,) in degrees."""
    return float(np.rad2deg(np.arccos(np.clip(np.asarray(first) @ second, -1, 1))))


def sample_scenes(
    kind: str,
    cameras: str,
    count: int,
    clips: Sequence[Clip],
    predictor: Predictor,
    synthesiser: BodySynthesiser,
    seed: int,
) -> list[Scene]:
    """Sample scenes of one kind and recover their people."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    sizes = rng.integers(2, 7, count) if kind == KINDS[2] else np.ones(count, int)
    frames = TRACK_FRAMES if kind == KINDS[3] else 1
    rotations, heights, distances = _sample_cameras(cameras, count, rng)
    scene_of = np.repeat(np.arange(count), sizes)
    orientations, paths = zip(*(_motion(clips, frames, kind == KINDS[0], rng) for _ in scene_of), strict=True)
    rows = np.repeat(scene_of, frames)
    phenotypes = SyntheticConfig().shapes.sample(len(scene_of), generator).repeat_interleave(frames, dim=0)
    with torch.no_grad():
        joints, _, root = synthesiser(phenotypes, torch.from_numpy(np.concatenate(orientations)).float())
    joints = joints + root[:, None]
    by_person = joints.unflatten(0, (len(scene_of), frames))
    ground = by_person[..., 2].flatten(1).amin(1) if kind != KINDS[3] else by_person[..., 2].amin(2).median(1).values
    place = torch.from_numpy(np.stack([_place(distances[scene], rng) for scene in scene_of])).float()
    place = torch.cat((place, -ground[:, None] + 0.08), dim=1)  # an ankle is 8 cm above the ground
    position = place.repeat_interleave(frames, dim=0) + torch.from_numpy(np.concatenate(paths)).float()
    position[:, 2] -= torch.from_numpy(heights[rows]).float()
    rotation = torch.from_numpy(rotations[rows]).float()
    position_cam = (rotation @ position[..., None])[..., 0]
    focal = torch.from_numpy(rng.uniform(0.75, 1.4, count)[rows] * max(SIZE_PX)).float()
    size = torch.tensor([SIZE_PX]).float().expand(len(rows), -1)
    samples = SyntheticSamples(
        phenotypes,
        torch.from_numpy(np.concatenate(orientations)).float(),
        Cameras(rotation, position_cam, focal, size / 2, size),
        (joints - root[:, None]) @ rotation.mT,
        None,
        position_cam + (rotation @ root[..., None])[..., 0],
    )
    people = _recover(samples, predictor, generator, frames)
    scenes = [Scene([], [], rotation[:, 2]) for rotation in rotations]
    for scene, (points, seen) in zip(scene_of, people, strict=True):
        if len(points):
            scenes[scene].joints.append(points)
            scenes[scene].confidence.append(seen)
    return scenes


def _sample_cameras(
    cameras: str, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Rotations (S, 3, 3) from the world, heights above the ground, and distances of the people aimed at, metres."""
    if cameras == "tilted":
        pitch, roll = rng.uniform(-20, 40, count), rng.uniform(-10, 10, count)
    else:
        config = SyntheticConfig().cameras
        steep = rng.random(count) < config.steep
        pitch = np.where(
            steep, rng.uniform(-config.steep_deg, config.steep_deg, count), rng.normal(*config.pitch_deg, count)
        )
        roll = rng.normal(0, config.roll_deg, count)
    turns = [axis_rotation(axis, torch.deg2rad(torch.from_numpy(angle))) for axis, angle in ((2, roll), (0, pitch))]
    rotations = (turns[0] @ turns[1] @ torch.tensor(WORLD_TO_CAMERA, dtype=torch.float64)).numpy()
    distance = rng.uniform(3, 8, count)
    # The optical axis meets people at the height of the waist.
    height = np.maximum(1 + rng.normal(0, 0.25, count) + distance * np.sin(np.radians(pitch)), 0.15)
    return rotations, height, distance * np.cos(np.radians(pitch))


def _place(distance: float, rng: np.random.Generator) -> NDArray[np.floating]:
    """A place (2,) on the ground near the point aimed at, in the world: x to the right, y away from the camera."""
    return np.array([rng.uniform(-0.3, 0.3) * distance, max(2.0, distance * rng.uniform(0.75, 1.5))])


def _motion(
    clips: Sequence[Clip], frames: int, standing: bool, rng: np.random.Generator
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Bone orientations (T, 22, 3, 3) and a path (T, 3) about its mean, seen from any side."""
    for _ in range(200):
        clip = clips[int(rng.integers(len(clips)))]
        stretch = max(clip.stretches(), key=len)
        if len(stretch) < frames * TRACK_STRIDE:
            continue
        start = int(rng.integers(len(stretch) - (frames - 1) * TRACK_STRIDE))
        chosen = np.array(stretch)[start : start + (frames - 1) * TRACK_STRIDE + 1 : TRACK_STRIDE]
        # Thighs, shanks and trunk within 20° of the vertical: the z axis of each bone's rotation from the rest pose.
        if standing and (clip.orientations[chosen][:, [0, 1, 2, 5, 6, 9], 2, 2] < np.cos(np.radians(20))).any():
            continue
        break
    turn = rng.uniform(0, 2 * np.pi)
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    path = clip.root_m[chosen] - clip.root_m[chosen].mean(0) * (1, 1, 0)
    path[:, 2] -= np.median(path[:, 2])
    return yaw @ clip.orientations[chosen], path @ yaw.T


def _recover(
    samples: SyntheticSamples, predictor: Predictor, generator: torch.Generator, frames: int
) -> list[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Each person's joints in the camera frame and confidences, from noisy joints and nominal intrinsics."""
    batch = detect(samples, predictor.joint_set, measured_noise("noisy", predictor.joint_set, 1.0), generator)
    intrinsics, people = nominal_intrinsics(SIZE_PX), []
    for start in range(0, len(batch.joints_px), frames):
        pixels, confidence = (each[start : start + frames].numpy() for each in (batch.joints_px, batch.confidence))
        usable = (confidence > 0).sum(1) >= LEAST_JOINTS + 2  # two of the model's joints are derived
        pixels, confidence = pixels[usable], confidence[usable]
        found = predictor.recover_converted(pixels, confidence, intrinsics, image_size=SIZE_PX)
        people.append((np.array([person.joints_camera for person in found]), confidence))
    return people


def print_coefficients(scenes: Sequence[Scene], predictor: Predictor) -> None:
    """Least squares over people: up as a combination of directions of the body, with the legs and without them."""
    for legs in (True, False):
        rows, targets = [], []
        for scene in scenes:
            for joints, confidence in zip(scene.joints, scene.confidence, strict=True):
                features, seen = pose_features(joints, confidence, predictor.joint_set, legs)
                rows.append(features[seen].transpose(0, 2, 1).reshape(-1, features.shape[1]))
                targets.append(np.tile(scene.up, int(seen.sum())))
        matrix, target = np.concatenate(rows), np.concatenate(targets)
        solution = np.linalg.solve(matrix.T @ matrix + 3 * np.eye(matrix.shape[1]), matrix.T @ target)
        print("with legs" if legs else "without legs", len(target) // 3, "people")
        print(", ".join(f"{value:.3f}" for value in solution))


if __name__ == "__main__":
    main()
