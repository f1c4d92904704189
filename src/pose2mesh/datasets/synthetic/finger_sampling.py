"""Sampling of finger poses inside the limits of their joints, without any file.

A hand is one of the archetypes below or between two of them, with errors that neighbouring fingers share. Angles are
those of the clinic: 0° for a straight finger in line with its metacarpal, flexion positive. The last joint of a finger
follows the middle one, at two thirds of its angle (Rijpkema and Girard 1991, Computer animation of knowledge-based
human grasping), since one tendon bends both.

Convention: all axes are those of the template's left hand (`finger_retarget.TEMPLATE_FINGERS`); right hands are
mirrored left ones. Rotations are relative to the hand (`body_models.finger_pose`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.bones import FINGERS
from pose2mesh.body_models.finger_pose import mirror_fingers
from pose2mesh.datasets.synthetic.directions import unit
from pose2mesh.datasets.synthetic.finger_retarget import template_fingers
from pose2mesh.geometry.rotations import rotation_from_vector

# The 16 angles of a hand: of the thumb its opposition (about the middle finger, to the front of the palm), its
# adduction (in the plane of the palm, to the index finger), and its two flexions; then of each other finger the
# flexion of its base, its spread (away from the middle finger; of that, to the little finger) and the flexion of its
# middle joint. The thumb's first two are relative to the template at rest, where the thumb is spread.
THUMB_ANGLES = ("opposition", "adduction", "base", "tip")
FINGER_ANGLES = ("base", "spread", "middle")

# Ranges of motion in degrees after Norkin and White, Measurement of Joint Motion.
_THUMB_LIMITS = ((-10, 75), (-20, 35), (-10, 60), (-15, 80))
_FINGER_LIMITS = ((-25, 90), (-10, 28), (0, 105))
_LAST_PER_MIDDLE = 2 / 3

# Name: share, the thumb's four angles, and (base, spread, middle) of the index, middle, ring and little finger.
ARCHETYPES: dict[str, tuple[float, tuple[float, ...], tuple[tuple[float, float, float], ...]]] = {
    "relaxed": (0.17, (20, 8, 10, 10), ((20, 2, 30), (27, 0, 34), (32, 2, 37), (34, 4, 36))),
    "open": (0.12, (0, 5, 0, 0), ((0, 5, 6), (0, 0, 6), (0, 5, 6), (0, 9, 6))),
    "flat": (0.08, (0, 20, 0, 5), ((5, -3, 5), (5, 0, 5), (5, -3, 5), (5, -5, 5))),
    "spread": (0.06, (-5, -10, -5, -5), ((-8, 16, 6), (-8, 0, 6), (-8, 11, 6), (-6, 26, 6))),
    "fist": (0.14, (60, -10, 20, 50), ((82, 0, 98), (84, 0, 100), (85, 0, 100), (85, 2, 98))),
    "loose fist": (0.07, (55, -3, 30, 35), ((55, 0, 75), (60, 0, 78), (64, 0, 80), (66, 2, 78))),
    "thumb up": (0.04, (-5, 0, 0, -10), ((80, 0, 96), (84, 0, 98), (85, 0, 98), (85, 2, 96))),
    "point": (0.07, (58, -8, 20, 35), ((3, 0, 8), (76, 0, 95), (82, 0, 98), (84, 2, 96))),
    "two": (0.03, (55, -5, 30, 40), ((2, 12, 6), (2, 0, 6), (80, 0, 98), (84, 2, 96))),
    "grip": (0.09, (60, -8, 12, 32), ((46, 2, 52), (50, 0, 55), (54, 2, 56), (56, 5, 52))),
    "hook": (0.04, (10, 5, 10, 10), ((8, 0, 88), (8, 0, 90), (10, 0, 90), (12, 2, 85))),
    "pinch": (0.06, (30, -12, 8, 24), ((52, 0, 44), (32, 0, 36), (28, 2, 30), (24, 5, 26))),
    "claw": (0.03, (20, -15, 10, 30), ((-10, 12, 52), (-10, 0, 55), (-10, 8, 55), (-8, 18, 52))),
}
_BLENDED_SHARE = 0.4
_ALIKE_SHARE = 0.5  # of pairs of hands
# Standard deviations in degrees of the errors around an archetype, of the hand as a whole and of each angle.
_SHARED_DEG, _OWN_DEG, _SPREAD_DEG = 6.0, 6.0, 3.0

_COLUMNS = len(THUMB_ANGLES) + len(FINGER_ANGLES) * (len(FINGERS) - 1)
_IS_SPREAD = [column >= len(THUMB_ANGLES) and (column - len(THUMB_ANGLES)) % 3 == 1 for column in range(_COLUMNS)]


def angle_bounds() -> tuple[Tensor, Tensor]:
    """The least and the largest of the 16 angles of a hand, (16,) each in degrees."""
    bounds = torch.tensor([*_THUMB_LIMITS, *_FINGER_LIMITS * (len(FINGERS) - 1)], dtype=torch.float32)
    return bounds[:, 0], bounds[:, 1]


def sample_fingers(count: int, generator: torch.Generator) -> Tensor:
    """Sample finger rotations (count, 30, 3, 3) of both hands, in half of the samples alike."""
    left, right = (sample_hand_angles(count, generator) for _ in range(2))
    alike = torch.rand(count, 1, generator=generator, device=generator.device) < _ALIKE_SHARE
    low, high = (bound.to(generator.device) for bound in angle_bounds())
    near = (left + _OWN_DEG * torch.randn(left.shape, generator=generator, device=generator.device)).clamp(low, high)
    return finger_rotations(left, torch.where(alike, near, right))


def sample_hand_angles(count: int, generator: torch.Generator) -> Tensor:
    """Sample the 16 angles of a hand (count, 16) in degrees, inside `angle_bounds`."""
    device = generator.device
    shares = torch.tensor([share for share, _, _ in ARCHETYPES.values()], device=device)
    table = torch.tensor([archetype_angles(name) for name in ARCHETYPES], device=device)
    first, second = (table[torch.multinomial(shares, count, True, generator=generator)] for _ in range(2))
    uniform = torch.rand(count, 2, generator=generator, device=device)
    blend = torch.where(uniform[:, :1] < _BLENDED_SHARE, uniform[:, 1:], torch.zeros_like(uniform[:, 1:]))
    shared = _SHARED_DEG * torch.randn(count, 1, generator=generator, device=device)
    own = _OWN_DEG * torch.randn(count, _COLUMNS, generator=generator, device=device)
    is_spread = torch.tensor(_IS_SPREAD, device=device)
    noise = torch.where(is_spread, own * (_SPREAD_DEG / _OWN_DEG), own + shared)
    low, high = (bound.to(device) for bound in angle_bounds())
    return (first + blend * (second - first) + noise).clamp(low, high)


def archetype_angles(name: str) -> list[float]:
    """The 16 angles of an archetype in degrees."""
    _, thumb, fingers = ARCHETYPES[name]
    return [float(angle) for angle in (*thumb, *(angle for finger in fingers for angle in finger))]


def finger_rotations(left_deg: Tensor, right_deg: Tensor) -> Tensor:
    """Finger rotations (B, 30, 3, 3) from the angles (B, 16) of the left and the right hand in degrees."""
    mirrored = mirror_fingers(torch.cat((_left_hand(right_deg),) * 2, dim=1))
    return torch.cat((_left_hand(left_deg), mirrored[:, 15:]), dim=1)


def _left_hand(angles_deg: Tensor) -> Tensor:
    """Rotations (B, 15, 3, 3) of the left hand's finger bones relative to the hand, from angles (B, 16)."""
    angles = torch.deg2rad(angles_deg)
    template = template_fingers("Left")
    along = unit(template["Middle"][0])
    across = template["Pinky"][0] - template["Index"][0]
    across = unit(across - along * (across @ along))
    back = np.cross(along, across)  # out of the back of the hand; turns about it lead to the little finger
    middle_way = template["Middle"][1]
    out: list[Tensor] = []

    def about(axis: np.ndarray, angle: Tensor) -> Tensor:
        return rotation_from_vector(angle[:, None] * torch.from_numpy(axis).to(angle))

    for number, finger in enumerate(FINGERS):
        knuckle, *ways = template[finger]
        if finger == "Thumb":
            hinge = unit(np.cross(ways[0], ways[2]))
            opposition, adduction, base, tip = angles[:, :4].unbind(1)
            local = [about(along, opposition) @ about(back, adduction), about(hinge, base), about(hinge, tip)]
        else:
            base, spread, middle = angles[:, 3 * number + 1 : 3 * number + 4].unbind(1)
            hinges = [unit(across - unit(way) * (across @ unit(way))) for way in ways]
            rest = [_bend(above, way, hinge) for above, way, hinge in zip([knuckle, *ways], ways, hinges, strict=False)]
            spread_at_rest = _bend(middle_way, ways[0], back)
            outwards = -1.0 if finger == "Index" else 1.0
            local = [
                about(back, outwards * spread - spread_at_rest) @ about(hinges[0], base - rest[0]),
                about(hinges[1], middle - rest[1]),
                about(hinges[2], _LAST_PER_MIDDLE * middle - rest[2]),
            ]
        for joint in range(3):
            out.append(local[joint] if joint == 0 else out[-1] @ local[joint])
    return torch.stack(out, dim=1)


def _bend(above: np.ndarray, way: np.ndarray, hinge: np.ndarray) -> float:
    """Angle in radians about a hinge from the direction above to that of a bone, both seen along the hinge."""
    return math.atan2(float(np.cross(above, way) @ hinge), float(above @ way - (above @ hinge) * (way @ hinge)))
