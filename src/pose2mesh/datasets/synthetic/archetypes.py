"""Archetypes of poses that motion clips rarely hold: sitting, kneeling, on the floor, stretched; as ranges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_limits import REST_ELBOW_DEG, across_elbow
from pose2mesh.geometry.rotations import axis_rotation, rotation_from_vector

_LEG = ("flex", "abduct", "turn_out", "knee", "point")
_ARM = ("raise", "swing", "turn_in", "elbow")
# Ranges in degrees where an archetype names none. `lean` and `roll` turn the whole body: 90 is lying on the belly, or
# on the right side. `bend`, `side` and `twist` are those of the whole trunk, `nod`, `tilt` and `look` of neck and head.
# A leg: flexion, abduction and outward rotation of the hip, flexion of the knee, pointing of the foot. An arm: `raise`
# from hanging (0) over horizontal (90) to overhead (180), `swing` from sideways (0) to the front (90), inward rotation,
# flexion of the elbow.
_DEFAULT: dict[str, tuple[float, float]] = {
    "lean": (-12, 15), "roll": (-8, 8),
    "bend": (-15, 35), "side": (-15, 15), "twist": (-25, 25),
    "nod": (-25, 35), "tilt": (-15, 15), "look": (-50, 50),
    "flex": (-10, 20), "abduct": (-5, 15), "turn_out": (-15, 30), "knee": (0, 25), "point": (-15, 25),
    "raise": (5, 130), "swing": (-20, 100), "turn_in": (-50, 80), "elbow": (0, 130),
}  # fmt: skip


@dataclass(frozen=True)
class Archetype:
    """A family of poses.

    Attributes:
        share: Relative frequency.
        ranges: Range in degrees of each angle that differs from the default; both legs or arms.
        other: Ranges of the right leg and arm that differ from those of the left.
        alike: Share of poses with the right limbs like the left ones; without effect where `other` differs.
    """

    share: float
    ranges: dict[str, tuple[float, float]]
    other: dict[str, tuple[float, float]] | None = None
    alike: float = 0.4


_FREE_ARMS = {"raise": (0.0, 175.0), "swing": (-30.0, 110.0), "turn_in": (-60.0, 90.0), "elbow": (0.0, 140.0)}
_HANDS_ON_FLOOR = {"raise": (70.0, 105.0), "swing": (75.0, 100.0), "turn_in": (-30.0, 40.0), "elbow": (0.0, 25.0)}
_OVERHEAD = {"raise": (150.0, 180.0), "swing": (0.0, 70.0), "turn_in": (-30.0, 30.0), "elbow": (0.0, 25.0)}

ARCHETYPES: dict[str, Archetype] = {
    # On a seat.
    "chair": Archetype(3, {"flex": (70, 105), "abduct": (-8, 30), "turn_out": (-20, 30), "knee": (45, 120)}),
    "chair_hands_on_lap": Archetype(
        1.5,
        {
            "flex": (75, 100), "abduct": (-5, 25), "knee": (60, 115),
            "raise": (10, 40), "swing": (40, 90), "turn_in": (5, 50), "elbow": (30, 85),
        },
        alike=0.7,
    ),
    "legs_crossed": Archetype(
        1.5,
        {"flex": (90, 110), "abduct": (-22, -8), "turn_out": (0, 20), "knee": (60, 110)},
        {"flex": (75, 92), "abduct": (-5, 8), "turn_out": (-5, 10), "knee": (70, 110)},
    ),
    "ankle_on_knee": Archetype(
        0.7,
        {"flex": (85, 105), "abduct": (30, 50), "turn_out": (45, 70), "knee": (85, 120)},
        {"flex": (75, 95), "abduct": (0, 20), "turn_out": (-5, 20), "knee": (70, 110)},
    ),
    # On the floor.
    "long_sit": Archetype(1, {"lean": (-25, 5), "flex": (65, 105), "abduct": (-3, 40), "knee": (0, 30)}, alike=0.7),
    "cross_legged": Archetype(
        1.5, {"lean": (-20, 10), "flex": (80, 115), "abduct": (30, 55), "turn_out": (30, 65), "knee": (110, 145)},
        alike=0.7,
    ),
    "knees_up": Archetype(
        1.2,
        {
            "lean": (-30, 0), "flex": (95, 130), "abduct": (-5, 25), "knee": (85, 140),
            "raise": (30, 85), "swing": (40, 100), "elbow": (0, 100),
        },
        alike=0.6,
    ),
    "side_sit": Archetype(
        0.7,
        {"flex": (60, 100), "abduct": (15, 50), "turn_out": (20, 60), "knee": (80, 140)},
        {"flex": (30, 90), "abduct": (-5, 30), "turn_out": (-50, -15), "knee": (90, 145)},
    ),
    "lean_back_on_hands": Archetype(
        0.7,
        {
            "lean": (-50, -20), "flex": (40, 90), "knee": (0, 110),
            "raise": (20, 55), "swing": (-75, -40), "turn_in": (-60, 10), "elbow": (0, 20),
        },
        alike=0.6,
    ),
    # On the knees, low on the feet.
    "kneel": Archetype(1, {"flex": (-5, 35), "abduct": (-3, 20), "knee": (75, 115), "point": (10, 45)}, alike=0.7),
    "sit_on_heels": Archetype(
        1, {"lean": (-10, 25), "flex": (60, 110), "abduct": (-3, 25), "knee": (130, 150), "point": (15, 45)}, alike=0.8
    ),
    "kneel_on_one": Archetype(
        1.2,
        {"flex": (70, 110), "abduct": (-5, 30), "knee": (70, 120)},
        {"flex": (-25, 20), "abduct": (-5, 15), "knee": (75, 125), "point": (-20, 45)},
    ),
    "squat": Archetype(1.5, {"lean": (5, 50), "flex": (80, 130), "abduct": (0, 40), "knee": (90, 150)}, alike=0.7),
    "lunge": Archetype(
        1.2,
        {"lean": (-5, 40), "flex": (40, 110), "knee": (40, 115)},
        {"flex": (-35, 15), "knee": (0, 70), "point": (-25, 30)},
    ),
    # On hands and knees or feet.
    "all_fours": Archetype(
        1.5, {"lean": (65, 105), "nod": (-50, 30), "flex": (60, 115), "knee": (60, 120), **_HANDS_ON_FLOOR}
    ),
    "plank": Archetype(
        1.2, {"lean": (70, 95), "nod": (-45, 20), "flex": (-10, 25), "knee": (0, 15), **_HANDS_ON_FLOOR}, alike=0.8
    ),
    "push_up_low": Archetype(
        1.2,
        {
            "lean": (75, 95), "nod": (-45, 20), "flex": (-10, 20), "knee": (0, 15),
            "raise": (30, 90), "swing": (-10, 50), "turn_in": (-10, 60), "elbow": (60, 130),
        },
        alike=0.8,
    ),
    "plank_on_forearms": Archetype(
        0.6,
        {
            "lean": (75, 100), "nod": (-40, 20), "flex": (-10, 20), "knee": (0, 15),
            "raise": (70, 100), "swing": (70, 95), "turn_in": (-40, 40), "elbow": (75, 110),
        },
        alike=0.8,
    ),
    "side_plank": Archetype(
        0.5,
        {
            "roll": (-75, -45), "flex": (-10, 15), "knee": (0, 15),
            "raise": (75, 110), "swing": (-10, 35), "elbow": (0, 20),
        },
        _FREE_ARMS,
    ),
    "hands_and_feet": Archetype(
        0.8,
        {"lean": (90, 150), "nod": (-40, 20), "flex": (50, 125), "knee": (0, 60), **_OVERHEAD, "raise": (90, 180)},
        alike=0.6,
    ),
    "bridge": Archetype(
        0.5,
        {
            "lean": (-150, -80), "bend": (-60, -20), "nod": (-40, 10), "flex": (-20, 15), "knee": (60, 120),
            "raise": (20, 180), "swing": (0, 60),
        },
        alike=0.7,
    ),
    "handstand": Archetype(
        0.6, {"lean": (160, 200), "flex": (-30, 50), "abduct": (-5, 60), "knee": (0, 60), **_OVERHEAD}
    ),
    # Lying.
    "on_back": Archetype(
        1.5, {"lean": (-100, -75), "flex": (-5, 30), "abduct": (0, 35), "knee": (0, 50), **_FREE_ARMS}
    ),
    "on_back_knees_up": Archetype(
        1, {"lean": (-100, -60), "bend": (-5, 60), "flex": (30, 110), "knee": (50, 130), **_FREE_ARMS}
    ),
    "on_belly": Archetype(
        1.2, {"lean": (75, 100), "nod": (-50, 10), "flex": (-20, 15), "abduct": (0, 40), "knee": (0, 90), **_FREE_ARMS}
    ),
    "on_side": Archetype(
        1.2, {"roll": (65, 115), "flex": (-5, 110), "abduct": (-10, 25), "knee": (0, 130), **_FREE_ARMS}
    ),
    # Standing: arms where walking people do not have them.
    "arms_up": Archetype(2, {"raise": (125, 180), "swing": (-10, 90), "turn_in": (-60, 50), "elbow": (0, 130)}),
    "arms_crossed": Archetype(
        1, {"raise": (20, 45), "swing": (40, 75), "turn_in": (55, 85), "elbow": (80, 110)}, alike=0.8
    ),
    "behind_back": Archetype(
        0.8, {"raise": (10, 40), "swing": (-85, -50), "turn_in": (60, 110), "elbow": (10, 110)}, alike=0.7
    ),
    "hands_on_hips": Archetype(
        1, {"raise": (30, 60), "swing": (-40, 10), "turn_in": (50, 85), "elbow": (70, 105)}, alike=0.7
    ),
    "any_standing": Archetype(2, {"flex": (-25, 70), "abduct": (-10, 40), "knee": (0, 90), **_FREE_ARMS}, alike=0.2),
    # Stretched.
    "straddle": Archetype(1, {"flex": (-5, 100), "abduct": (40, 80), "turn_out": (5, 45), "knee": (0, 25)}, alike=0.6),
    "front_split": Archetype(
        0.5,
        {"lean": (-10, 25), "flex": (65, 105), "knee": (0, 15), **_FREE_ARMS},
        {"flex": (-50, -20), "knee": (0, 25), "point": (0, 45)},
    ),
    "high_kick": Archetype(
        1.2,
        {"lean": (-30, 15), "flex": (60, 130), "abduct": (-15, 40), "knee": (0, 40), "point": (-10, 45), **_FREE_ARMS},
        {"flex": (-10, 20), "knee": (0, 25)},
    ),
    "side_kick": Archetype(
        0.8,
        {"roll": (-50, 0), "flex": (0, 70), "abduct": (40, 80), "knee": (0, 60), **_FREE_ARMS},
        {"flex": (-10, 15), "knee": (0, 30)},
    ),
    "leg_behind": Archetype(
        0.8,
        {"lean": (0, 80), "flex": (-45, -10), "knee": (0, 90), "point": (0, 45), **_FREE_ARMS},
        {"flex": (0, 80), "knee": (0, 40)},
    ),
    "forward_bend": Archetype(
        1,
        {
            "lean": (20, 100), "bend": (15, 70), "flex": (40, 115), "knee": (0, 40),
            "raise": (40, 160), "swing": (50, 100),
        },
        alike=0.6,
    ),
}  # fmt: skip

_SHARED = ("lean", "roll", "bend", "side", "twist", "nod", "tilt", "look")
_LIMB = _LEG + _ARM


def sample_archetypes(count: int, generator: torch.Generator) -> Tensor:
    """Sample poses of the table, as rotations (count, 22, 3, 3) relative to the parent; see `pose_tree.to_world`.

    Each angle is uniform in its range. The face and the left side of the table are the body's: mirror half of them.
    """
    device = generator.device
    shares, shared, limbs, alike = _table(device)
    kind = torch.multinomial(shares, count, replacement=True, generator=generator)
    return pose_of_angles(*_sample_angles(kind, shared, limbs, alike, generator), generator)


def sample_archetype(name: str, count: int, generator: torch.Generator) -> Tensor:
    """As `sample_archetypes`, of one archetype."""
    _, shared, limbs, alike = _table(generator.device)
    kind = torch.full((count,), list(ARCHETYPES).index(name), device=generator.device)
    return pose_of_angles(*_sample_angles(kind, shared, limbs, alike, generator), generator)


def _sample_angles(
    kind: Tensor, shared: Tensor, limbs: Tensor, alike: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Angles of trunk (B, 8) and of both sides (B, 2, 9), radians, for archetypes (B,)."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(len(kind), *shape, generator=generator, device=kind.device)

    low, high = shared[kind].unbind(-1)
    trunk = low + (high - low) * uniform(len(_SHARED))
    place = uniform(2, len(_LIMB))
    same = uniform() < alike[kind]
    place[:, 1] = torch.where(same[:, None], place[:, 0] + 0.1 * (place[:, 1] - 0.5), place[:, 1])
    low, high = limbs[kind].unbind(-1)
    return trunk, low + (high - low) * place


def pose_of_angles(trunk: Tensor, limbs: Tensor, generator: torch.Generator) -> Tensor:
    """Parent-relative rotations (B, 22, 3, 3); see `pose_limits.limit_joints`.

    Args:
        trunk: (B, 8) angles of `_SHARED`, radians.
        limbs: (B, 2, 9) angles of the legs and arms, left and right.
        generator: For the small rotations of hands and collars.
    """
    count, device = len(trunk), trunk.device
    lean, roll, bend, side, twist, nod, tilt, look = trunk.unbind(1)
    flex, abduct, turn_out, knee, point, raise_, swing, turn_in, elbow = limbs.unbind(2)
    sign = torch.tensor([1.0, -1.0], device=device)
    zero = torch.zeros_like(flex)
    small = 0.12 * torch.randn(count, 8, 3, generator=generator, device=device)

    vectors = torch.zeros(count, len(BODY_BONES), 3, device=device)
    vectors[:, _bones("Spine", "Spine1", "Spine2")] = torch.stack((bend, side, twist), dim=1)[:, None] / 3
    vectors[:, _bones("Neck", "Head")] = torch.stack((nod, tilt, look), dim=1)[:, None] / 2
    straight_knee = torch.deg2rad(torch.tensor(10.0))  # the template's are bent by this much
    vectors[:, _sides("Leg")] = torch.stack((knee - straight_knee, zero, zero), dim=2)
    vectors[:, _sides("Foot")] = torch.stack((point, zero, zero), dim=2) + small[:, 0:2]
    axis = torch.tensor([across_elbow(1.0), across_elbow(-1.0)], device=device)
    vectors[:, _sides("ForeArm")] = -(elbow - torch.deg2rad(torch.tensor(REST_ELBOW_DEG)))[..., None] * axis
    vectors[:, _sides("Hand")] = 2.5 * small[:, 2:4]
    # Above the horizontal the collar takes a part of the arm's elevation.
    collar = 0.25 * (raise_ - torch.pi / 2).clamp_min(0)
    vectors[:, _sides("Shoulder")] = torch.stack((zero, -sign * collar, zero), dim=2) + small[:, 4:6]
    arm = torch.tensor([[0.75, 0.0, -0.66], [-0.75, 0.0, -0.66]], device=device)
    # The swing alone is the smallest rotation from a hanging arm, whose elbow bends to the front.
    vectors[:, _sides("Arm")] = (sign * (turn_in - swing))[..., None] * arm
    vectors[:, _sides("UpLeg")] = torch.stack((zero, zero, sign * turn_out), dim=2)

    local = rotation_from_vector(vectors)
    local[:, 0] = axis_rotation(1, roll) @ axis_rotation(0, lean)
    rest_raise = torch.deg2rad(torch.tensor(49.0))
    elevate = axis_rotation(1, -sign * (raise_ - collar - rest_raise))
    local[:, _sides("Arm")] = axis_rotation(2, -sign * swing) @ elevate @ local[:, _sides("Arm")]
    thigh = axis_rotation(0, -flex) @ axis_rotation(1, -sign * abduct)
    local[:, _sides("UpLeg")] = thigh @ local[:, _sides("UpLeg")]
    return local


def _bones(*names: str) -> list[int]:
    return [BODY_BONES.index(name) for name in names]


def _sides(name: str) -> list[int]:
    return _bones(f"Left{name}", f"Right{name}")


@cache
def _table(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares (A,), ranges of `_SHARED` (A, 8, 2) and of both sides (A, 2, 9, 2) in radians, and `alike` (A,)."""
    shared, limbs, alike = [], [], []
    for archetype in ARCHETYPES.values():
        left = {**_DEFAULT, **archetype.ranges}
        right = {**left, **(archetype.other or {})}
        shared.append([left[name] for name in _SHARED])
        limbs.append([[side[name] for name in _LIMB] for side in (left, right)])
        alike.append(archetype.alike)
    shares = torch.tensor([archetype.share for archetype in ARCHETYPES.values()], device=device)
    return (
        shares,
        torch.deg2rad(torch.tensor(shared, device=device)),
        torch.deg2rad(torch.tensor(limbs, device=device)),
        torch.tensor(alike, device=device),
    )
