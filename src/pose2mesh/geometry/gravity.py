"""Which way is up: the tilt of the camera, estimated from the bodies of people.

An image does not say how the camera was held. A body tells where up is: a standing person's along the legs and the
trunk, a bent or seated one's less surely. Up is predicted as a linear combination of directions of the body, each times
the bends of hips and knees, with coefficients from a least-squares fit over recovered people in poses of the training
clips (`benchmarks/gravity.py --fit`). The length of the prediction, an estimate of the expected cosine of its error,
states how certain it is. Several people on one ground say more: the heights of their feet agree.

All evidence is combined as probabilities on a grid of pitch and roll, with a prior over cameras: most are held level or
a little high. `docs/gravity.md` has what the estimate gains.

Frame: camera axes, x right, y down, z forward, metres. Pitch is positive for a camera that looks down, roll where
upright things lean clockwise in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]
Source = Literal["people", "level"]

LEVEL = (0.0, -1.0, 0.0)
_JOINTS = (
    "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_LEAST_CONFIDENCE = 0.05

# Of `pose_features`: those of trunk, thighs, shanks, ankles to hips, ankles to neck and front, four each.
_WITH_LEGS = (
    0.262, 0.325, -0.016, -0.201, 0.104, -0.145, 0.270, -0.213, 0.363, 0.001, -0.303, 0.010,
    -0.436, -0.098, -0.016, 0.379, 0.026, 0.449, 0.012, 0.128, -0.447, -0.018, 0.147, 0.224,
)  # fmt: skip
_WITHOUT_LEGS = (0.913, -0.174)  # trunk, front

# Prior over cameras in degrees: the virtual cameras of the training data.
_PITCH, _STEEP_SHARE, _STEEPEST = (4.0, 9.0), 0.2, 45.0
_ROLL = 4.0
_GRID_PITCH, _GRID_ROLL = np.arange(-60, 60.1, 1.5), np.arange(-36, 36.1, 1.5)

# Chosen on synthetic people of the training clips.
_MOST_FRAMES = 60  # of a track
_LEAST_ERROR = 8.0  # degrees, of one person, however certain the pose
_DEPENDENCE = 0.2  # people of one image share errors: n of them count as n ** (1 - this)
_TRACK_WEIGHT = 4.0  # a track counts as at most that many people
_SHARED_ERROR = 4.0  # degrees, of all people together, such as from a wrong focal length
_LARGEST_SPREAD = 14.5  # degrees; a less certain estimate is no better than a level camera
_AGREEING = 30.0  # degrees between the estimate and the people that it rests on
_SIZE_ERROR = 0.06  # relative error of a person's size, and so of their distance
_FOOT_ERROR_M = 0.06  # of a foot's height above the ground
_LEAST_HEIGHT_M = 0.1  # of a camera above the feet


@dataclass(frozen=True)
class Gravity:
    """The direction that is up.

    Attributes:
        up: Unit vector in camera axes.
        spread_deg: Standard deviation of its angle: how far it may be off; 0 where it was not estimated.
        source: `people`, a guess from them; or `level`, where they say too little and the camera is taken for level.
        people: Number of people it rests on.
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


