"""The people of one picture as files: meshes, arrays, JSON, an overlay, a page with a 3D view."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Person, Predictor
from pose2mesh.io import mesh_files
from pose2mesh.io.extras import not_installed
from pose2mesh.pipelines.video.video_options import RIGGED
from pose2mesh.visualization import renderer
from pose2mesh.visualization.image_result import ImageResult
from pose2mesh.visualization.overlay import USUAL_PARTS, OverlayParts, draw_overlay

if TYPE_CHECKING:
    from pose2mesh.motion.person_fitting import Rig


def write_formats(
    folder: Path,
    recovery: Predictor,
    result: ImageResult,
    formats: tuple[str, ...],
    overlay: OverlayParts = USUAL_PARTS,
) -> None:
    """Write one picture's people in some of `PHOTO_FORMATS` into a folder that is there.

    Raises:
        InputError: a file cannot be written, or the body model cannot be laid on the people.
    """
    people, stem = result.people, result.stem
    shared = picture_file_names(stem)
    files = name_files(stem, len(people), formats, shared)
    rigs: list[dict[str, Any]] = [{} for _ in people]
    rig_arrays: dict[str, Any] = {}
    if "rig" in formats:
        rig = find_rig(recovery)
        if people:
            from pose2mesh.motion.person_fitting import rig_people

            rigs, rig_arrays = rig_people(people, rig)
    for person, names in zip(people, files, strict=True):
        for name, write in (("obj", mesh_files.write_obj), ("ply", mesh_files.write_ply)):
            if name in names:
                write(folder / names[name], person.vertices, recovery.faces)
    if "glb" in formats and people:
        meshes = [
            (f"person_{index}", person.vertices_camera, recovery.faces, mesh_files.in_unit(colour))
            for index, (person, colour) in enumerate(zip(people, result.colours, strict=True))
        ]
        mesh_files.write_glb(folder / shared["glb"], meshes)
    if "npz" in formats:
        # reshape: without people, too, the arrays have three dimensions
        vertices = np.array([person.vertices for person in people]).reshape(-1, len(recovery.template), 3)
        joints = np.array([person.joints for person in people]).reshape(-1, len(recovery.joint_set), 3)
        mesh_files.write_npz(folder / shared["npz"], vertices, joints, recovery.faces, **rig_arrays)
    if "overlay" in formats:
        picture = draw_overlay(result.ground(), people, recovery, result.colours or renderer.PALETTE, overlay)
        renderer.save_picture(folder / shared["overlay"], picture)
    if "html" in formats:
        from pose2mesh.visualization.html_page import write_page
        from pose2mesh.visualization.scene import describe_frame

        frame = describe_frame(recovery, people, result.ground(), stem, result.identifiers, result.colours)
        write_page(folder / shared["html"], stem, recovery, [frame])
    if "json" in formats:
        mesh_files.write_json(folder / f"{stem}.json", describe_picture(recovery, result, files, rigs))


def picture_file_names(stem: str) -> dict[str, str]:
    """The files that everyone in a picture shares, by format."""
    return {"glb": f"{stem}.glb", "npz": f"{stem}.npz", "overlay": f"{stem}_overlay.png", "html": f"{stem}.html"}


def name_files(stem: str, people: int, formats: tuple[str, ...], shared: dict[str, str]) -> list[dict[str, str]]:
    """For each person the files they are in, by format: those everyone shares, and otherwise (obj, bvh) their own."""
    return [
        {name: shared.get(name, f"{stem}_{index}.{name}") for name in formats if name not in ("json", "rig")}
        for index in range(people)
    ]


def describe_picture(
    recovery: Predictor,
    result: ImageResult,
    files: list[dict[str, str]],
    rigs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The JSON document of a picture; `files` are each person's, by format, `rigs` what
    `motion.person_fitting.rig_people` tells."""
    rigs = rigs or [{} for _ in files]
    return {
        "input": result.name,
        "model": recovery.info.name,
        "joint_names": list(recovery.joint_set.names),
        "people": [
            describe_person(person, identifier, names) | ({"rig": fitted} if fitted else {})
            for person, identifier, names, fitted in zip(result.people, result.identifiers, files, rigs, strict=True)
        ],
        "skipped": [{"id": skip.identifier, "reason": skip.reason} for skip in result.skipped],
    }


def describe_person(person: Person, identifier: int | str | None, files: dict[str, str]) -> dict[str, Any]:
    """One entry of the JSON document's `people`; `files` are names in the document's own folder."""
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


def find_rig(recovery: Predictor) -> Rig:
    """What lays the Anny body on a model's meshes.

    Raises:
        InputError: the model has another body, or Anny is not installed.
    """
    if recovery.info.body != "anny":
        raise InputError(f"model {recovery.info.name!r} has another body than Anny, which {', '.join(RIGGED)} need")
    if find_spec("anny") is None:
        raise InputError(not_installed("the Anny body", "video"))
    from pose2mesh.motion.person_fitting import load_rig

    return load_rig(recovery.joint_set.name)
