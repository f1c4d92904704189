"""Joints of people from a file or a detector, in the joint set of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.inference.joints3d import convert_joints3d
from pose2mesh.inference.predictor import unusable
from pose2mesh.io.keypoints import PoseInput, Skipped
from pose2mesh.skeletons import JointSet, convert


@dataclass(frozen=True, eq=False)
class JointInput:
    """The joints of P people in a model's joint set.

    Attributes:
        kept: Index of each person in the input.
        joints_px: (P, J, 2) pixels.
        confidence: (P, J) in [0, 1]; 0 where missing.
        joints3d_m: (P, J, 3) 3D joints estimated from the image, metres; NaN where missing.
        skipped: The people of the input whose joints do not suffice.
    """

    kept: list[int]
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    joints3d_m: NDArray[np.float32]
    skipped: list[Skipped]


def usable_people(people: Sequence[PoseInput], joint_set: JointSet) -> JointInput:
    """Convert people from a file or a detector to a model's joint set, and skip those whose joints do not suffice."""
    kept, pixels, confidences, depths, skipped = [], [], [], [], []
    for index, person in enumerate(people):
        joints_px, confidence = convert(person.original[:, :2], person.original[:, 2], person.original_names, joint_set)
        fault = unusable(joints_px, confidence, joint_set)
        if fault is not None:
            skipped.append(Skipped(person.identifier, fault))
            continue
        kept.append(index)
        pixels.append(joints_px)
        confidences.append(confidence)
        given = np.full((len(person.original), 3), np.nan) if person.joints3d_m is None else person.joints3d_m
        depths.append(convert_joints3d(given, person.original_names, joint_set))
    J = len(joint_set)
    return JointInput(
        kept,
        np.array(pixels, np.float32).reshape(-1, J, 2),
        np.array(confidences, np.float32).reshape(-1, J),
        np.array(depths, np.float32).reshape(-1, J, 3),
        skipped,
    )
