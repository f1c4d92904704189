"""Position of each mesh face on the mean adult in the rest pose; clothes and hair are cut by these coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.baselines.rendering.body_parts import PART_NAMES, face_parts
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.skeletons import COCO

_HEAD, _TORSO = PART_NAMES.index("head"), PART_NAMES.index("torso")
_SPOT_M = 0.017  # radius of the eye and brow region around the COCO eye joint


@dataclass(frozen=True)
class SurfaceRegions:
    """Region and coordinates of each of the `F` faces.

    Attributes:
        part: (F,) index into `PART_NAMES`.
        arm, leg, torso, head, foot: (F,) membership masks; hands count as arms.
        along: (F,) arms: 0 at the shoulder, 0.5 at the elbow, 1 at the wrist; legs: 0 at the hip, 0.5 at the knee, 1
            at the ankle; torso: 0 at the hips, 1 at the base of the neck; elsewhere 0.
        run_m, side_m: (F,) metres along the limb or up the body, and across; texture coordinates of cloth patterns.
        front: (F,) distance in front of the middle of the torso, metres; 0 off the torso.
        up, back: (F,) height above the eyes and distance behind the ears, metres; meaningful on the head.
        spot: (F,) whether the face belongs to an eye or a brow.
    """

    part: Tensor
    arm: Tensor
    leg: Tensor
    torso: Tensor
    head: Tensor
    foot: Tensor
    along: Tensor
    run_m: Tensor
    side_m: Tensor
    front: Tensor
    up: Tensor
    back: Tensor
    spot: Tensor

    @classmethod
    def of(cls, body: BodyModel) -> SurfaceRegions:
        """Compute the regions of a body model from its template and skinning weights."""
        part = face_parts(body)
        kind = [name.removeprefix("left_").removeprefix("right_") for name in PART_NAMES]
        arm, leg, foot = (
            torch.tensor([name in names for name in kind])[part]
            for names in (("upper_arm", "forearm"), ("thigh", "shank"), ("foot",))
        )
        torso, head = part == _TORSO, part == _HEAD
        middle = body.template[body.faces].mean(1)
        bones = body.template_heads()
        along, run, side = torch.zeros(len(middle)), middle[:, 2].clone(), middle[:, 0].clone()
        neck, hips = bones["Neck"], bones["Hips"]
        along[torso] = ((middle[:, 2] - hips[2]) / (neck[2] - hips[2]))[torso]
        for name, limb, chain in (
            ("Left", arm, ("Arm", "ForeArm", "Hand")),
            ("Right", arm, ("Arm", "ForeArm", "Hand")),
            ("Left", leg, ("UpLeg", "Leg", "Foot")),
            ("Right", leg, ("UpLeg", "Leg", "Foot")),
        ):
            sided = limb & torch.tensor([f"{name.lower()}_" in part_name for part_name in PART_NAMES])[part]
            joints = torch.stack([bones[name + bone] for bone in chain])
            along[sided] = _along(middle[sided], joints)
            if limb is arm:
                run[sided] = along[sided] * (joints[2] - joints[0]).norm()
                side[sided] = middle[sided, 1]
        eyes = body.regressor(COCO)[[COCO.index("left_eye"), COCO.index("right_eye")]] @ body.template
        ears = (body.regressor(COCO)[[COCO.index("left_ear"), COCO.index("right_ear")]] @ body.template).mean(0)
        near = (middle[:, None, [0, 2]] - eyes[:, [0, 2]]).norm(dim=-1).amin(1)
        return cls(
            part, arm, leg, torso, head, foot, along, run, side,
            front=(hips[1] - middle[:, 1]) * torso,
            up=middle[:, 2] - eyes[:, 2].mean(),
            back=middle[:, 1] - ears[1],
            spot=head & (near < _SPOT_M) & (middle[:, 1] < ears[1]),
        )  # fmt: skip


def _along(points: Tensor, joints: Tensor) -> Tensor:
    """Coordinate (N,) of points (N, 3) along a limb of two bones with end points (3, 3).

    It runs from 0 to 0.5 on the first bone and to 1 on the second, and is extrapolated linearly beyond the ends.
    """
    upper, lower = joints[1] - joints[0], joints[2] - joints[1]
    first = (points - joints[0]) @ upper / upper.square().sum()
    second = (points - joints[1]) @ lower / lower.square().sum()
    nearer_first = first < 1 - second.clamp(0, 1)
    return 0.5 * torch.where(nearer_first, first.clamp(max=1), 1 + second.clamp(min=0))
