"""Which way is up: the tilt of the camera, estimated from people who stand or walk.

An image does not say how the camera was held. Most are held nearly level, and people who stand or walk are upright,
give or take some degrees. The two are combined as probabilities, for the pitch and for the roll: a prior over cameras,
and for each upright person the direction from the feet to the neck. The spreads below were measured on training clips
and virtual cameras; `docs/gravity.md` has what the estimate gains.

Frame: camera axes, x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import JointSet

Source = Literal["people", "level"]

LEVEL = (0.0, -1.0, 0.0)
# Prior over cameras in degrees, positive pitch for a camera that looks up: most are held level or a little high, some
# look from a balcony or from the ground. These are the virtual cameras of the training data.
_PITCH, _STEEP_SHARE, _STEEPEST = (-4.0, 9.0), 0.2, 45.0
_ROLL = 4.0
# Spread of an upright person's axis about the vertical, in degrees: their lean, and the error of their predicted body.
_AXIS_PITCH, _AXIS_ROLL = 8.0, 5.0
_OUTLIERS = 0.1  # share of people who pass for upright and are not: they lean on something, or lie
# An upright person: one leg straight (someone walks), legs in line with the trunk, the body drawn out to its length.
_STRAIGHT_KNEE, _BENT_HIPS, _EXTENT = 155.0, 25.0, 0.93
_GRID = np.arange(-75.0, 75.01, 0.5)


@dataclass(frozen=True)
class Gravity:
    """The direction that is up.

    Attributes:
        up: Unit vector in camera axes.
        spread_deg: Standard deviation of its angle: how far it may be off; 0 where it was not estimated.
        source: `people`, a guess from them; or `level`, where nobody is upright and the camera is taken for level.
        people: Number of upright people it rests on.
    """

    up: tuple[float, float, float]
    spread_deg: float
    source: Source
    people: int

    def describe(self) -> dict[str, Any]:
        """Its record in JSON documents."""
        return {
            "direction": [round(value, 4) for value in self.up],
            "source": self.source,
            "people": self.people,
            "spread_deg": round(self.spread_deg, 1),
        }

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) from camera axes to upright ones: the least turn that brings `up` to −y."""
        up, level = np.array(self.up), np.array(LEVEL)
        axis = np.cross(up, level)
        skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        return np.eye(3) + skew + skew @ skew / (1 + up @ level)


LEVEL_CAMERA = Gravity(LEVEL, 0.0, "level", 0)


def estimate_gravity(bodies: list[NDArray[np.floating]], joint_set: JointSet) -> Gravity:
    """Estimate which way is up.

    Args:
        bodies: For each person the joints (T, J, 3) of their frames (1 in an image), metres, camera axes.
        joint_set: Of the joints; without ankles, knees, hips, pelvis and neck the camera is taken for level.
    """
    axes = [axis for joints in bodies if (axis := _upright_axis(joints, joint_set)) is not None]
    pitch, pitch_spread = _posterior([_pitch(axis) for axis in axes], _pitch_prior(), _AXIS_PITCH)
    roll, roll_spread = _posterior([_roll(axis) for axis in axes], _normal(_GRID, 0.0, _ROLL), _AXIS_ROLL)
    spread = float(np.hypot(pitch_spread, roll_spread))
    if not axes:
        return Gravity(LEVEL, spread, "level", 0)
    tan_pitch, tan_roll = np.tan(np.deg2rad([pitch, roll]))
    up = np.array([tan_roll, -1.0, tan_pitch])
    x, y, z = (up / np.linalg.norm(up)).tolist()
    return Gravity((x, y, z), spread, "people", len(axes))


def _upright_axis(joints: NDArray[np.floating], joint_set: JointSet) -> NDArray[np.float64] | None:
    """Mean direction (3,) from the feet to the neck over the frames (T, J, 3) in which a person is upright, or None."""
    names = joint_set.names
    needed = [*(f"{side}_{name}" for name in ("hip", "knee", "ankle") for side in ("left", "right")), "pelvis", "neck"]
    if not set(needed) <= set(names):
        return None
    hips, knees, ankles = (joints[:, [names.index(name) for name in needed[i : i + 2]]] for i in (0, 2, 4))
    pelvis, neck = joints[:, names.index("pelvis")], joints[:, names.index("neck")]
    feet = ankles.mean(1)
    straight = np.maximum(*_angle(hips - knees, ankles - knees).T) > _STRAIGHT_KNEE
    in_line = _angle(neck - pelvis, pelvis - feet) < _BENT_HIPS
    leg = np.linalg.norm(hips - knees, axis=-1).mean(1) + np.linalg.norm(knees - ankles, axis=-1).mean(1)
    length = leg + np.linalg.norm(neck - pelvis, axis=-1)
    drawn_out = np.linalg.norm(neck - feet, axis=-1) > _EXTENT * length
    axes = (neck - feet) / np.maximum(np.linalg.norm(neck - feet, axis=-1, keepdims=True), 1e-9)
    # Further than the steepest camera from level, a person lies, or hangs upside down.
    axes = axes[straight & in_line & drawn_out & (axes[:, 1] < -0.5)]
    return None if not len(axes) else np.asarray(axes.mean(0), np.float64)


def _angle(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Angle in degrees between vectors (…, 3)."""
    lengths = np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-9)
    return np.rad2deg(np.arccos(np.clip((a * b).sum(-1) / lengths, -1, 1)))


def _pitch(up: NDArray[np.floating]) -> float:
    return float(np.rad2deg(np.arctan2(up[2], -up[1])))


def _roll(up: NDArray[np.floating]) -> float:
    return float(np.rad2deg(np.arctan2(up[0], -up[1])))


def _pitch_prior() -> NDArray[np.float64]:
    steep = np.where(np.abs(_GRID) <= _STEEPEST, 1 / (2 * _STEEPEST), 0)
    return np.asarray((1 - _STEEP_SHARE) * _normal(_GRID, *_PITCH) + _STEEP_SHARE * steep + 1e-9)


def _posterior(observed: list[float], prior: NDArray[np.float64], spread: float) -> tuple[float, float]:
    """Mean and standard deviation in degrees of an angle with a prior over `_GRID`, given observations of it."""
    weight = np.log(prior)
    for angle in observed:
        weight = weight + np.log((1 - _OUTLIERS) * _normal(_GRID, angle, spread) + _OUTLIERS / np.ptp(_GRID))
    share = np.exp(weight - weight.max())
    share /= share.sum()
    mean = float(share @ _GRID)
    return mean, float(np.sqrt(share @ np.square(_GRID - mean)))


def _normal(x: NDArray[np.float64], mean: float, spread: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * np.square((x - mean) / spread)) / (spread * np.sqrt(2 * np.pi)))
