"""How near do the sampled training poses come to real ones? By kind of motion, for several samplers.

    python benchmarks/coverage.py MOTIONS [--samples 200000] [--leave-out] [--poses KEY=VALUE ...]

For 250 frames of each kind, at most 40 of a clip, the mean distance of 20 joints in mm (of a body of average size) to
the nearest of the sampled poses; means over the frames of a kind. `limbs`: with the hips in the same orientation, so
that only the pose of the limbs and the trunk counts. `whole`: with only the direction that the body faces brought into
agreement, as cameras are all around it, so that lying and standing differ.

Samplers: `clips`, the frames of the training clips and their mirror images; `before`, that of
`configs/light_posenet.yaml`; `now`, with the keys of `NOW`. `--leave-out` takes each kind of motion out of the
training clips and measures on the clips taken out: settings are chosen by this, never by the validation clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.config.train_config import load_config
from pose2mesh.datasets.synthetic.body_points import point_matrix, positions
from pose2mesh.datasets.synthetic.frame_weights import clip_weights, rarity_weights
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import read_split
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource

CONFIGS = Path(__file__).parents[1] / "configs"
SPLIT, BEFORE = CONFIGS / "motion_split.yaml", CONFIGS / "light_posenet.yaml"
CLIPS = PoseConfig(procedural=0.0, recombine=0.0, perturb=0.0)
NOW = PoseConfig(
    procedural=0.3, archetypes=1.0, recombine=0.25, mix_limbs=0.3, perturb=0.6, perturb_rad=0.1, tails=0.5, rarity=0.7,
    rest=0.15, rest_temperature_m=0.2, any_orientation=0.05,
)  # fmt: skip
FRAMES_A_CLIP, FRAMES_A_KIND = 40, 250
BATCH = 4096
NEAREST = 24
SEED = 20261128
# From the template to a body of average size.
SCALE_MM = 1138.0
JOINTS = [
    (bone, 0.0, 0.0) for bone in BODY_BONES if bone not in ("Hips", "Spine", "Spine1", "LeftShoulder", "RightShoulder")
]
JOINTS += [("Head", 1.0, 0.0), ("LeftHand", 1.0, 0.0), ("RightHand", 1.0, 0.0)]


class Coverage(NamedTuple):
    """Mean distance in mm from each frame (F,) to the nearest sampled pose."""

    limbs_mm: Tensor
    whole_mm: Tensor


def joints_of(poses: Tensor) -> tuple[Tensor, Tensor]:
    """Joints (B, J, 3) in mm relative to the hips: in the hips' axes, and facing −y as well as the hips show it."""
    world = SCALE_MM * positions(poses, point_matrix(JOINTS)).mT
    hips = poses[:, 0]
    # The rotation about z that is nearest to the hips'.
    yaw = torch.atan2(hips[:, 1, 0] - hips[:, 0, 1], hips[:, 0, 0] + hips[:, 1, 1])
    cos, sin, zero = yaw.cos(), yaw.sin(), torch.zeros_like(yaw)
    turn = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1), dim=1).view(-1, 3, 3)
    return world @ hips, world @ turn


def measure(frames: Tensor, source: PoseSource, count: int) -> Coverage:
    """Distances of frames (F, 22, 3, 3) to the nearest of `count` sampled poses."""
    generator = torch.Generator().manual_seed(SEED)
    given = joints_of(frames)
    best = [torch.full((len(frames),), torch.inf) for _ in given]
    for start in range(0, count, BATCH):
        sampled = joints_of(source.sample(min(BATCH, count - start), generator))
        for part, (a, b) in enumerate(zip(given, sampled, strict=True)):
            # The nearest in squares first, since turning all of them would take long.
            near = torch.cdist(a.flatten(1), b.flatten(1)).topk(min(NEAREST, len(b)), dim=1, largest=False).indices
            best[part] = torch.minimum(best[part], distance_mm(a, b[near], turn=part == 1).amin(1))
    return Coverage(*best)


