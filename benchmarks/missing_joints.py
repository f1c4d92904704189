"""Does the lifter lose by having to know every choice of missing joints, or is it the joints that are lost?

    python benchmarks/missing_joints.py MOTIONS [--steps 500]

Lifters go on learning from the weights that ship, all from the same people, with exact 2D joints: one with five of the
17 joints missing at random, a specialist for each of a few fixed choices of five, and one that misses none. Each meets
the validation people with its own joints missing. What a specialist is better by than the one of any five is what a
better way of dealing with missing joints could bring, as far as these few steps tell.

MPJPE in mm of the lifted joints, relative to the root, in axes that look at the person; the standard error of a
difference is that of its mean over people.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from dataclasses import replace
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
# Of face, trunk, arms and legs some each, chosen before anything was measured.
CHOICES = {
    "left wrist, right knee, left ear, right hip, nose": (9, 14, 3, 12, 0),
    "left knee, left ankle, right wrist, right ear, left hip": (13, 15, 10, 4, 11),
}
ANY, NONE = "any five", "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path, help="folder of BVH clips")
    parser.add_argument("--steps", type=int, default=500, help=f"of {BATCH} people")
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate at its peak")
    options = parser.parse_args()
    config = load_config(CONFIG, [f"data.motions={options.motions}"])
    train, validation = pose_sources(config.data)
    network = load_bundle("default").model.float()
    synthesiser = BodySynthesiser(default_body(), COCO, None)
    people = _draw(VALIDATED, validation, synthesiser, SyntheticConfig(views=1), SEED)
    lifters = {name: copy.deepcopy(network.posenet) for name in (ANY, *CHOICES, NONE)}
    synthetic = replace(config.data.synthetic, noise=NoiseConfig(model="none"))
    teach(lifters, network, options.steps, options.rate, lambda step: _draw(BATCH, train, synthesiser, synthetic, step))
    print(f"{'missing':58} {'shipped':>8} {'any five':>9} {'specialist':>11}   better by")
    for name, specialist in lifters.items():
        told, truth = look(people, missing(name, VALIDATED, torch.Generator().manual_seed(SEED)), network)
        errors = [_errors(lifter, told, truth) for lifter in (network.posenet, lifters[ANY], specialist)]
        gain = errors[1] - errors[2] if name in CHOICES else errors[0] - errors[2]
        means = "{:8.1f} {:9.1f} {:11.1f}".format(*(float(error.mean()) for error in errors))
        print(f"{name:58} {means}   {gain.mean():.1f} ± {gain.std() / len(gain) ** 0.5:.1f}")


def teach(
    lifters: dict[str, PoseNet], network: Pose2Mesh, steps: int, rate: float, draw: Callable[[int], SyntheticSamples]
) -> None:
    """Let each lifter learn with its own joints missing, all from the same people.

    BatchNorms keep the statistics that ship: with those of batches that all miss the same joints, a specialist would
    first lose 5 to 8 mm, and spend its steps on making up for them.
    """
    optimisers = {
        name: torch.optim.AdamW(lifter.parameters(), lr=rate, weight_decay=0.01, fused=True)
        for name, lifter in lifters.items()
    }
    for lifter in lifters.values():
        lifter.requires_grad_(True).eval()
    ahead = Prefetcher(draw)
    for step in trange(steps, desc="learning", unit="step", disable=None):
        following = SEED + 2 + step if step + 1 < steps else None
        people = ahead.take(SEED + 1 + step, following)
        generator = torch.Generator().manual_seed(step)
        for name, lifter in lifters.items():
            told, truth = look(people, missing(name, BATCH, generator), network)
            loss = (lifter(told) - truth).abs().mean()
            optimisers[name].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
            for group in optimisers[name].param_groups:
                group["lr"] = rate * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimisers[name].step()


def missing(name: str, count: int, generator: torch.Generator) -> Tensor:
    """(count, J) which joints each person lacks, of those that are not derived from others."""
    lost = torch.zeros(count, len(COCO), dtype=torch.bool)
    if name in CHOICES:
        lost[:, CHOICES[name]] = True
    elif name == ANY:
        labelled = len(COCO) - len(COCO.derived)
        lost.scatter_(1, torch.rand(count, labelled, generator=generator).argsort(1)[:, :MISSING], True)
    return lost


def look(people: SyntheticSamples, lost: Tensor, network: Pose2Mesh) -> tuple[Tensor, Tensor]:
    """What the lifter is told (B, J, 3) of people some of whose joints are lost, and what is true (B, J, 3)."""
    joints_px, confidence = derive(people.joints_px, (~lost).float(), COCO)
    to_ray = rotation_to_ray(people.cameras.ray(weighted_centre(joints_px, confidence)))
    return network.normalise(joints_px, confidence), people.joints_cam @ to_ray.mT


@torch.no_grad()
def _draw(
    count: int, source: PoseSource, synthesiser: BodySynthesiser, config: SyntheticConfig, seed: int
) -> SyntheticSamples:
    return sample_people(count, source, synthesiser, config, torch.Generator().manual_seed(seed))


@torch.no_grad()
def _errors(lifter: PoseNet, told: Tensor, truth: Tensor) -> Tensor:
    """(B,) mean errors of the evaluated joints in mm."""
    found = lifter(told)
    chosen = COCO.evaluation_indices
    return 1000 * metrics.mean_distance((found - found[:, COCO.root_index, None])[:, chosen], truth[:, chosen])


if __name__ == "__main__":
    main()
