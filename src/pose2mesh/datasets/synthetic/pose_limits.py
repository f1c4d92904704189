"""Ranges of motion of the joints, and poses brought inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import radians

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES
from pose2mesh.geometry.rotations import rotation_between, rotation_from_vector

# Ranges of motion in degrees about x (bend), y and z, in the rest pose's world axes, for the left side; the right
# mirrors y and z. A positive x leans bones that point up (trunk, head) forwards and swings bones that point down
# (thigh, shank) backwards.
# After the ranges of healthy adults in Norkin and White, Measurement of Joint Motion, narrowed where extremes of
# several joints together would pass through the body.
LIMITS_DEG: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
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
REST_ELBOW_DEG = 42.0
LARGEST_ELBOW_DEG = 150.0


def across_elbow(sign: float) -> tuple[float, float, float]:
    """The axis that a forearm bends about, backwards; sign 1 for the left."""
    return (0.66, 0.0, 0.75 * sign)


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
    for name, ranges in LIMITS_DEG.items():
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
                across_elbow(sign),
                REST_ELBOW_DEG - LARGEST_ELBOW_DEG,
                REST_ELBOW_DEG,
            )
        )
    bone, axis_, low_deg, high_deg = (torch.tensor(column) for column in zip(*rows, strict=True))
    unit_axis = torch.nn.functional.normalize(axis_, dim=1)
    return AngleLimits(bone, unit_axis, torch.deg2rad(low_deg), torch.deg2rad(high_deg))


# Least and largest bend from straight, and outward angle. The plane of knees and elbows is not exact in captured
# skeletons. Wide enough for dancers.
_KNEE_RAD = (radians(-6), radians(152), radians(-25), radians(25))
_ELBOW_RAD = (radians(-6), radians(152), radians(-30), radians(30))
# Flexion and abduction of a hip with a straight knee; and where the knee is bent by a right angle, which frees the
# muscles at the back of the thigh and stretches those at its front.
_HIP_RAD = (radians(-45), radians(115), radians(-35), radians(80))
_BENT_HIP_EXTENSION_RAD = radians(-20)
_BENT_HIP_FLEXION_RAD = radians(140)


def limit_joints(local: Tensor) -> Tensor:
    """Parent-relative rotations (B, 22, 3, 3) with the joints of the limbs turned back into their ranges of motion.

    Knees and elbows bend one way, in a plane. How far a hip bends or stretches depends on its knee, how far an upper
    arm reaches backwards and turns about itself on its elevation.
    """
    local = local.clone()
    _limit_hinges(local)
    _limit_shoulders(local)
    return local


def _limit_hinges(local: Tensor) -> None:
    """Limit the directions of shanks, forearms and thighs in place, by the smallest rotation; their twist stays."""
    joints = _hinges(local.device)
    direction = joints.axes @ (local[:, joints.bone] @ joints.way[..., None])
    along, across, side = direction[..., 0].unbind(-1)
    bend, sideways = torch.atan2(across, along), torch.asin(side.clamp(-1, 1))
    low, high, side_low, side_high = (bound.expand_as(bend).clone() for bound in joints.bounds)
    # A joint that is bent the wrong way by more than half a turn less its range is bent too far.
    bend = torch.where(bend < (low + high) / 2 - torch.pi, bend + 2 * torch.pi, bend)
    bent = (bend[:, :2] / radians(90)).clamp(0, 1)
    low[:, 4:] += (_BENT_HIP_EXTENSION_RAD - _HIP_RAD[0]) * bent
    high[:, 4:] += (_BENT_HIP_FLEXION_RAD - _HIP_RAD[1]) * bent
    allowed, allowed_side = bend.clamp(low, high), sideways.clamp(side_low, side_high)
    pose, joint = ((allowed != bend) | (allowed_side != sideways)).nonzero(as_tuple=True)
    bend, sideways = allowed[pose, joint], allowed_side[pose, joint]
    inside = torch.stack((sideways.cos() * bend.cos(), sideways.cos() * bend.sin(), sideways.sin()), dim=-1)
    axes = joints.axes[joint]
    source, target = ((axes.mT @ part[..., None])[..., 0] for part in (direction[pose, joint, :, 0], inside))
    bone = joints.bone[joint]
    local[pose, bone] = rotation_between(source, target) @ local[pose, bone]


def _limit_shoulders(local: Tensor) -> None:
    """Limit direction and twist of the upper arms relative to the trunk, in place.

    Bounds are linear in the height z of the arm's direction, from −1 hanging to 1 overhead; they contain all but some
    0.5% of the training clips' frames (those of arms whose twist a bent elbow shows).
    """
    joints = _shoulders(local.device)
    arm = local[:, joints.collar] @ local[:, joints.bone]
    outwards, backwards, z = (arm @ joints.way[..., None])[..., 0].unbind(-1)
    raised = (z + 0.2).clamp(0, 0.8) / 0.8
    allowed = torch.stack(
        (
            torch.maximum(outwards * joints.sign, -0.70 + 0.35 * raised) * joints.sign,
            torch.minimum(backwards, 0.88 - 0.58 * raised),
            z,
        ),
        dim=-1,
    )
    direction = torch.stack((outwards, backwards, z), dim=-1)
    pose, joint = (allowed != direction).any(-1).nonzero(as_tuple=True)
    arm[pose, joint] = rotation_between(direction[pose, joint], allowed[pose, joint]) @ arm[pose, joint]

    # Twist about the arm after the smallest rotation from its direction at rest; positive is inwards.
    turn = torch.stack(
        (arm[..., 2, 1] - arm[..., 1, 2], arm[..., 0, 2] - arm[..., 2, 0], arm[..., 1, 0] - arm[..., 0, 1])
    )
    along = (turn * joints.way.T[:, None]).sum(0)
    twist = 2 * joints.sign * torch.atan2(along, 1 + arm.diagonal(dim1=-2, dim2=-1).sum(-1))
    elevation = torch.asin((arm[..., 2, :] * joints.way).sum(-1).clamp(-1, 1))
    inwards = radians(120) - 2 * elevation.clamp_min(0)
    outwards = -radians(65) - radians(50) * ((elevation + torch.pi / 2) / radians(60)).clamp_max(1)
    excess = twist - torch.minimum(torch.maximum(twist, outwards), inwards)
    pose, joint = (excess != 0).nonzero(as_tuple=True)
    back = -(excess * joints.sign)[pose, joint, None] * joints.way[joint]
    arm[pose, joint] = arm[pose, joint] @ rotation_from_vector(back)
    local[:, joints.bone] = local[:, joints.collar].mT @ arm


@dataclass(frozen=True)
class HingeJoints:
    """Knees, elbows and hips, left and right, with axes in which the direction of the bone below is two angles.

    Attributes:
        bone: (6,) index into `BODY_BONES`.
        way: (6, 3) unit direction of the bone in the template.
        axes: (6, 3, 3) rows: the direction of a straight joint, that of one bent by 90°, and outwards.
        bounds: (4, 6) least and largest bend and outward angle, radians, for a straight knee.
    """

    bone: Tensor
    way: Tensor
    axes: Tensor
    bounds: Tensor


@cache
def _hinges(device: torch.device) -> HingeJoints:
    rows = []
    for part, bounds in (("Leg", _KNEE_RAD), ("ForeArm", _ELBOW_RAD), ("UpLeg", _HIP_RAD)):
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            # The axis that a positive angle bends the joint about, and the direction of a straight one.
            axis, straight = {
                "Leg": ((1.0, 0.0, 0.0), TEMPLATE_BONES[f"{side}UpLeg"]),
                "ForeArm": (tuple(-x for x in across_elbow(sign)), TEMPLATE_BONES[f"{side}Arm"]),
                "UpLeg": ((-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
            }[part]
            axes = _axes(_unit(axis), _unit(straight), sign)
            rows.append((BODY_BONES.index(side + part), _unit(TEMPLATE_BONES[side + part]), axes, torch.tensor(bounds)))
    bone, way, axes_, bounds_ = zip(*rows, strict=True)
    return HingeJoints(
        torch.tensor(bone, device=device),
        torch.stack(way).to(device),
        torch.stack(axes_).to(device),
        torch.stack(bounds_, dim=1).to(device),
    )


@dataclass(frozen=True)
class ShoulderJoints:
    """The upper arms, left and right.

    Attributes:
        bone, collar: (2,) indices into `BODY_BONES`.
        way: (2, 3) unit direction of the arm in the template.
        sign: (2,) of the x axis outwards.
    """

    bone: Tensor
    collar: Tensor
    way: Tensor
    sign: Tensor


@cache
def _shoulders(device: torch.device) -> ShoulderJoints:
    return ShoulderJoints(
        torch.tensor([BODY_BONES.index("LeftArm"), BODY_BONES.index("RightArm")], device=device),
        torch.tensor([BODY_BONES.index("LeftShoulder"), BODY_BONES.index("RightShoulder")], device=device),
        torch.stack([_unit(TEMPLATE_BONES["LeftArm"]), _unit(TEMPLATE_BONES["RightArm"])]).to(device),
        torch.tensor([1.0, -1.0], device=device),
    )


def _axes(axis: Tensor, straight: Tensor, sign: float) -> Tensor:
    """(3, 3) rows: straight, bent by 90° about `axis`, and outwards on this side of the body."""
    along = _unit(straight - (straight @ axis) * axis)
    outwards = axis if float(axis[0]) * sign > 0 else -axis
    return torch.stack((along, torch.linalg.cross(axis, along), outwards))


def _unit(vector: Sequence[float] | Tensor) -> Tensor:
    return torch.nn.functional.normalize(torch.as_tensor(vector, dtype=torch.float32), dim=0)
