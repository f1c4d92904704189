"""Sampling of training poses: frames of motion clips, poses inside anatomical joint limits, and their augmentation.

A pose is (22, 3, 3): the world rotation of each body bone from the mean body's rest pose
(`body_models.bones.BODY_BONES`; z up, facing −y, arms half lowered), the identity for a body at rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, MIRROR, PARENTS, depth_levels
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import axis_rotation, rotation_from_vector

_UPPER = [index for index in range(len(BODY_BONES)) if index >= BODY_BONES.index("Spine")]
_LEVELS = depth_levels(PARENTS)

# Ranges of motion in degrees about x (bend), y and z, in the rest pose's world axes, for the left side; the right
# mirrors y and z. A positive x leans bones that point up (trunk, head) forwards and swings bones that point down
# (thigh, shank) backwards.
# After the ranges of healthy adults in Norkin and White, Measurement of Joint Motion, narrowed where extremes of
# several joints together would pass through the body.
_LIMITS_DEG: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "LeftUpLeg": ((-110, 25), (-40, 15), (-30, 30)),
    "LeftLeg": ((0, 135), (-3, 3), (-10, 10)),
    "LeftFoot": ((-25, 40), (-12, 12), (-15, 15)),
    "LeftToeBase": ((-35, 15), (0, 0), (0, 0)),
    "Spine": ((-8, 25), (-10, 10), (-12, 12)),
    "Spine1": ((-8, 22), (-10, 10), (-12, 12)),
    "Spine2": ((-6, 18), (-8, 8), (-12, 12)),
    "Neck": ((-18, 25), (-15, 15), (-30, 30)),
    "Head": ((-18, 20), (-12, 12), (-25, 25)),
    "LeftShoulder": ((-8, 8), (-20, 5), (-12, 12)),
}
# The template stands with its elbows bent by this much: a straight arm is that far behind the rest pose. They bend by
# 150° from there about the axis across the arm.
_REST_ELBOW_DEG = 42.0
_LARGEST_ELBOW_DEG = 150.0


def _across_elbow(sign: float) -> tuple[float, float, float]:
    """The axis that a forearm bends about, backwards; sign 1 for the left."""
    return (0.66, 0.0, 0.75 * sign)


# Hips and knees of seated people: mean, and largest deviation either way.
_SEATED_DEG = {"LeftUpLeg": (-82.0, 22.0), "LeftLeg": (80.0, 30.0)}
_SEATED_SHARE = 0.12


@dataclass
class PoseConfig:
    """Distribution of the training poses.

    Attributes:
        procedural: Share of poses from joint limits alone; the rest are clip frames. 1 needs no clip.
        mirror: Share of mirrored poses.
        recombine: Share of clip poses whose upper body comes from another frame than the legs.
        perturb: Share of clip poses with small random joint rotations.
        perturb_rad: Standard deviation of these rotations per axis.
        tumble: Share of procedural poses in any orientation, as in a fall or a roll; the others stand within a tilt.
    """

    procedural: float = 0.2
    mirror: float = 0.5
    recombine: float = 0.4
    perturb: float = 0.7
    perturb_rad: float = 0.12
    tumble: float = 0.15


@dataclass(frozen=True)
class AngleLimits:
    """Ranges of motion of the joints, as bounds on components of rotation vectors relative to the parent; `L` of them.

    Attributes:
        bone: (L,) index into `BODY_BONES`.
        axis: (L, 3) unit axis, in the rest pose's world axes.
        low, high: (L,) radians.
    """

    bone: Tensor
    axis: Tensor
    low: Tensor
    high: Tensor


def angle_limits() -> AngleLimits:
    """The limits of `sample_procedural` for both sides; arms and hands, which move freely, have none."""
    rows: list[tuple[int, tuple[float, ...], float, float]] = []
    for name, ranges in _LIMITS_DEG.items():
        for axis, (low, high) in enumerate(ranges):
            unit = tuple(float(axis == other) for other in range(3))
            rows.append((BODY_BONES.index(name), unit, low, high))
            if name.startswith("Left"):
                bounds = (low, high) if axis == 0 else (-high, -low)
                rows.append((BODY_BONES.index(name.replace("Left", "Right")), unit, *bounds))
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        rows.append(
            (
                BODY_BONES.index(f"{side}ForeArm"),
                _across_elbow(sign),
                _REST_ELBOW_DEG - _LARGEST_ELBOW_DEG,
                _REST_ELBOW_DEG,
            )
        )
    bone, axis_, low_deg, high_deg = (torch.tensor(column) for column in zip(*rows, strict=True))
    unit_axis = torch.nn.functional.normalize(axis_, dim=1)
    return AngleLimits(bone, unit_axis, torch.deg2rad(low_deg), torch.deg2rad(high_deg))


def to_local(pose: Tensor) -> Tensor:
    """World rotations (B, 22, 3, 3) to rotations relative to each bone's parent (the hips': to the world)."""
    local = pose.clone()
    local[:, 1:] = pose[:, list(PARENTS[1:])].mT @ pose[:, 1:]
    return local


def to_world(local: Tensor) -> Tensor:
    """The inverse of `to_local`."""
    world = local.clone()
    for bones in _LEVELS:
        world[:, bones] = world[:, [PARENTS[bone] for bone in bones]] @ local[:, bones]
    return world


def mirror(pose: Tensor) -> Tensor:
    """Mirror a pose across the body's x axis, with the sides exchanged. (B, 22, 3, 3) → the same."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=pose.device)
    return pose[:, list(MIRROR)] * (flip[:, None] * flip)