def distance_mm(a: Tensor, b: Tensor, turn: bool) -> Tensor:
    """Mean distance of joints (F, J, 3) and (F, K, J, 3), as (F, K); the latter turned about z to meet the former."""
    a = a[:, None]
    if turn:
        cross = (a[..., 1] * b[..., 0] - a[..., 0] * b[..., 1]).sum(-1)
        angle = torch.atan2(cross, (a[..., :2] * b[..., :2]).sum((-2, -1)))[..., None]
        x, y = b[..., 0] * angle.cos() - b[..., 1] * angle.sin(), b[..., 0] * angle.sin() + b[..., 1] * angle.cos()
        b = torch.stack((x, y, b[..., 2]), dim=-1)
    return (a - b).norm(dim=-1).mean(-1)


def frames_of(clips: Sequence[Clip], most: int | None = None) -> Tensor:
    """Frames of all clips; at most so many of each, evenly spaced."""
    parts = [
        clip.orientations[np.linspace(0, len(clip) - 1, min(most or len(clip), len(clip))).round().astype(int)]
        for clip in clips
    ]
    return torch.from_numpy(np.concatenate(parts))


def some_frames(clips: Sequence[Clip]) -> Tensor:
    """The frames of a kind of motion that are measured, chosen at random where there are more."""
    frames = frames_of(clips, FRAMES_A_CLIP)
    return frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))[:FRAMES_A_KIND]]


def sources(train: Sequence[Clip], weights: Tensor, now: PoseConfig) -> dict[str, PoseSource]:
    """The samplers that are compared, from these clips; `weights` of their frames (N,) are those of `now`."""
    frames, by_length = frames_of(train), clip_weights(train)
    before = load_config(BEFORE, ["data.motions=."]).data.synthetic.poses
    return {
        "clips": PoseSource(frames, CLIPS, by_length),
        "before": PoseSource(frames, before, by_length),
        "now": PoseSource(frames, now, weights),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--only", nargs="*", help="these samplers alone")
    parser.add_argument("--poses", nargs="*", default=[], help="keys of `NOW` with other values")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    now = replace(NOW, **{key: float(value) for key, value in (each.split("=") for each in options.poses)})
    split = read_split(SPLIT)
    clips = {clip.name: clip for clip in load_clips(options.motions)}
    kinds = list(dict.fromkeys(split.kinds.values()))
    train = [clips[name] for name in split.train]
    measured = train if options.leave_out else [clips[name] for name in split.validation]
    frames = {kind: some_frames([clip for clip in measured if split.kinds[clip.name] == kind]) for kind in kinds}
    # Densities are those among all training clips, also where a kind is taken out.
    weights = rarity_weights(frames_of(train), now.rarity) if now.rarity else clip_weights(train)
    by_clip = dict(zip([clip.name for clip in train], weights.split([len(clip) for clip in train]), strict=True))
    found: dict[str, dict[str, Coverage]] = {}
    # One kind at a time is taken out, or none at all.
    for group in [[kind] for kind in kinds] if options.leave_out else [kinds]:
        rest = [clip for clip in train if not options.leave_out or split.kinds[clip.name] not in group]
        sizes = [len(frames[kind]) for kind in group]
        for name, source in sources(rest, torch.cat([by_clip[clip.name] for clip in rest]), now).items():
            if not options.only or name in options.only:
                coverage = measure(torch.cat([frames[kind] for kind in group]), source, options.samples)
                parts = zip(*(part.split(sizes) for part in coverage), strict=True)
                found.setdefault(name, {}).update(
                    {kind: Coverage(*part) for kind, part in zip(group, parts, strict=True)}
                )
    print(f"{'':12}" + "".join(f"{name:>8} limbs whole" for name in found))
    means = {
        name: {kind: [float(part.mean()) for part in each[kind]] for kind in kinds} for name, each in found.items()
    }
    for each in means.values():
        each["mean"] = list(np.mean(list(each.values()), axis=0))
    for kind in (*kinds, "mean"):
        print(f"{kind:12}" + "".join(f"{each[kind][0]:14.1f}{each[kind][1]:6.1f}" for each in means.values()))


if __name__ == "__main__":
    main()
