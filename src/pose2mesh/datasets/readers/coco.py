"""COCO keypoints (Lin et al., ECCV 2014), with SMPL fits to them in the format of the reference implementation.

FOLDER/annotations/person_keypoints_{train,val}2017.json
FOLDER/annotations/coco_smplify_train.json    {annotation id: {smpl_param: {pose, shape}, cam_param: {s, t}}}
FOLDER/images/{train,val}2017/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from pose2mesh.datasets.annotation import Annotation, OnFault, read_annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import ImageRecord, read_annotations, read_box, read_image_record
from pose2mesh.datasets.readers.joint_arrays import add_middle_joints
from pose2mesh.datasets.readers.json_stream import members
from pose2mesh.datasets.records import Records, Schema
from pose2mesh.io.keypoints import VISIBILITY_CONFIDENCE
from pose2mesh.skeletons import COCO

_SCHEMA = Schema(
    name="coco",
    joints=COCO.names,
    body="smpl",
    pose_joints=24,
    columns=("joints_px", "pose", "shape", "gender", "body_valid", "weak_camera"),
)


def read_coco(
    folder: Path,
    cache: Path,
    *,
    split: Literal["train", "val"] = "train",
    annotations: Path | None = None,
    fits: Path | None = None,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read COCO: people with labelled keypoints, 17 and the pelvis and neck derived from them, without crowds.

    `body_valid` is False where an annotation has no fit. Fits are in the axes of a weak-perspective camera.

    Args:
        folder: With `annotations/`.
        cache: Folder of the cached records.
        split: `train` or `val`.
        annotations: Annotation file; by default that of the split.
        fits: File of fits; by default `coco_smplify_train.json` where it exists, for `train` only.
        images: The folder of images; every image must be in the split's folder in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    labels = annotations or folder / "annotations" / f"person_keypoints_{split}2017.json"
    usual = folder / "annotations" / "coco_smplify_train.json"
    if fits is None and split == "train" and usual.is_file():
        fits = usual

    def image_of(found: Annotation) -> ImageRecord:
        return read_image_record(found, file=f"{split}2017/{found.text('file_name')}")

    def build(writer: RecordWriter) -> None:
        bodies = _fits(fits, writer) if fits else {}
        for annotation, image in read_annotations(labels, writer.faults, image_of):
            with writer.faults.each():
                _person(annotation, image, bodies, writer)

    sources = [labels, *([fits] if fits else [])]
    return cached_records(cache, _SCHEMA, sources, {"split": split}, build, images=images, on_fault=on_fault)


def _person(
    annotation: Annotation, image: ImageRecord, bodies: dict[str, dict[str, Any]], writer: RecordWriter
) -> None:
    if annotation.values.get("iscrowd"):
        writer.leave_out("crowd")
        return
    keypoints = annotation.array("keypoints", 17, 3)
    if not np.isin(keypoints[:, 2], list(VISIBILITY_CONFIDENCE)).all():
        raise annotation.fault("keypoints have a flag of visibility that is not 0, 1 or 2")
    if not keypoints[:, 2].any():
        writer.leave_out("no labelled keypoint")
        return
    if (box := read_box(annotation, writer)) is None:
        return
    annotation_id = annotation.identifier()
    keypoints[:, 2] = [VISIBILITY_CONFIDENCE[flag] for flag in keypoints[:, 2]]
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        image_id=image.image_id,
        box=box,
        image_size=image.size,
        joints_px=add_middle_joints(keypoints),
        **bodies.get(str(annotation_id), {}),
    )


def _fits(path: Path, writer: RecordWriter) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for annotation_id, value in members(path):
        with writer.faults.each():
            fit = read_annotation(path, "fit of annotation", value, annotation_id)
            body, camera = fit.group("smpl_param"), fit.group("cam_param")
            scale = camera.array("s", np.size(camera.get("s")))
            if len(scale) not in (1, 2):
                raise camera.fault(f"s has {len(scale)} numbers, expected 1 or 2")
            found[annotation_id] = {
                "pose": body.array("pose", 24, 3).astype(np.float32),
                "shape": body.array("shape", 10).astype(np.float32),
                "gender": 0,
                "body_valid": True,
                "weak_camera": [scale[0], scale[-1], *camera.array("t", 2)],
            }
    return found
