"""MuCo-3DHP (Mehta et al., 3DV 2018): composited images of several people, in the reference's format.

FOLDER/data/MuCo-3DHP.json     COCO format; images have f and c, annotations keypoints_cam (mm), keypoints_img, bbox
FOLDER/data/smpl_param.json    {annotation id: {pose, shape, trans}}, camera axes, metres
FOLDER/data/{augmented_set,unaugmented_set}/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from pose2mesh.datasets.annotation import Annotation, OnFault, read_annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import (
    ImageRecord,
    read_annotations,
    read_box,
    read_image_record,
    smpl_columns,
)
from pose2mesh.datasets.readers.json_stream import members
from pose2mesh.datasets.records import Records, Schema

MUCO21 = (
    "head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head",
    "right_hand", "left_hand", "right_toe", "left_toe",
)  # fmt: skip
_PELVIS = MUCO21.index("pelvis")

_SCHEMA = Schema(
    name="muco",
    joints=MUCO21,
    body="smpl",
    pose_joints=24,
    columns=(
        "joints_px", "joints_m", "joints_valid", "pose", "shape", "translation_m", "gender", "body_valid", "intrinsics",
    ),
)  # fmt: skip


def read_muco(
    folder: Path,
    cache: Path,
    *,
    which: Literal["all", "closest"] = "all",
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read MuCo-3DHP. `body_valid` is False where a person has no SMPL fit, or one that is not finite.

    Args:
        folder: With `data/`.
        cache: Folder of the cached records.
        which: `all` people, or in each image the one `closest` to the camera, as the reference implementation does.
        images: The folder that image names are relative to (`FOLDER/data`); every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    labels, fits = folder / "data" / "MuCo-3DHP.json", folder / "data" / "smpl_param.json"

    def build(writer: RecordWriter) -> None:
        bodies = _fits(fits, writer)
        closest: dict[int, tuple[float, Annotation, ImageRecord]] = {}
        for annotation, image in read_annotations(labels, writer.faults, _image):
            with writer.faults.each():
                if which == "all":
                    _person(annotation, image, bodies, writer)
                else:
                    depth = annotation.array("keypoints_cam", 21, 3)[_PELVIS, 2]
                    if image.image_id not in closest or depth < closest[image.image_id][0]:
                        closest[image.image_id] = depth, annotation, image
        for _, annotation, image in closest.values():
            with writer.faults.each():
                _person(annotation, image, bodies, writer)

    return cached_records(cache, _SCHEMA, [labels, fits], {"which": which}, build, images=images, on_fault=on_fault)


def _image(found: Annotation) -> ImageRecord:
    return read_image_record(found, [*found.array("f", 2), *found.array("c", 2)])


def _person(
    annotation: Annotation, image: ImageRecord, bodies: dict[str, dict[str, Any]], writer: RecordWriter
) -> None:
    if (box := read_box(annotation, writer)) is None:
        return
    annotation_id = annotation.identifier()
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        image_id=image.image_id,
        box=box,
        image_size=image.size,
        joints_px=np.column_stack([annotation.array("keypoints_img", 21, 2), np.ones(21)]),
        joints_m=annotation.array("keypoints_cam", 21, 3) / 1000,
        joints_valid=True,
        intrinsics=image.extra,
        **bodies.get(str(annotation_id), {}),
    )


def _fits(path: Path, writer: RecordWriter) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for annotation_id, value in members(path):
        with writer.faults.each():
            fit = read_annotation(path, "fit of annotation", value, annotation_id)
            # A fit that failed is written as NaN: missing, not faulty.
            numbers = [fit.array(*field, finite=False) for field in (("pose", 72), ("shape", 10), ("trans", 3))]
            if all(np.isfinite(array).all() for array in numbers):
                columns = smpl_columns(fit)
                found[annotation_id] = {
                    name: value.astype(np.float32) if isinstance(value, np.ndarray) else value
                    for name, value in columns.items()
                }
    return found
