"""Is one lifter for all choices of missing joints less accurate than a specialist for each choice?

    python benchmarks/missing_joints.py MOTIONS [--steps 500]

Lifters are fine-tuned from the weights that ship, on the same samples with exact 2D joints: one with five of the 17
joints missing at random, a specialist for each of a few fixed choices of five, and one with none missing. Each is
validated with its own joints missing. The improvement of a specialist over the lifter for any five is an estimate, from
few steps, of what a better treatment of missing joints could gain.

MPJPE in mm of the lifted joints, relative to the root, in the axes of a camera that faces the person; the standard
error of a difference is that of its mean over samples.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import trange

from pose2mesh import metrics
from pose2mesh.body_models.default_body import default_body
from pose2mesh.config.train_config import load_config
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    SyntheticSamples,
    rotation_to_ray,
    sample_people,
    weighted_centre,
)
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, derive
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.posenet import PoseNet
from pose2mesh.skeletons import COCO
from pose2mesh.training.prefetch import Prefetcher

CONFIG = Path(__file__).parents[1] / "configs" / "light_posenet.yaml"
BATCH = 1024
MISSING = 5
VALIDATED = 8192
SEED = 20261127
# Each covers face, torso, arms and legs; chosen before anything was measured.
CHOICES = {
    "left wrist, right knee, left ear, right hip, nose": (9, 14, 3, 12, 0),
    "left knee, left ankle, right wrist, right ear, left hip": (13, 15, 10, 4, 11),
}
ANY, NONE = "any five", "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path, help="folder of BVH clips")
    parser.add_argument("--steps", type=int, default=500, help=f"steps of {BATCH} samples")
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate at its peak")
    options = parser.parse_args()
    config = load_config(CONFIG, [f"data.motions={options.motions}"])
    train, validation = pose_sources(config.data)
    network = load_bundle("default").model.float()
    synthesiser = BodySynthesiser(default_body(), COCO, None)
    people = _sample(VALIDATED, validation, synthesiser, SyntheticConfig(views=1), SEED)
    lifters = {name: copy.deepcopy(network.posenet) for name in (ANY, *CHOICES, NONE)}
    synthetic = replace(config.data.synthetic, noise=NoiseConfig(model="none"))
    sample = partial(_sample, BATCH, train, synthesiser, synthetic)
    fine_tune(lifters, network, options.steps, options.rate, sample)
    print(f"{'missing':58} {'shipped':>8} {'any five':>9} {'specialist':>11}   better by")
    for name, specialist in lifters.items():
        is_missing = missing(name, VALIDATED, torch.Generator().manual_seed(SEED))
        lifter_input, ground_truth = lifter_samples(people, is_missing, network)
        errors = [_errors(lifter, lifter_input, ground_truth) for lifter in (network.posenet, lifters[ANY], specialist)]
        gain = errors[1] - errors[2] if name in CHOICES else errors[0] - errors[2]
        means = "{:8.1f} {:9.1f} {:11.1f}".format(*(float(error.mean()) for error in errors))
        print(f"{name:58} {means}   {gain.mean():.1f} ± {gain.std() / len(gain) ** 0.5:.1f}")


def fine_tune(
    lifters: dict[str, PoseNet], network: Pose2Mesh, steps: int, rate: float, draw: Callable[[int], SyntheticSamples]
) -> None:
    """Fine-tune each lifter with its own joints missing, on the same samples.

    BatchNorms keep the stored statistics: with those of batches that all miss the same joints, a specialist would first
    lose 5 to 8 mm, and spend its steps on recovering them.
    """
    optimisers = {
        name: torch.optim.AdamW(lifter.parameters(), lr=rate, weight_decay=0.01, fused=True)
        for name, lifter in lifters.items()
    }
    for lifter in lifters.values():
        lifter.requires_grad_(True).eval()
    prefetcher = Prefetcher(draw)
    for step in trange(steps, desc="learning", unit="step", disable=None):
        following = SEED + 2 + step if step + 1 < steps else None
        people = prefetcher.take(SEED + 1 + step, following)
        generator = torch.Generator().manual_seed(step)
        for name, lifter in lifters.items():
            lifter_input, ground_truth = lifter_samples(people, missing(name, BATCH, generator), network)
            loss = (lifter(lifter_input) - ground_truth).abs().mean()
            optimisers[name].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
            for group in optimisers[name].param_groups:
                group["lr"] = rate * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimisers[name].step()


def missing(name: str, count: int, generator: torch.Generator) -> Tensor:
    """Mask (count, J) of the missing joints of each sample; derived joints are not marked."""
    is_missing = torch.zeros(count, len(COCO), dtype=torch.bool)
    if name in CHOICES:
        is_missing[:, CHOICES[name]] = True
    elif name == ANY:
        labelled = len(COCO) - len(COCO.derived)
        is_missing.scatter_(1, torch.rand(count, labelled, generator=generator).argsort(1)[:, :MISSING], True)
    return is_missing


def lifter_samples(people: SyntheticSamples, is_missing: Tensor, network: Pose2Mesh) -> tuple[Tensor, Tensor]:
    """Input of the lifter (B, J, 3) for samples with missing joints, and their true 3D joints (B, J, 3)."""
    joints_px, confidence = derive(people.joints_px, (~is_missing).float(), COCO)
    to_ray = rotation_to_ray(people.cameras.ray(weighted_centre(joints_px, confidence)))
    return network.normalise(joints_px, confidence), people.joints_cam @ to_ray.mT


@torch.no_grad()
def _sample(
    count: int, source: PoseSource, synthesiser: BodySynthesiser, config: SyntheticConfig, seed: int
) -> SyntheticSamples:
    return sample_people(count, source, synthesiser, config, torch.Generator().manual_seed(seed))


@torch.no_grad()
def _errors(lifter: PoseNet, lifter_input: Tensor, ground_truth: Tensor) -> Tensor:
    """Mean errors (B,) of the evaluated joints in mm."""
    found = lifter(lifter_input)
    chosen = COCO.evaluation_indices
    return 1000 * metrics.mean_distance((found - found[:, COCO.root_index, None])[:, chosen], ground_truth[:, chosen])


if __name__ == "__main__":
    main()
