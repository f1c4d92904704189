"""The optimisation baselines beside the bundle that ships and the mean body, on held-out clips.

    python benchmarks/baselines.py people MOTIONS [--samples 256] [--input gt|noisy] [--part validation]
    python benchmarks/baselines.py videos MOTIONS [--frames 45] [--input gt|noisy] [--part validation]

`people`: independent people, as `pose2mesh evaluate` draws them with the same seed; pixels alone, errors in mm, and
milliseconds of CPU time a person on one thread. `videos`: one video a clip (`motion/synthetic_video.py`), means over
the clips, and the acceleration error in mm/frame² at 30 frames a second.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2mesh import metrics
from pose2mesh.baselines.arnab import Arnab
from pose2mesh.baselines.backend import MAKERS
from pose2mesh.baselines.fitting import Bodies, Fitter
from pose2mesh.baselines.interface import Estimate, Observed
from pose2mesh.baselines.pose_prior import PosePrior
from pose2mesh.body.anny import AnnyBody
from pose2mesh.data.motion import Clip, load_clips, load_split
from pose2mesh.data.noise import NoiseConfig
from pose2mesh.data.poses import PoseConfig, PoseSource
from pose2mesh.data.sources import clip_weights
from pose2mesh.data.synthetic import BodySynthesiser, SyntheticConfig, detect, draw_people
from pose2mesh.geometry import WORLD_TO_CAMERA
from pose2mesh.motion.smoothing import smooth_bodies
from pose2mesh.motion.synthetic_video import EVERY_JOINT_ERRS, Video, film
from pose2mesh.predict import Recovery
from pose2mesh.skeletons import COCO

EXACT = NoiseConfig(model="none", drop=0.0, clean=0.0, plain_confidence=1.0, out_of_picture=False)
PART = 64
SPLIT = Path(__file__).parents[1] / "configs" / "mocap_split.yaml"
COLUMNS = COCO.evaluation_indices


class Bundle:
    """The bundle that ships, as a `Baseline`."""

    name, joint_set = "default", COCO

    def __init__(self) -> None:
        self.recovery = Recovery.load()

    def __call__(self, observed: Observed) -> Estimate:
        joints, vertices = self.recovery.run(observed.joints_px.numpy(), observed.confidence.numpy())
        return Estimate(torch.from_numpy(joints), torch.from_numpy(vertices), observed.joints_px)


class MeanBody:
    """Everyone is the mean adult in the prior's mean pose, facing the camera, as a `Baseline`."""

    name, joint_set = "mean body", COCO

    def __init__(self, fitter: Fitter) -> None:
        still = torch.zeros(1, 2)
        mean = Bodies(
            torch.zeros(1, 6), fitter.prior.mean[None], torch.tensor(WORLD_TO_CAMERA)[None], still[:, 0], still
        )
        self.vertices = fitter.layer.vertices(mean.guess(torch.zeros(1, dtype=torch.long)))
        self.joints = fitter.body.regressor(COCO) @ self.vertices

    def __call__(self, observed: Observed) -> Estimate:
        people = len(observed.joints_px)
        return Estimate(self.joints.expand(people, -1, -1), self.vertices.expand(people, -1, -1), observed.joints_px)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("people", "videos"))
    parser.add_argument("motions", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--input", choices=("gt", "noisy"), default="gt")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    train, validation = load_split(SPLIT, load_clips(options.motions))
    clips = train if options.part == "train" else validation
    fitter = Fitter(AnnyBody(), COCO, PosePrior.load())
    noise = EXACT if options.input == "gt" else EVERY_JOINT_ERRS
    if options.what == "people":
        people(fitter, clips, options.samples, noise)
    else:
        videos(fitter, clips, options.frames, noise)


def people(fitter: Fitter, clips: list[Clip], samples: int, noise: NoiseConfig) -> None:
    """Print a row of errors for each method."""
    frames = torch.from_numpy(np.concatenate([clip.orientations for clip in clips]))
    unchanged = PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0)
    source = PoseSource(frames, unchanged, clip_weights(clips))
    generator = torch.Generator().manual_seed(7)
    methods = (MeanBody(fitter), Bundle(), MAKERS["smplify"](fitter), MAKERS["smplify-started"](fitter))
    errors: dict[str, list[Tensor]] = {method.name: [] for method in methods}
    seconds = dict.fromkeys(errors, 0.0)
    synthesiser, config = BodySynthesiser(fitter.body, COCO, None), SyntheticConfig(views=1)
    for start in range(0, samples, PART):
        drawn = draw_people(min(PART, samples - start), source, synthesiser, config, generator)
        batch = detect(drawn, COCO, noise, generator)
        true_vertices = drawn.cameras.to_camera(fitter.body(drawn.phenotypes, drawn.orientations))
        true_joints = fitter.body.regressor(COCO) @ true_vertices
        observed = Observed(batch.joints_px, batch.confidence, torch.arange(len(batch.joints_px)))
        for method in methods:
            began = time.process_time()
            found = method(observed)
            seconds[method.name] += time.process_time() - began
            errors[method.name].append(person_errors(found.joints, found.vertices, true_joints, true_vertices))
    print(f"{samples} people          MPJPE  PA-MPJPE     MPVPE  PA-MPVPE  ms/person  (± standard error of MPJPE)")
    for name, parts in errors.items():
        rows = torch.cat(parts)
        values = "".join(f"{value:10.1f}" for value in rows.mean(0))
        spread = rows[:, 0].std() / samples**0.5
        print(f"{name:16}{values} {1000 * seconds[name] / samples:10.1f}  ± {spread:.1f}")


