"""The JSON document of an image: its people with joints, cameras, scores and file names."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
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
    return {
        "input": result.name,
        "model": predictor.info.name,
        "joint_names": list(predictor.joint_set.names),
        "people": [
            describe_person(person, identifier, names) | ({"rig": fitted} if fitted else {})
            for person, identifier, names, fitted in zip(result.people, result.identifiers, files, rigs, strict=True)
        ],
        "skipped": [{"id": skip.identifier, "reason": skip.reason} for skip in result.skipped],
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
            "translation_m": camera.translation_m,
            "scale_px_per_m": camera.scale_px_per_m,
            "shift_px": camera.shift_px,
            "intrinsics": [camera.intrinsics.fx, camera.intrinsics.fy, camera.intrinsics.cx, camera.intrinsics.cy],
        },
        "stature_m": person.stature_m if np.isfinite(person.stature_m) else None,
        "score": person.score,
        "files": files,
    }