def recombine(legs: Tensor, upper: Tensor) -> Tensor:
    """The hips and legs of one pose under the spine, arms and head of another, which turn with the new hips."""
    pose = legs.clone()
    pose[:, _UPPER] = (legs[:, :1] @ upper[:, :1].mT) @ upper[:, _UPPER]
    return pose


def sample_procedural(count: int, generator: torch.Generator, tumble: float = 0.15) -> Tensor:
    """Sample plausible poses (count, 22, 3, 3) inside anatomical limits, without any file.

    Each angle has a triangular distribution between its limits, arms and elbows with more weight near rest; in half of
    the poses both legs are alike, as in standing or squatting, and some poses are seated.
    """
    device = generator.device
    local = torch.eye(3, device=device).repeat(count, len(BODY_BONES), 1, 1)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def bell(*shape: int) -> Tensor:
        """The mean of two uniforms on [0, 1], since joints are rarely at their limits."""
        return (uniform(*shape) + uniform(*shape)) / 2

    seated = uniform(count) < _SEATED_SHARE

    def sample_angles(name: str) -> Tensor:
        """(count, 3) rotation vectors of a joint about its limits' middle; hips and knees are mostly near straight."""
        low, high = torch.deg2rad(torch.tensor(_LIMITS_DEG[name], device=device)).unbind(1)
        angles = low + (high - low) * bell(count, 3)
        if name in _SEATED_DEG:
            angles[:, 0] *= uniform(count).square()
            middle, reach = _SEATED_DEG[name]
            angles[:, 0] = torch.where(seated, torch.deg2rad(middle + reach * (2 * bell(count) - 1)), angles[:, 0])
        return angles

    for name in _LIMITS_DEG:
        angles = sample_angles(name)
        local[:, BODY_BONES.index(name)] = rotation_from_vector(angles)
        if name.startswith("Left"):
            other = sample_angles(name)
            alike = (uniform(count) < 0.5)[:, None]
            other = torch.where(alike, angles + 0.1 * (bell(count, 3) - 0.5), other)
            right = BODY_BONES.index(name.replace("Left", "Right"))
            local[:, right] = rotation_from_vector(other * torch.tensor([1.0, -1.0, -1.0], device=device))

    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        # Raise about y (0: as at rest, arms 45° down), swing forwards about z, twist about the arm.
        raise_rad = torch.deg2rad(-50 + 185 * bell(count).pow(1.6)) * -sign
        swing_rad = torch.deg2rad(-25 + 125 * bell(count)) * -sign
        twist_rad = torch.deg2rad(-70 + 140 * bell(count))
        arm = torch.tensor([0.75 * sign, 0.0, -0.66], device=device)
        twist = rotation_from_vector(twist_rad[:, None] * arm)
        local[:, BODY_BONES.index(f"{side}Arm")] = axis_rotation(2, swing_rad) @ axis_rotation(1, raise_rad) @ twist
        # The elbow bends the forearm to the front, about the axis across the arm; at rest it is bent already.
        across = torch.tensor(_across_elbow(sign), device=device)
        bend = torch.deg2rad(_LARGEST_ELBOW_DEG * uniform(count).pow(1.5) - _REST_ELBOW_DEG)
        local[:, BODY_BONES.index(f"{side}ForeArm")] = rotation_from_vector(-bend[:, None] * across)
        hand = torch.deg2rad(torch.tensor([30.0, 25.0, 30.0], device=device)) * (2 * bell(count, 3) - 1)
        local[:, BODY_BONES.index(f"{side}Hand")] = rotation_from_vector(hand)

    tilt = 0.35 * torch.randn(count, 2, generator=generator, device=device) * uniform(count, 1)
    upright = axis_rotation(0, tilt[:, 0]) @ axis_rotation(1, tilt[:, 1])
    free = random_rotations(count, generator)
    local[:, 0] = torch.where((uniform(count) < tumble)[:, None, None], free, upright)
    return to_world(local)


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Uniform random rotations (count, 3, 3), from normal quaternions."""
    q = torch.randn(count, 4, generator=generator, device=generator.device)
    w, x, y, z = torch.nn.functional.normalize(q, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(count, 3, 3)


@dataclass(frozen=True)
class FrameOrder:
    """Order of the frames of concatenated clips.

    Attributes:
        root_m: (N, 3) position of the hips, metres, z up.
        following: (N,) number of frames after each before its clip ends or a frame is missing.
    """

    root_m: Tensor
    following: Tensor


class PoseSource:
    """Samples training poses from the frames of clips and from the joint limits.

    Args:
        frames: (N, 22, 3, 3) poses of all clips, concatenated, or None for procedural poses alone.
        config: The mixture and the augmentation.
        clip_weights: (N,) relative frequency of each frame; equal by default.
        order: Which frames follow each other, for `sample_motion`.
    """

    def __init__(
        self,
        frames: Tensor | None,
        config: PoseConfig,
        clip_weights: Tensor | None = None,
        order: FrameOrder | None = None,
    ) -> None:
        self.frames, self.config, self.weights, self.order = frames, config, clip_weights, order
        if frames is None and config.procedural < 1:
            raise ValueError("poses: without motion clips the procedural share must be 1")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample poses (count, 22, 3, 3); the same generator state gives the same poses."""
        self._move_to(generator.device)

        def chance(share: float) -> Tensor:
            return _chance(share, count, 1, generator)

        procedural = sample_procedural(count, generator, self.config.tumble)
        if self.frames is None:
            return torch.where(chance(self.config.mirror), mirror(procedural), procedural)
        pose = self.frames[self._pick(count, generator)]
        other = self.frames[self._pick(count, generator)]
        pose = self._augmented(pose, other, 1, generator)
        pose = torch.where(chance(self.config.procedural), procedural, pose)
        return torch.where(chance(self.config.mirror), mirror(pose), pose)

    def sample_motion(self, count: int, frames: int, stride: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample parts of clips, each augmented as a whole; without procedural poses, which do not move.

        Args:
            count: Number of motions.
            frames: Number of frames of each.
            stride: Step between its frames in the clip.
            generator: All randomness.

        Returns:
            Poses (count · frames, 22, 3, 3), and positions of the hips (count · frames, 3) relative to their mean.

        Raises:
            InputError: no clip is that long, or there is none.
        """
        starts = self.starts(frames, stride).to(generator.device)
        self._move_to(generator.device)
        assert self.frames is not None
        assert self.order is not None
        weights = starts.float() if self.weights is None else self.weights * starts
        steps = stride * torch.arange(frames, device=weights.device)
        rows, others = (
            (torch.multinomial(weights, count, replacement=True, generator=generator)[:, None] + steps).flatten()
            for _ in range(2)
        )
        pose = self._augmented(self.frames[rows], self.frames[others], frames, generator)
        path = self.order.root_m.to(weights.device)[rows].unflatten(0, (count, frames))
        path = (path - path.mean(1, keepdim=True)).flatten(0, 1)
        mirrored = _chance(self.config.mirror, count, frames, generator)
        flip = torch.tensor([-1.0, 1.0, 1.0], device=weights.device)
        return torch.where(mirrored, mirror(pose), pose), torch.where(mirrored[..., 0, 0], path * flip, path)

    def starts(self, frames: int, stride: int) -> Tensor:
        """(N,) frames at which a motion of `sample_motion` can begin.

        Raises:
            InputError: there is none.
        """
        if self.order is None:
            raise InputError(f"videos of {frames} frames: expected motion clips to take them from, found none")
        starts = self.order.following >= (frames - 1) * stride
        if not starts.any():
            longest = int(self.order.following.max()) + 1
            raise InputError(
                f"videos of {frames} frames, each {stride} after the other: the longest stretch of a clip has {longest}"
            )
        return starts

    def _augmented(self, pose: Tensor, other: Tensor, frames: int, generator: torch.Generator) -> Tensor:
        """Poses recombined with others and perturbed as configured, the same for each `frames` in a row."""
        count = len(pose) // frames
        pose = torch.where(_chance(self.config.recombine, count, frames, generator), recombine(pose, other), pose)
        turn = rotation_from_vector(
            torch.randn(count, len(BODY_BONES), 3, generator=generator, device=pose.device) * self.config.perturb_rad
        ).repeat_interleave(frames, dim=0)
        perturbed = to_world(to_local(pose) @ turn)
        return torch.where(_chance(self.config.perturb, count, frames, generator), perturbed, pose)

    def _move_to(self, device: torch.device) -> None:
        """Move the clips, which are read on the CPU, to the device of the generator."""
        if self.frames is not None and self.frames.device != device:
            self.frames = self.frames.to(device)
            self.weights = None if self.weights is None else self.weights.to(device)

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        assert self.frames is not None
        if self.weights is None:
            return torch.randint(len(self.frames), (count,), generator=generator, device=generator.device)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)


def _chance(share: float, count: int, frames: int, generator: torch.Generator) -> Tensor:
    """(count · frames, 1, 1, 1) true with this probability, the same for each `frames` in a row."""
    happens = torch.rand(count, generator=generator, device=generator.device) < share
    return happens.repeat_interleave(frames)[:, None, None, None]
