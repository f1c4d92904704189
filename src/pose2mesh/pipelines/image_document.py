"""The JSON document of an image: its people with joints, cameras, scores and file names."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.person import BodyPose, Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.hands import SIDES, Hands
from pose2mesh.skeletons import HAND
from pose2mesh.visualization.image_result import ImageResult


def describe_image(
    predictor: Predictor,
    result: ImageResult,
    files: list[dict[str, str]],
    rigs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The JSON document of an image; `files` are the file names of each person by format, `rigs` the results of
    `motion.person_fitting.rig_people`."""
    rigs = rigs or [{} for _ in files]
    hands = result.hands or [None for _ in files]
    return {
        "input": result.name,
        "model": predictor.info.name,
        "camera": describe_camera(result.intrinsics, result.size),
        "up": result.gravity.describe(),
        "refined": result.is_refined,
        "joint_names": list(predictor.joint_set.names),
        "hand_joint_names": list(HAND.names),
        "people": [
            describe_person(person, identifier, names) | describe_hands(both) | ({"rig": fitted} if fitted else {})
            for person, identifier, names, both, fitted in zip(
                result.people, result.identifiers, files, hands, rigs, strict=True
            )
        ],
        "skipped": [{"id": skip.identifier, "reason": skip.reason} for skip in result.skipped],
    }


def describe_camera(intrinsics: Intrinsics | None, size: tuple[int, int] | None) -> dict[str, Any]:
    """The camera of an image or video of `size` (width, height), and where it comes from; None is weak perspective."""
    document: dict[str, Any] = {"source": "none" if intrinsics is None else intrinsics.source, "size_px": size}
    if intrinsics is not None:
        document |= {"intrinsics": intrinsics.numbers, "distortion": list(intrinsics.distortion)}
        if size is not None:
            angles = intrinsics.field_of_view_deg(size)
            document |= {"field_of_view_deg": [round(angle, 2) for angle in angles]}
            document |= {"focal_length_35mm": round(intrinsics.focal_35mm(size), 2)}
    return document


def describe_hands(hands: Hands | None) -> dict[str, Any]:
    """The detected hands of a person: each side's joints (21, 3) in pixels with confidence, and in metres; null for a
    hand that was not found, and in place of the sides where no hands were searched."""
    if hands is None:
        return {"hands2d_px": None, "hands3d_m": None}
    return {
        name: {side: array[index] if hands.present[index] else None for index, side in enumerate(SIDES)}
        for name, array in (("hands2d_px", hands.joints_px), ("hands3d_m", hands.joints3d_m))
    }


def describe_person(person: Person, identifier: int | str | None, files: dict[str, str]) -> dict[str, Any]:
    """One element of the document's `people`; `files` are file names relative to the document."""
    camera = person.camera
    return {
        "id": identifier,
        "joints3d_m": person.joints,
        "joints2d_px": camera.project(person.joints),
        "input2d_px": person.joints_px,
        "confidence": person.confidence,
        "camera": {
            "kind": camera.kind,
            "source": camera.source,
            "translation_m": camera.translation_m,
            "scale_px_per_m": camera.scale_px_per_m,
            "shift_px": camera.shift_px,
            "intrinsics": camera.intrinsics.numbers,
        },
        "stature_m": person.stature_m if np.isfinite(person.stature_m) else None,
        "score": person.score,
        "pose": None if person.pose is None else describe_pose(person.pose),
        "expected_errors_m": person.expected_errors_m,
        "files": files,
    }


def describe_pose(pose: BodyPose) -> dict[str, Any]:
    """Pose and shape of a person; rotations as rotation vectors (22, 3), radians, in the axes of the camera."""
    from scipy.spatial.transform import Rotation

    return {
        "bones": list(BODY_BONES),
        "rotations_rad": Rotation.from_matrix(pose.rotations).as_rotvec(),
        "shape": pose.shape,
        "size": pose.size,
    }
