"""Plausibility of predicted bodies: symmetric bones of human proportion, joints within limits, no self-intersection,
feet on the ground.

Every measure is also taken on the true bodies where known; its value there is the error of the measure itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, ShapeConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.evaluation.robustness.joint_angles import LIMITS, BoneRotations, beyond_limits, joint_angles
from pose2mesh.evaluation.robustness.predictions import PredictionSet
from pose2mesh.evaluation.robustness.self_intersection import Capsules
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

PAIRED_BONES = {
    "upper arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
}
DEEP_MM = 20.0  # a deeper overlap counts as self-intersection
_RANGE_BODIES, _RANGE_TAIL = 4000, 0.005
_CONTACT_M = 0.02  # a foot within this height of the true body's lowest point is standing
_FEET = [[BODY_BONES.index(f"{side}{part}") for part in ("Foot", "ToeBase")] for side in ("Left", "Right")]


@dataclass(frozen=True, eq=False)
class Plausibility:
    """Measures per person; NaN where one does not apply.

    Attributes:
        asymmetry_percent: (P,) mean over upper arms, forearms, thighs and shanks of |left − right| / their mean.
        odd_bones_percent: (P,) share of these eight bones whose part of their sum is rarer than 1 in 100 among random
            bodies; true bodies have 1.
        beyond_limits_percent: (P,) 100 where a joint is outside its range, else 0.
        beyond: (P,) for each joint angle, whether it is outside.
        depth_mm: (P,) deepest overlap of two parts of the body.
        intersecting_percent: (P,) 100 where that is more than 20 mm, else 0.
        floating_mm: (P,) height of standing feet above the lowest point of the predicted body.
    """

    asymmetry_percent: NDArray[np.float64]
    odd_bones_percent: NDArray[np.float64]
    beyond_limits_percent: NDArray[np.float64]
    beyond: dict[str, NDArray[np.bool_]]
    depth_mm: NDArray[np.float64]
    intersecting_percent: NDArray[np.float64]
    floating_mm: NDArray[np.float64]


class PlausibilityMeter:
    """Measures plausibility; holds the constants of the body model, made once.

    Args:
        body: The body model.
        synthesiser: Makes bodies of it with the joints of the model's joint set.
    """

    def __init__(self, body: BodyModel, synthesiser: BodySynthesiser) -> None:
        self.joint_set: JointSet = synthesiser.joint_set
        self.rotations = BoneRotations(body)
        rest = body.template.numpy()
        self.capsules = Capsules(self.joint_set, body.regressor(self.joint_set).numpy() @ rest, rest)
        generator = torch.Generator().manual_seed(0)
        poses = PoseSource(None, PoseConfig(procedural=1.0)).sample(_RANGE_BODIES, generator)
        with torch.no_grad():
            joints = synthesiser(ShapeConfig().sample(_RANGE_BODIES, generator), poses)[0].numpy()
        self.share_range = np.quantile(bone_shares(joints, self.joint_set), (_RANGE_TAIL, 1 - _RANGE_TAIL), axis=0)
        owner = body.body_bone_weights().argmax(1)
        self.feet = [np.isin(owner.numpy(), foot) for foot in _FEET]

    def __call__(
        self, predictions: PredictionSet, true_vertices: Floats | None = None, up: Floats | None = None
    ) -> Plausibility:
        """Measure bodies.

        Args:
            predictions: The bodies.
            true_vertices: (P, V, 3), which show the feet on the ground; None if unknown.
            up: (P, 3) direction against gravity, in the axes of both.
        """
        joints, vertices = predictions.joints, predictions.vertices
        shares = bone_shares(joints, self.joint_set)
        low, high = self.share_range
        beyond = beyond_limits(joint_angles(self.rotations(vertices)))
        depth = self.capsules.depth_mm(joints, vertices).max(1)
        if true_vertices is None or up is None:
            floating = np.full(len(joints), np.nan)
        else:
            floating = floating_mm(vertices, true_vertices, up, self.feet)
        return Plausibility(
            asymmetry_percent(joints, self.joint_set),
            100 * ((shares < low) | (shares > high)).mean(1),
            100.0 * np.any([beyond[limit.name] for limit in LIMITS], axis=0),
            beyond,
            depth,
            100.0 * (depth > DEEP_MM),
            floating,
        )


def paired_lengths(joints: Floats, joint_set: JointSet) -> NDArray[np.float64]:
    """Lengths (P, 4, 2) of `PAIRED_BONES`, left and right, of joints (P, J, 3)."""
    return np.stack(
        [
            [
                np.linalg.norm(
                    joints[:, joint_set.index(f"{side}_{start}")] - joints[:, joint_set.index(f"{side}_{stop}")],
                    axis=-1,
                )
                for side in ("left", "right")
            ]
            for start, stop in PAIRED_BONES.values()
        ]
    ).transpose(2, 0, 1)


def asymmetry_percent(joints: Floats, joint_set: JointSet) -> NDArray[np.float64]:
    """Mean (P,) over the paired bones of |left − right| / mean of both, in percent."""
    lengths = paired_lengths(joints, joint_set)
    difference = np.abs(lengths[..., 0] - lengths[..., 1])
    return np.asarray(100 * (difference / np.maximum(lengths.mean(-1), 1e-6)).mean(1))


def bone_shares(joints: Floats, joint_set: JointSet) -> NDArray[np.float64]:
    """Share (P, 8) of each paired bone in the sum of all: proportions without the size."""
    lengths = paired_lengths(joints, joint_set).reshape(len(joints), -1)
    return np.asarray(lengths / np.maximum(lengths.sum(1, keepdims=True), 1e-6))


def floating_mm(
    vertices: Floats, true_vertices: Floats, up: Floats, feet: list[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Mean height (P,) of the standing feet above the lowest point of the predicted body, in millimetres.

    A foot is standing if it is within 2 cm of the true body's lowest point along gravity; the pose is a single frame,
    so a jump counts as standing at its height. NaN for people without a standing foot.

    Args:
        vertices, true_vertices: (P, V, 3) in one frame.
        up: (P, 3) direction against gravity.
        feet: Masks (V,) of the vertices of each foot.
    """
    heights, true_heights = (np.einsum("pvc,pc->pv", mesh, up) for mesh in (vertices, true_vertices))
    lowest, true_lowest = heights.min(1), true_heights.min(1)
    above = np.stack([heights[:, foot].min(1) - lowest for foot in feet], 1)
    stands = np.stack([true_heights[:, foot].min(1) - true_lowest <= _CONTACT_M for foot in feet], 1)
    total = np.where(stands, above, 0).sum(1)
    return np.where(stands.any(1), 1000 * total / np.maximum(stands.sum(1), 1), np.nan)