def estimate_gravity(
    bodies: Sequence[Floats], joint_set: JointSet, confidence: Sequence[Floats] | None = None
) -> Gravity:
    """Estimate which way is up.

    Args:
        bodies: For each person the joints (T, J, 3) of their frames (1 in an image) in the camera frame, metres.
        joint_set: Of the joints; without shoulders, hips, knees and ankles the camera is taken for level.
        confidence: For each person the confidences (T, J) of the observed 2D joints, 0 where missing: legs that were
            not observed are left out. None if all joints were observed.
    """
    ups, evidence = _grid(), np.zeros(len(_grid()))
    axes, feet = [], []
    for index, joints in enumerate(bodies if set(_JOINTS) <= set(joint_set.names) else ()):
        seen = np.ones(joints.shape[:2]) if confidence is None else confidence[index]
        every = slice(None, None, max(1, -(-len(joints) // _MOST_FRAMES)))
        found, errors, ankles = _predict_up(np.asarray(joints, np.float64)[every], seen[every], joint_set)
        if not len(found):
            continue
        # Neighbouring frames of a track share their errors.
        evidence += min(1.0, _TRACK_WEIGHT / len(found)) * _log_pose(ups, found, errors).sum(0)
        axes.append(found.mean(0) / max(float(np.linalg.norm(found.mean(0))), 1e-9))
        if len(ankles):
            feet.append(ankles)
    evidence *= max(len(axes), 1) ** -_DEPENDENCE
    up, spread = _mean_direction(_log_prior() + evidence + _log_ground(ups, feet))
    agreeing = sum(float(axis @ up) > np.cos(np.deg2rad(_AGREEING)) for axis in axes)
    spread = float(np.hypot(spread, _SHARED_ERROR))
    if not agreeing or spread > _LARGEST_SPREAD:
        return Gravity(LEVEL, _mean_direction(_log_prior())[1], "level", 0)
    x, y, z = up.tolist()
    return Gravity((x, y, z), spread, "people", int(agreeing))


def pose_features(
    joints: Floats, confidence: Floats, joint_set: JointSet, legs: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """Directions of bodies (N, K, 3), each times the bends of hips and knees, and whether (N,) their joints are seen.

    Args:
        joints: (N, J, 3), any origin.
        confidence: (N, J) of the 2D joints.
        joint_set: Of the joints.
        legs: Whether to use the legs; without them, trunk and front alone, for people who are cut by the border.
    """
    at = {name: np.asarray(joints[:, joint_set.index(name)], np.float64) for name in _JOINTS}
    needed = [joint_set.index(name) for name in (_JOINTS if legs else _JOINTS[:4])]
    seen = np.asarray((confidence[:, needed] > _LEAST_CONFIDENCE).all(1))
    neck, hips = ((at[f"left_{part}"] + at[f"right_{part}"]) / 2 for part in ("shoulder", "hip"))
    trunk = _unit(neck - hips)
    front = _unit(np.cross(at["left_hip"] - at["right_hip"], trunk))
    if not legs:
        return np.stack([trunk, front], axis=1), seen
    ankles = (at["left_ankle"] + at["right_ankle"]) / 2
    thighs = [_unit(at[f"{side}_hip"] - at[f"{side}_knee"]) for side in ("left", "right")]
    shanks = [_unit(at[f"{side}_knee"] - at[f"{side}_ankle"]) for side in ("left", "right")]
    directions = (trunk, sum(thighs), sum(shanks), _unit(hips - ankles), _unit(neck - ankles), front)
    hip = sum((trunk * thigh).sum(-1) for thigh in thighs) / 2
    knee = sum((thigh * shank).sum(-1) for thigh, shank in zip(thighs, shanks, strict=True)) / 2
    bends = (np.ones_like(hip), hip, knee, hip * knee)
    return np.stack([direction * bend[:, None] for direction in directions for bend in bends], axis=1), seen


def _predict_up(joints: Floats, confidence: Floats, joint_set: JointSet) -> tuple[Floats, Floats, Floats]:
    """Predicted directions up (N, 3), their errors (N,) in degrees, and the ankles (M, 2, 3), of the frames of use."""
    with_legs, legs_seen = pose_features(joints, confidence, joint_set, legs=True)
    without_legs, seen = pose_features(joints, confidence, joint_set, legs=False)
    up = np.where(
        legs_seen[:, None],
        np.einsum("nkc,k->nc", with_legs, _WITH_LEGS),
        np.einsum("nkc,k->nc", without_legs, _WITHOUT_LEGS),
    )[seen]
    length = np.linalg.norm(up, axis=1).clip(1e-6)
    # 1 − cos is half the squared angle.
    errors = np.rad2deg(np.sqrt(2 * (1 - length).clip(0)))
    ankles = np.stack([joints[:, joint_set.index(f"{side}_ankle")] for side in ("left", "right")], axis=1)
    return up / length[:, None], np.maximum(errors, _LEAST_ERROR), ankles[legs_seen]


def _log_pose(ups: Floats, axes: Floats, errors: Floats) -> Floats:
    """Log-likelihood (N, G) of directions up (G, 3), given predicted ones (N, 3) with errors (N,) in degrees.

    Student's t distribution with 3 degrees of freedom over the two components of the angle: some poses mislead.
    """
    squared = np.rad2deg(np.arccos(np.clip(axes @ ups.T, -1, 1))) ** 2
    scale = errors[:, None] ** 2 / 6  # squared; the variance of each component is three times that
    return np.asarray(-2.5 * np.log1p(squared / (3 * scale)))


def _log_ground(ups: Floats, feet: Sequence[Floats]) -> Floats:
    """Log-likelihood (G,) of directions up (G, 3), given the ankles (T, 2, 3) of people on one level ground.

    Errors are relative to the height of the camera above the feet: each person's size, and with it the distance, has
    one; a foot's height has another. Of two ankles the lower one stands.
    """
    if len(feet) < 2:
        return np.zeros(len(ups))
    below = np.stack([np.median((-(ankles @ ups.T)).max(1), axis=0) for ankles in feet]).clip(_LEAST_HEIGHT_M)
    error = np.hypot(_SIZE_ERROR, _FOOT_ERROR_M / below)
    height = np.log(below)
    mean = (height / error**2).sum(0) / (1 / error**2).sum(0)
    log_density = -2 * np.log1p(((height - mean) / error) ** 2 / 3) - np.log(error)
    return np.asarray((1 - 1 / len(feet)) * log_density.sum(0))  # the mean takes one of the observations


@cache
def _log_prior() -> Floats:
    """Log-density (G,) of cameras, up to a constant."""
    pitch, roll = (angle.ravel() for angle in np.meshgrid(_GRID_PITCH, _GRID_ROLL, indexing="ij"))
    mean, spread = _PITCH
    narrow = np.exp(-0.5 * ((pitch - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    steep = (np.abs(pitch) <= _STEEPEST) / (2 * _STEEPEST)
    log_pitch = np.log((1 - _STEEP_SHARE) * narrow + _STEEP_SHARE * steep + 1e-6)
    return np.asarray(log_pitch - 2 * np.log1p((roll / _ROLL) ** 2 / 3))


@cache
def _grid() -> Floats:
    """Directions up (G, 3) for every pitch and roll of the grid."""
    pitch, roll = (np.deg2rad(angle).ravel() for angle in np.meshgrid(_GRID_PITCH, _GRID_ROLL, indexing="ij"))
    return np.stack([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)], axis=-1)


def _mean_direction(log_density: Floats) -> tuple[Floats, float]:
    """The mean direction (3,) of a density (G,) over the grid, and the root mean square angle to it in degrees."""
    share = np.exp(log_density - log_density.max())
    share /= share.sum()
    mean = share @ _grid()
    mean /= np.linalg.norm(mean)
    angles = np.rad2deg(np.arccos(np.clip(_grid() @ mean, -1, 1)))
    return mean, float(np.sqrt(share @ angles**2))


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9))
