"""Synthetic errors of 2D pose detectors, for a whole batch at once.

`human36`: per-joint Gaussian offsets with a per-joint probability (statistics of a detector on Human3.6M published by
Chang, Moon and Lee, AbsPoseLifter, arXiv 1910.12029). `coco`: good, jitter, miss, left–right inversion and person swap,
the taxonomy of Ronchi and Perona 2017 with the frequencies of PoseFix (Moon et al. 2019), each sampled in its band of
keypoint similarity. Both give a confidence that falls as the error grows, and can drop joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pose2mesh.skeletons import HUMAN36, JointSet

# Human3.6M order: mean x, mean y, deviation x, deviation y in pixels of a 256-pixel person box, and probability.
_HUMAN36 = {
    "pelvis": (-0.06, -2.37, 1.33, 2.13, 1.00), "right_hip": (-0.83, -2.07, 3.41, 2.69, 1.00),
    "right_knee": (-0.04, -1.01, 1.74, 2.20, 0.95), "right_ankle": (0.52, -3.40, 1.39, 2.14, 0.93),
    "left_hip": (0.78, -2.79, 3.26, 2.28, 1.00), "left_knee": (0.42, -0.15, 1.53, 1.99, 0.94),
    "left_ankle": (-0.15, -3.78, 1.39, 2.39, 0.93), "torso": (-0.05, 0.10, 1.36, 1.74, 0.99),
    "neck": (0.14, -2.56, 1.18, 1.15, 0.99), "nose": (0.13, -0.26, 0.78, 0.59, 0.98),
    "head_top": (0.09, 0.49, 1.35, 0.87, 0.99), "left_shoulder": (-0.19, 0.31, 2.51, 1.48, 0.99),
    "left_elbow": (0.11, -0.60, 1.79, 1.76, 0.95), "left_wrist": (-0.02, 0.88, 2.02, 2.10, 0.91),
    "right_shoulder": (0.52, -0.12, 2.23, 1.73, 0.99), "right_elbow": (0.06, -0.44, 1.93, 1.63, 0.95),
    "right_wrist": (0.05, 0.16, 2.02, 2.24, 0.90),
}  # fmt: skip
_HUMAN36_BOX_PX = 256.0

# COCO order: similarity at the borders between good, jitter, miss and nothing.
GOOD, JITTER, MISS = 0.85, 0.5, 0.1
KINDS = ("good", "jitter", "miss", "inversion", "swap")


@dataclass
class NoiseConfig:
    """Distribution of the differences between detections and true joints.

    Attributes:
        model: `coco`, `human36`, or `none` for exact positions.
        scale: Every error is multiplied by a factor between these two, uniform, one for each person.
        swap: Share of people with a neighbour whose joints can be detected in place of theirs.
        drop: Share of people with missing joints.
        scattered: Share of these with up to half of the joints missing anywhere; of the others, half miss all below a
            line (a table, the border of the image), the rest the face, or eyes and ears, which some joint sets lack.
        plain_confidence: Share of people with confidence 1 for every joint that is not missing, as where keypoints have
            no confidences.
        clean: Share of people without any error.
        out_of_picture: Drop the joints beyond the border of the image.
    """

    model: Literal["coco", "human36", "none"] = "coco"
    scale: tuple[float, float] = (1.0, 1.0)
    swap: float = 0.1
    drop: float = 0.35
    scattered: float = 0.5
    plain_confidence: float = 0.3
    clean: float = 0.2
    out_of_picture: bool = True


def measured_noise(input: str, joint_set: JointSet, scale: float = 1.0) -> NoiseConfig:
    """Noise for evaluations: no joint is missing and, except for `gt` input, none is exact.

    Args:
        input: `gt` for exact joints, anything else for errors.
        joint_set: Decides the kind of the errors.
        scale: Factor on all errors; 1 for those of the detectors they are modelled on.
    """
    noise = NoiseConfig(scale=(scale, scale), drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
    if input == "gt":
        noise.model, noise.plain_confidence = "none", 1.0
    elif joint_set.name == "human36":
        noise.model = "human36"
    return noise


def kind_probabilities(joint_set: JointSet) -> Tensor:
    """(J, 5) frequencies of good, jitter, miss, inversion and swap per COCO joint, for a well visible person."""
    rows = []
    for name in joint_set.names:
        part = name.split("_")[-1]
        jitter = 0.10 if part in ("nose", "knee", "ankle") else 0.20 if part in ("hip", "pelvis") else 0.15
        miss = 0.02 if part in ("nose", "eye", "ear") else 0.05 if part in ("shoulder", "ankle", "neck") else 0.10
        face, upper = part in ("nose", "eye", "ear"), part in ("shoulder", "elbow", "wrist", "neck")
        inversion = 0.01 if face else 0.03 if upper else 0.06
        if not name.startswith(("left_", "right_")):
            inversion = 0.0
        swap = 0.01 if face else 0.06 if upper else 0.03
        rows.append((1 - jitter - miss - inversion - swap, jitter, miss, inversion, swap))
    return torch.tensor(rows)


def similarity_distance(similarity: float, area_px: Tensor, sigmas: Tensor) -> Tensor:
    """Distance in pixels (B, J) at which the similarity of a keypoint falls to a value; area (B,), sigmas (J,)."""
    log = torch.log(torch.tensor(similarity))
    return torch.sqrt(-2 * area_px[:, None] * log) * 2 * sigmas


def person_area(joints_px: Tensor) -> Tensor:
    """(B,) area of a person in square pixels from joints (B, J, 2): 0.53 of their box, as COCO's tools estimate it."""
    extent = (joints_px.amax(1) - joints_px.amin(1)).clamp_min(1.0)
    # The box of a person in side view or lying is thin, but the area of the body is not zero.
    return 0.53 * torch.maximum(extent.prod(-1), 0.15 * extent.amax(-1).square())