def person_errors(joints: Tensor, vertices: Tensor, true_joints: Tensor, true_vertices: Tensor) -> Tensor:
    """(B, 4) MPJPE, PA-MPJPE, MPVPE and PA-MPVPE in mm, root-aligned."""
    root, true_root = joints[:, COCO.root_index, None], true_joints[:, COCO.root_index, None]
    joints, true_joints = (joints - root)[:, COLUMNS], (true_joints - true_root)[:, COLUMNS]
    vertices, true_vertices = vertices - root, true_vertices - true_root
    measures = (metrics.mean_distance, metrics.procrustes_distance)
    columns = [measure(joints, true_joints) for measure in measures]
    columns += [measure(vertices, true_vertices) for measure in measures]
    return 1000 * torch.stack(columns, dim=1)


def videos(fitter: Fitter, clips: list[Clip], frames: int, noise: NoiseConfig) -> None:
    """Print a row of errors for each way to treat a video."""
    arnab = MAKERS["arnab"](fitter)
    assert isinstance(arnab, Arnab)
    single, bundle = arnab.single, Bundle()
    synthesiser = BodySynthesiser(fitter.body, COCO, None)
    rows: dict[str, list[list[float]]] = {}
    seconds = dict.fromkeys(("single", "video"), 0.0)
    count = 0
    for seed, clip in enumerate(clips):
        video = film(clip, synthesiser, seed, noise, frames)
        count += len(video.joints_px)
        joints_px, confidence = torch.from_numpy(video.joints_px), torch.from_numpy(video.confidence)
        observed = Observed(joints_px, confidence, torch.zeros(len(joints_px), dtype=torch.long))
        began = time.process_time()
        start = arnab.start(observed)
        seconds["single"] += time.process_time() - began
        began = time.process_time()
        bodies, target = arnab.fit(observed, start)
        seconds["video"] += time.process_time() - began
        alone = fitter.pose(start, replace(target, person=torch.arange(len(joints_px)))).joints
        answers = {
            "default": bundle(observed).joints,
            "default, One-Euro": _steady(bundle(observed).joints, video),
            single.name: alone,
            f"{single.name}, One-Euro": _steady(alone, video),
            "arnab": fitter.pose(bodies, target).joints,
        }
        for name, joints in answers.items():
            rows.setdefault(name, []).append(video_errors(joints, video))
    print(f"{len(clips)} clips, {count} frames           MPJPE  PA-MPJPE  accel.")
    for name, values in rows.items():
        print(f"{name:28}", *(f"{value:8.1f}" for value in np.mean(values, axis=0)))
    print(*(f"{name}: {1000 * spent / count:.0f} ms a frame" for name, spent in seconds.items()))


def _steady(joints: Tensor, video: Video) -> Tensor:
    centred = (joints - joints[:, COCO.root_index, None]).numpy()
    still = np.ones((len(joints), 3), np.float32)
    return torch.from_numpy(smooth_bodies(centred, centred[:, :0], still, video.fps, COCO)[0]).float()


def video_errors(joints: Tensor, video: Video) -> list[float]:
    """MPJPE, PA-MPJPE and acceleration error, root-aligned."""
    found = (joints - joints[:, COCO.root_index, None])[:, COLUMNS]
    truth = torch.from_numpy(video.joints_cam)[:, COLUMNS]
    errors = (
        metrics.mean_distance(found, truth).mean(),
        metrics.procrustes_distance(found, truth).mean(),
        metrics.acceleration_error(found, truth),
    )
    return [1000 * float(error) for error in errors]


if __name__ == "__main__":
    main()
