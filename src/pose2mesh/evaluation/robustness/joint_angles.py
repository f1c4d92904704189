"""Joint angles of meshes: knees, elbows, hips and head compared with the human range of motion.

The rotation of each bone from the mean body at rest is fitted to the vertices that it carries by orthogonal Procrustes
analysis: a closed-form fit of the rig to the mesh, without its shape. Angles are between bones and need no camera.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES
from pose2mesh.geometry.rotations import nearest_rotation

Floats: TypeAlias = NDArray[np.floating]
_CHUNK = 64


class Limit(NamedTuple):
    """Range of motion of a joint angle in degrees; see `docs/robustness.md`."""

    name: str
    low: float
    high: float


# Ranges of active motion after Norkin and White, Measurement of Joint Motion: elbow 0–150°, knee 0–140°, hip flexion
# 120° and extension 20–30°, abduction 45° and adduction 30°, neck 45–60° each way over its whole length. 15 to 20°
# are added for passive motion, hypermobile people and the error of angles measured on a soft mesh.
LIMITS = (
    Limit("elbow bend", -15, 165),
    Limit("elbow sideways", -35, 35),
    Limit("knee bend", -15, 160),
    Limit("knee sideways", -25, 25),
    Limit("hip flexion", -50, 140),
    Limit("hip abduction", -50, 65),
    Limit("head to chest", 0, 80),
)
_SIDES = (("Left", 1.0), ("Right", -1.0))


class BoneRotations:
    """Fits the rotations of the 22 body bones to meshes of one body model."""

    def __init__(self, body: BodyModel) -> None:
        weights = body.body_bone_weights()
        # Vertices that a bone carries nearly alone. A bone between others has few: relative threshold.
        best = weights.amax(0).clamp_max(0.9)
        self.weights = torch.where(weights >= 0.9 * best, weights, torch.zeros(())).T  # (22, V)
        self.weights = self.weights / self.weights.sum(1, keepdim=True)
        rest = body.template
        self.centred = rest[None] - (self.weights @ rest)[:, None]

    def __call__(self, vertices: Floats) -> NDArray[np.float64]:
        """Rotations (P, 22, 3, 3) from the axes of the rest pose to those of the vertices (P, V, 3)."""
        # Σ_v w (x − x̄)(r − r̄)ᵀ; the mean of x drops out, since the weighted r − r̄ sum to zero.
        pull = (self.weights[..., None] * self.centred).transpose(1, 2).reshape(-1, self.weights.shape[1])
        found = []
        for start in range(0, len(vertices), _CHUNK):
            part = torch.from_numpy(np.ascontiguousarray(vertices[start : start + _CHUNK], np.float32))
            covariance = (pull @ part).reshape(len(part), len(BODY_BONES), 3, 3).mT.double()
            found.append(nearest_rotation(covariance))
        return torch.cat(found).numpy()


def joint_angles(rotations: Floats) -> dict[str, NDArray[np.float64]]:
    """Joint angles in degrees by the names of `LIMITS`: (P, 2) for left and right, (P, 1) for the head.

    Args:
        rotations: (P, 22, 3, 3) rotations of the bones.
    """
    found: dict[str, list[NDArray[np.float64]]] = {limit.name: [] for limit in LIMITS}
    for side, sign in _SIDES:
        # At rest the elbow's hinge lies across the arm and forearms bend to the front; the knee's hinge lies along x.
        across = np.array([0.66, 0.0, 0.75 * sign])
        bend, sideways = _hinge(rotations, f"{side}Arm", f"{side}ForeArm", -across / np.linalg.norm(across))
        found["elbow bend"].append(bend)
        found["elbow sideways"].append(sideways)
        bend, sideways = _hinge(rotations, f"{side}UpLeg", f"{side}Leg", np.array([1.0, 0, 0]))
        found["knee bend"].append(bend)
        found["knee sideways"].append(sideways)
        thigh = _relative(rotations, "Hips", f"{side}UpLeg") @ _direction(f"{side}UpLeg")
        # In the pelvis' axes: x to the left, y backwards, z up.
        found["hip flexion"].append(np.degrees(np.arctan2(-thigh[:, 1], -thigh[:, 2])) % 360)
        found["hip abduction"].append(np.degrees(np.arcsin(np.clip(sign * thigh[:, 0], -1, 1))))
    # A thigh raised past 180° is swung back: angles range from −90° to 270°.
    found["hip flexion"] = [np.where(angle > 270, angle - 360, angle) for angle in found["hip flexion"]]
    up = _relative(rotations, "Spine2", "Head") @ np.array([0.0, 0, 1])
    found["head to chest"].append(np.degrees(np.arccos(np.clip(up[:, 2], -1, 1))))
    return {name: np.stack(angles, 1) for name, angles in found.items()}


def _relative(rotations: Floats, above: str, below: str) -> Floats:
    a, b = (rotations[:, BODY_BONES.index(name)] for name in (above, below))
    return np.asarray(a.swapaxes(1, 2) @ b)


def _direction(bone: str) -> Floats:
    way = np.array(TEMPLATE_BONES[bone])
    return way / np.linalg.norm(way)


def _hinge(rotations: Floats, above: str, below: str, axis: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bend (P,) of a limb about its hinge, 0 for straight, and its angle out of the hinge's plane (P,), in degrees."""
    assert PARENTS[BODY_BONES.index(below)] == BODY_BONES.index(above)
    upper = _direction(above)
    lower = _relative(rotations, above, below) @ _direction(below)
    axis = axis - (axis @ upper) * upper  # a hinge is perpendicular to the limb above it
    axis /= np.linalg.norm(axis)
    front = np.cross(axis, upper)
    bend = np.degrees(np.arctan2(lower @ front, lower @ upper))
    return bend, np.degrees(np.arcsin(np.clip(lower @ axis, -1, 1)))


def beyond_limits(angles: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.bool_]]:
    """Whether the joint of either side is outside its range (P,), by the names of `LIMITS`."""
    found = {}
    for limit in LIMITS:
        angle = angles[limit.name]
        found[limit.name] = np.asarray(((angle < limit.low) | (angle > limit.high)).any(1))
    return found