def add_detection_noise(
    joints_px: Tensor,
    joint_set: JointSet,
    config: NoiseConfig,
    generator: torch.Generator,
    size_px: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Simulate the output of a detector for true joints.

    Args:
        joints_px: (B, J, 2) true joints in pixels.
        joint_set: Their joint set. Derived joints (pelvis, neck) are derived again from the noisy ones.
        config: The kind and amount of error.
        generator: All randomness; the same state gives the same result.
        size_px: (B, 2) sizes of the images, to drop joints outside.

    Returns:
        Noisy pixels (B, J, 2) and confidences (B, J); a missing joint has confidence 0 and coordinates 0.
    """
    B, J, _ = joints_px.shape
    device = joints_px.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    area = person_area(joints_px)
    sigmas = torch.tensor(joint_set.oks_sigmas, device=device)
    if config.model == "coco":
        noisy = _coco_errors(joints_px, area, joint_set, config, generator)
    elif config.model == "human36":
        noisy = _human36_errors(joints_px, joint_set, config, generator)
    elif config.model == "none":
        noisy = joints_px
    else:
        raise ValueError(f"noise model {config.model!r} is not known; expected coco, human36 or none")
    clean = uniform(B, 1) < config.clean
    noisy = torch.where(clean[..., None], joints_px, noisy)

    squared = (noisy - joints_px).square().sum(-1)
    similarity = torch.exp(-squared / (2 * area[:, None] * (2 * sigmas).square()))
    # Detectors give high confidence to most good joints and to some bad ones.
    spread = 0.12 * torch.randn(B, J, generator=generator, device=device)
    confidence = (0.30 + 0.62 * similarity + spread).clamp(0.05, 1.0)
    confidence = torch.where(uniform(B, J) < 0.05, 0.3 + 0.7 * uniform(B, J), confidence)
    confidence = torch.where(uniform(B, 1) < config.plain_confidence, torch.ones_like(confidence), confidence)

    missing = _missing(joints_px, joint_set, config.scattered, generator) & (uniform(B, 1) < config.drop)
    if config.out_of_picture and size_px is not None:
        missing |= ((joints_px < 0) | (joints_px > size_px[:, None])).any(-1)
    missing = _keep_enough(missing, len(joint_set) - len(joint_set.derived))
    confidence = confidence * ~missing
    return derive(noisy, confidence, joint_set)


def _human36_errors(joints_px: Tensor, joint_set: JointSet, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    if joint_set is not HUMAN36:
        raise ValueError(f"noise model 'human36' is for joint set human36, not {joint_set.name}")
    device = joints_px.device
    table = torch.tensor([_HUMAN36[name] for name in joint_set.names], device=device)
    box = (joints_px.amax(1) - joints_px.amin(1)).amax(-1)[:, None, None]
    offset = table[:, :2] + table[:, 2:4] * torch.randn(joints_px.shape, generator=generator, device=device)
    happens = torch.rand(joints_px.shape[:2], generator=generator, device=device) < table[:, 4]
    scale = _person_scale(len(joints_px), config, generator)[..., None]
    return joints_px + scale * offset * box / _HUMAN36_BOX_PX * happens[..., None]


def _person_scale(count: int, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    """(B, 1) factor on the errors of each person."""
    low, high = config.scale
    return low + (high - low) * torch.rand(count, 1, generator=generator, device=generator.device)


def _coco_errors(
    joints_px: Tensor, area: Tensor, joint_set: JointSet, config: NoiseConfig, generator: torch.Generator
) -> Tensor:
    """Sample a kind of error for each joint, then a position of that kind."""
    neighbour, has_neighbour = _neighbours(joints_px, area, config.swap, generator)
    kind = _sample_kinds(joint_set, has_neighbour, generator)
    return _place_errors(joints_px, kind, (neighbour, has_neighbour), area, joint_set, config, generator)


def _sample_kinds(joint_set: JointSet, has_neighbour: Tensor, generator: torch.Generator) -> Tensor:
    """(B, J) indices into `KINDS`; there are no swaps without a neighbour (B,)."""
    B, J = len(has_neighbour), len(joint_set)
    probability = kind_probabilities(joint_set).to(has_neighbour.device).repeat(B, 1, 1)
    probability[..., 4] *= has_neighbour[:, None]
    return torch.multinomial(probability.reshape(B * J, 5), 1, generator=generator).reshape(B, J)


def _place_errors(
    joints_px: Tensor,
    kind: Tensor,
    neighbours: tuple[Tensor, Tensor],
    area: Tensor,
    joint_set: JointSet,
    config: NoiseConfig,
    generator: torch.Generator,
    tries: int = 6,
) -> Tensor:
    """Sample positions (B, J, 2) for errors of given kinds (B, J): in a ring around the joint that each belongs to.

    A position must not be nearer to another candidate (the mirrored joint, the neighbour's joints) than to its own, or
    it would be an error of another kind: the first valid one of `tries` positions is used.
    """
    B, J, _ = joints_px.shape
    device = joints_px.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    neighbour, has_neighbour = neighbours
    flip = joint_set.flip_permutation
    candidates = torch.stack((joints_px, joints_px[:, flip], neighbour, neighbour[:, flip]), dim=2)
    sigmas = torch.tensor(joint_set.oks_sigmas, device=device)
    at_good, at_jitter, at_miss = (similarity_distance(s, area, sigmas) for s in (GOOD, JITTER, MISS))
    zero = torch.zeros_like(at_good)
    inner = torch.stack((zero, at_good, at_jitter, zero, zero), dim=-1).gather(2, kind[..., None])
    outer = torch.stack((at_good, at_jitter, at_miss, at_jitter, at_jitter), dim=-1).gather(2, kind[..., None])

    # Misses lie around any candidate, mostly the joint itself; swaps around either joint of the neighbour.
    stray = (uniform(B, J) < 0.2).long()
    either = (uniform(B, J) < 0.5).long()
    centre = torch.where(kind == 3, 1, torch.where(kind == 4, 2 + either, torch.where(kind == 2, stray, 0)))
    centre_px = candidates.gather(2, centre[..., None, None].expand(B, J, 1, 2))

    angle = 2 * torch.pi * uniform(B, J, tries)
    radius = _person_scale(B, config, generator)[..., None] * (inner + (outer - inner) * uniform(B, J, tries))
    place = centre_px + radius[..., None] * torch.stack((torch.cos(angle), torch.sin(angle)), dim=-1)
    # Axis by axis, since operations with a last dimension of two are slow.
    across, down = (place[..., axis, None] - candidates[:, :, None, :, axis] for axis in (0, 1))
    squared = across.square() + down.square()  # (B, J, tries, 4)
    own = torch.nn.functional.one_hot(centre, 4)[:, :, None].bool()
    absent = torch.zeros(B, 1, 1, 4, dtype=torch.bool, device=device)
    absent[..., 2:] = ~has_neighbour[:, None, None, None]
    alone = torch.tensor(flip, device=device) == torch.arange(J, device=device)
    twin = torch.zeros(1, J, 1, 4, dtype=torch.bool, device=device)
    twin[0, alone, 0, 1] = twin[0, alone, 0, 3] = True  # the nose's mirror image is the nose
    clearance = squared.masked_fill(own | absent | twin, torch.inf).amin(-1)
    first = (clearance > radius.square()).float().argmax(-1)  # the first valid try, or the very first
    return place.gather(2, first[..., None, None].expand(B, J, 1, 2))[:, :, 0]


def _neighbours(joints_px: Tensor, area: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Neighbours: another person of the batch moved beside each at a similar size (B, J, 2), and which have one."""
    B = len(joints_px)
    device = joints_px.device
    other = joints_px.roll(1, dims=0)
    scale = torch.sqrt(area / area.roll(1, dims=0))[:, None, None]
    width = area.sqrt()[:, None]
    side = torch.randn(B, 2, generator=generator, device=device) * torch.tensor([0.6, 0.15], device=device) * width
    centre, other_centre = joints_px.mean(1, keepdim=True), other.mean(1, keepdim=True)
    moved = (other - other_centre) * scale + centre + side[:, None]
    return moved, torch.rand(B, generator=generator, device=device) < share


def _missing(joints_px: Tensor, joint_set: JointSet, scattered: float, generator: torch.Generator) -> Tensor:
    """(B, J) which joints are missing: one of four patterns for each person."""
    B, J, _ = joints_px.shape
    device = joints_px.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    few = uniform(B, J) < 0.5 * uniform(B, 1)
    y = joints_px[..., 1]
    low, high = y.amin(1, keepdim=True), y.amax(1, keepdim=True)
    below = y > low + (0.35 + 0.6 * uniform(B, 1)) * (high - low)
    faces = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    face = torch.tensor([name in faces for name in joint_set.names], device=device).expand(B, J)
    eyes_and_ears = torch.tensor([name in faces[1:] for name in joint_set.names], device=device).expand(B, J)
    pattern = uniform(B, 1)
    hidden = torch.where(pattern < 0.5, below, torch.where(pattern < 0.7, face, eyes_and_ears))
    return torch.where(uniform(B, 1) < scattered, few, hidden)


def _keep_enough(missing: Tensor, labelled: int, least: int = 5) -> Tensor:
    """Drop no joint of people with fewer than `least` joints left, which are too few for a prediction.

    Only the `labelled` joints count, which come first; derived joints are missing where their sources are.
    """
    return missing & ((~missing[:, :labelled]).sum(1, keepdim=True) >= least)


def derive(joints_px: Tensor, confidence: Tensor, joint_set: JointSet) -> tuple[Tensor, Tensor]:
    """Derive joints from the others, as `skeletons.convert` does for real input; missing joints are set to 0.

    Args:
        joints_px: (B, J, 2).
        confidence: (B, J), 0 for a missing joint.
        joint_set: Joint set of both.
    """
    joints_px, confidence = joints_px.clone(), confidence.clone()
    for name, parts in joint_set.derived:
        position, columns = joint_set.index(name), [joint_set.index(part) for part in parts]
        joints_px[:, position] = joints_px[:, columns].mean(1)
        confidence[:, position] = confidence[:, columns].amin(1)
    return joints_px * (confidence > 0)[..., None], confidence
