"""Writes the MP4, NPZ and JSON files of a video, reading the bodies from disk frame by frame."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.io.mesh_files import atomic_write, in_unit
from pose2mesh.pipelines.image_document import describe_camera
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.body_track import BATCH, TURNS, BodyTrack
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.mp4_writer import Mp4Writer
from pose2mesh.pipelines.video.video_result import VideoResult, colour_of
from pose2mesh.visualization.overlay import OverlayParts, blank_canvas, draw_overlay, image_canvas

Step = Callable[[int], object]


def write_overlay(path: Path, result: VideoResult, video: Video | None, parts: OverlayParts, step: Step) -> None:
    """Draw the people over the frames, or over a blank canvas without a video; greyer in bridged frames.

    Args:
        path: The MP4 file.
        result: The recovered people.
        video: The frames; their number may differ from that of `result`.
        parts: Elements to draw.
        step: Callback, called with 1 after each frame.

    Raises:
        InputError: PyAV is missing, or the file cannot be written.
    """
    size = result.conditions.size
    images = iter(()) if video is None else video.frames()
    canvas = blank_canvas([], size)
    extent = result.extent() if parts.side or parts.top else None
    writer: Mp4Writer | None = None
    try:
        for frame in range(result.frames):
            image = next(images, None)
            if image is not None:
                canvas = image_canvas(image, size)
            visible = result.at(frame)
            colours = [colour_of(each.number, each.bridged) for each in visible]
            drawn = draw_overlay(canvas, [each.person for each in visible], result.predictor, colours, parts, extent)
            if writer is None:
                writer = Mp4Writer(path, (drawn.shape[1], drawn.shape[0]), result.rate)
            writer.write(drawn)
            step(1)
    except BaseException:
        if writer is not None:
            writer.close(whole=False)
        raise
    if writer is not None:
        writer.close()


def write_arrays(path: Path, result: VideoResult, with_rig: bool) -> None:
    """Write the arrays that `docs/video.md` lists: a row for every person and frame, person by person.

    Raises:
        InputError: the file cannot be written.
    """
    J = len(result.predictor.joint_set)
    people, V = result.people, len(result.predictor.template)
    counts = [len(body.track.present()) for body in people]
    rows = sum(counts)
    intrinsics = result.conditions.nominal_or_known
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:

        def put(name: str, dtype: DTypeLike, shape: tuple[int, ...], parts: Iterator[NDArray[Any]]) -> None:
            """Write an array of a known shape in parts."""
            kind = np.dtype(dtype)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                for part in parts:
                    member.write(np.ascontiguousarray(part, kind).tobytes())

        def bodies(columns: slice) -> Iterator[NDArray[Any]]:
            return (chunk[:, columns] for body in people for chunk in _present(body.bodies, body))

        def tracks(field: str) -> Iterator[NDArray[Any]]:
            return (chunk[field] for body in people for chunk in _present(body.track.rows, body))

        def whole(name: str, array: Any) -> None:
            put(name, np.asarray(array).dtype, np.shape(array), iter([np.asarray(array)]))

        put("vertices", np.float32, (rows, V, 3), bodies(slice(1 + J, None)))
        put("joints", np.float32, (rows, J, 3), bodies(slice(1, 1 + J)))
        put("translation_m", np.float32, (rows, 3), (part[:, 0] for part in bodies(slice(0, 1))))
        put("joints_px", np.float32, (rows, J, 2), tracks("joints_px"))
        put("confidence", np.float32, (rows, J), tracks("confidence"))
        put("frame", np.int32, (rows,), tracks("frame"))
        put("bridged", np.bool_, (rows,), tracks("bridged"))
        whole("person", np.repeat(np.arange(len(people), dtype=np.int32), counts))
        whole("faces", result.predictor.faces.astype(np.int32))
        whole("joint_names", np.array(result.predictor.joint_set.names))
        whole("fps", np.float64(result.rate))
        whole("frames", np.int64(result.frames))
        whole("size_px", np.array(result.conditions.size))
        whole("intrinsics", np.array(intrinsics.numbers))
        whole("distortion", np.array(intrinsics.distortion, np.float64))
        whole("up", np.array(result.gravity.up))
        whole("camera_source", np.array("none" if result.conditions.intrinsics is None else intrinsics.source))
        if people and with_rig:

            def poses(columns: slice) -> Iterator[NDArray[Any]]:
                return (chunk[:, columns] for body in people for chunk in _present(body.poses, body))

            put("orientations", np.float32, (rows, len(BODY_BONES), 3, 3), poses(slice(0, TURNS)))
            put("hips_m", np.float32, (rows, 3), poses(slice(TURNS, TURNS + 3)))
            put("residual_mm", np.float32, (rows,), (part[:, 0] for part in poses(slice(TURNS + 3, None))))
            whole("phenotypes", np.stack([body.phenotypes for body in people]))
            whole("phenotype_names", np.array(list(people[0].shape["phenotypes"])))
            whole("bone_names", np.array(BODY_BONES))


def _present(rows: ArrayFile, body: BodyTrack) -> Iterator[NDArray[Any]]:
    """The rows of a person where they are not absent, in chunks; `rows` has one for each frame of the track."""
    for start in range(0, len(body.track), BATCH):
        chunk = slice(start, start + BATCH)
        yield rows[chunk][~body.track.rows[chunk]["absent"]]


def write_description(path: Path, result: VideoResult, files: Sequence[dict[str, str]], with_rig: bool) -> None:
    """Write the people with their joints and cameras in every frame, one frame a line.

    Args:
        path: The JSON file.
        result: The recovered people.
        files: For each person, format to the name of the file that contains the person.
        with_rig: Whether to add the fitted body.
    """
    conditions, intrinsics = result.conditions, result.conditions.nominal_or_known
    document = {
        "input": result.name,
        "model": result.predictor.info.name,
        "joint_names": list(result.predictor.joint_set.names),
        "fps": float(result.rate),
        "frames": result.frames,
        "size_px": list(conditions.size),
        "camera": describe_camera(conditions.intrinsics, conditions.size),
        "up": result.gravity.describe(),
        "refined": conditions.refine,
        "fault": result.fault,
        "smoothed": conditions.smooth,
    }
    source = "none" if conditions.intrinsics is None else intrinsics.source
    camera = {"kind": conditions.camera_kind, "source": source, "intrinsics": intrinsics.numbers}
    skipped = []
    if result.unclaimed:
        skipped = [
            {
                "id": None,
                "reason": f"{result.unclaimed} detections of people in too few frames, or of people detected twice",
            }
        ]
    with atomic_write(path) as file:

        def put(text: str) -> None:
            file.write(text.encode())

        put(json.dumps(document, indent=1)[:-2] + ',\n "people": [')
        for number, body in enumerate(result.people):
            head = describe_track(body, files[number]) | {"camera": camera}
            if with_rig:
                head["rig"] = body.shape | {"residual_mm": round(body.residual_mm, 3)}
            put(("," if number else "") + "\n  " + json.dumps(head)[:-1] + ', "per_frame": [')
            for index, (frame, visible) in enumerate(result.of(number)):
                put(("," if index else "") + "\n   " + _frame_line(frame, visible.person, visible.bridged))
            put("\n  ]}")
        put(f'\n ],\n "skipped": {json.dumps(skipped)}\n}}\n')


def describe_track(body: BodyTrack, files: dict[str, str]) -> dict[str, Any]:
    """One element of the JSON document's `people`, without `per_frame`."""
    total = present = 0.0
    for chunk in _present(body.track.rows, body):
        total += float(chunk["confidence"].sum())
        present += float((chunk["confidence"] > 0).sum())
    stature = body.stature_m
    return {
        "id": body.track.number,
        "first_frame": body.track.first_frame,
        "frames": len(body.track),
        "bridged": body.track.stretches("bridged"),
        "absent": body.track.stretches("absent"),
        "stature_m": round(stature, 4) if np.isfinite(stature) else None,
        "score": round(total / present, 4),
        "files": files,
    }


def _frame_line(frame: int, person: Any, bridged: bool) -> str:
    def plain(array: NDArray[np.floating], decimals: int) -> list[Any]:
        return np.round(np.asarray(array, np.float64), decimals).tolist()

    return json.dumps(
        {
            "frame": frame,
            "bridged": bridged,
            "translation_m": plain(person.camera.translation_m, 4),
            "scale_px_per_m": round(person.camera.scale_px_per_m, 3),
            "joints3d_m": plain(person.joints, 4),
            "joints2d_px": plain(person.camera.project(person.joints), 2),
            "confidence": plain(person.confidence, 3),
        }
    )


def track_colours(result: VideoResult) -> list[tuple[float, float, float]]:
    """The colour of each person for the GLB file, with channels in [0, 1]."""
    return [in_unit(colour_of(number)) for number in range(len(result.people))]
