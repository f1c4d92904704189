"""Which camera to assume for an image of unknown camera? MPJPE by lens and by assumed focal length, and for crops.

    python benchmarks/camera.py MOTIONS [--split configs/mocap_split.yaml] [--samples 400] [--input gt|noisy]

Bodies in poses of the training clips (the validation clips take no part in the choice) before the cameras of `LENSES`:
half of the mix is what people film with today, mostly phones, half is any camera of a field of view from 20° to 80°
across the longer side, uniform in focal length, as in training. `--samples` people a lens. The bundle that ships gets
exact 2D joints and

- no camera (`none`), a nominal one whose focal length is a multiple of the longer side of the image, or the true one;
- the same for crops: 30 % of the image cut from the left, right, top or bottom, on a side that leaves the person's root
  in the image; joints that are cut off are missing. The nominal camera takes the crop for a whole image.

MPJPE in mm, root-aligned, in the axes of the true camera; the last rows are means over phones and cameras of today, and
over the whole mix, with the standard error of the mean.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    SyntheticSamples,
    detect,
    sample_people,
)
from pose2mesh.datasets.synthetic.camera_sampling import place_cameras
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.geometry.camera import FULL_FRAME_DIAGONAL_MM, Intrinsics
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor

RATIOS = (0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.8)
LONGER_SIDE_PX = 1000.0
CUT = 0.3
SEED = 18


@dataclass(frozen=True)
class Lens:
    """A kind of camera.

    Attributes:
        name: For the table.
        share: Of the mix.
        focal_35mm: Smallest and largest 35 mm equivalent focal length, by the diagonal; uniform in its logarithm. None
            for the cameras of training.
        aspect: Shorter over longer side of the image.
    """

    name: str
    share: float
    focal_35mm: tuple[float, float] | None
    aspect: float = 0.0


# Phones make most images and videos. A phone's video is a 16:9 crop of the sensor, and stabilisation cuts its border.
LENSES = (
    Lens("phone, main camera, photo", 0.175, (24, 28), 3 / 4),
    Lens("phone, main camera, video", 0.10, (26, 34), 9 / 16),
    Lens("phone, ultra-wide", 0.025, (13, 16), 3 / 4),
    Lens("phone, 2x to 3x", 0.05, (48, 77), 3 / 4),
    Lens("compact or SLR with zoom", 0.10, (24, 200), 2 / 3),
    Lens("webcam, 70-78° diagonal", 0.025, (26.7, 30.9), 9 / 16),
    Lens("film or broadcast", 0.025, (30, 120), 9 / 16),
    Lens("any camera, 20-80°", 0.5, None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--split", type=Path, default=Path(__file__).parents[1] / "configs" / "mocap_split.yaml")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--input", choices=("gt", "noisy"), default="gt")
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load()
    synthesiser = BodySynthesiser(default_body(), predictor.joint_set, None)
    poses = unchanged_poses(load_split(options.split, load_clips(options.motions))[0])
    noise = measured_noise(options.input, predictor.joint_set, 1.0)
    generator = torch.Generator().manual_seed(SEED)
    columns = ["none", *(f"{ratio:g}" for ratio in RATIOS), "true"]
    whole: list[NDArray[np.floating]] = []
    cropped: list[NDArray[np.floating]] = []
    print(f"{'whole images':28}", *(f"{name:>6}" for name in columns))
    for lens in LENSES:
        people = sample_lens(lens, options.samples, poses, synthesiser, generator)
        batch = detect(people, predictor.joint_set, noise, generator)
        seen = batch.joints_px.numpy(), batch.confidence.numpy(), people.cameras.size_px.numpy()
        whole.append(measure(predictor, people, *seen))
        print(f"{lens.name:28}", *(f"{value:6.1f}" for value in whole[-1].mean(0)), flush=True)
        kept, *crop = cut_side(people, *seen, predictor, np.random.default_rng(SEED))
        cropped.append(measure(predictor, people[torch.from_numpy(kept)], *crop))
    print_means(whole)
    print(f"{'30 % cut from one side':28}")
    for lens, errors in zip(LENSES, cropped, strict=True):
        print(f"{lens.name:28}", *(f"{value:6.1f}" for value in errors.mean(0)))
    print_means(cropped)


def sample_lens(
    lens: Lens, count: int, poses: Any, synthesiser: BodySynthesiser, generator: torch.Generator
) -> SyntheticSamples:
    """People before cameras of one kind, upright or lying on their side, one half each."""
    config = SyntheticConfig(views=1)
    with torch.no_grad():
        people = sample_people(count, poses, synthesiser, config, generator)
        stature_m = synthesiser.body.stature(people.phenotypes)
    if lens.focal_35mm is None:
        return people
    low, high = (math.log(focal) for focal in lens.focal_35mm)
    focal_35mm = torch.exp(low + (high - low) * torch.rand(count, generator=generator))
    focal_px = focal_35mm / FULL_FRAME_DIAGONAL_MM * LONGER_SIDE_PX * math.hypot(1, lens.aspect)
    sides = torch.tensor([LONGER_SIDE_PX, lens.aspect * LONGER_SIDE_PX])
    upright = torch.rand(count, generator=generator) < 0.5
    size = torch.where(upright[:, None], sides.flip(0), sides)
    old = people.cameras
    cameras = place_cameras(old.rotation, focal_px, size, stature_m, config.cameras, generator)
    return replace(people, cameras=cameras, root_cam=people.root_cam - old.position_cam + cameras.position_cam)


def cut_side(
    people: SyntheticSamples,
    joints_px: NDArray[np.floating],
    confidence: NDArray[np.floating],
    size: NDArray[np.floating],
    predictor: Predictor,
    rng: np.random.Generator,
) -> tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Cut one side of each image: rows kept; joints, confidences and sizes in the crop; its top left corner (P, 2)."""
    roots = joints_px[:, predictor.joint_set.root_index]
    labelled = [i for i, name in enumerate(predictor.joint_set.names) if name not in dict(predictor.joint_set.derived)]
    kept, pixels, weights, sizes, corners = [], [], [], [], []
    for row, (root, extent) in enumerate(zip(roots, size, strict=True)):
        for side in rng.permutation(4):
            axis, is_start = side % 2, side < 2
            low, high = np.zeros(2), extent.astype(np.float64)
            low[axis], high[axis] = (CUT * extent[axis], extent[axis]) if is_start else (0, (1 - CUT) * extent[axis])
            if not ((root >= low) & (root < high)).all():
                continue
            inside = ((joints_px[row] >= low) & (joints_px[row] < high)).all(1)
            weight = np.where(inside, confidence[row], 0)
            for name, parts in predictor.joint_set.derived:
                sources = [weight[predictor.joint_set.index(part)] for part in parts]
                weight[predictor.joint_set.index(name)] = min(sources)
            if (weight[labelled] > 0).sum() >= LEAST_JOINTS:
                kept.append(row)
                pixels.append(np.where(weight[:, None] > 0, joints_px[row] - low, 0))
                weights.append(weight)
                sizes.append(high - low)
                corners.append(low)
                break
    return np.array(kept), np.array(pixels), np.array(weights), np.array(sizes), np.array(corners)


def measure(
    predictor: Predictor,
    people: SyntheticSamples,
    joints_px: NDArray[np.floating],
    confidence: NDArray[np.floating],
    size: NDArray[np.floating],
    corner: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """MPJPE (P, 2 + R) in mm: without a camera, with nominal ones of `RATIOS`, and with the true one.

    Args:
        predictor: The model.
        people: The ground truth.
        joints_px, confidence: (P, J, 2), (P, J) the input.
        size: (P, 2) width and height of the images.
        corner: (P, 2) top left corners of crops in the pixels of the true cameras.
    """

    def cameras(intrinsics: Callable[[int], Intrinsics]) -> list[Intrinsics]:
        return [intrinsics(row) for row in range(len(size))]

    def nominal(ratio: float) -> list[Intrinsics]:
        return cameras(lambda row: Intrinsics(*[ratio * size[row].max()] * 2, *(size[row] / 2)))

    true = people.cameras.intrinsics()
    if corner is not None:
        true = [replace(each, cx=each.cx - x, cy=each.cy - y) for each, (x, y) in zip(true, corner, strict=True)]
    columns = list(predictor.joint_set.evaluation_indices)
    target = people.joints_cam.numpy()[:, columns]
    errors = []
    for intrinsics in (None, *(nominal(ratio) for ratio in RATIOS), true):
        joints, _ = predictor.run(joints_px, confidence, intrinsics)
        errors.append(1000 * np.linalg.norm(joints[:, columns] - target, axis=-1).mean(1))
    return np.stack(errors, axis=1)


def print_means(errors: list[NDArray[np.floating]]) -> None:
    """Print the means over the lenses of today and over all, and their standard errors as of a stratified sample."""
    for name, lenses in (("phones and cameras of today", LENSES[:-1]), ("the mix", LENSES)):
        shares = np.array([lens.share for lens in lenses])
        shares /= shares.sum()
        chosen = errors[: len(lenses)]
        means = shares @ np.stack([each.mean(0) for each in chosen])
        variances = shares**2 @ np.stack([each.var(0) / len(each) for each in chosen])
        print(f"{name:28}", *(f"{value:6.1f}" for value in means))
        print(f"{'  standard error':28}", *(f"{value:6.1f}" for value in np.sqrt(variances)))


if __name__ == "__main__":
    main()
