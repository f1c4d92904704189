"""SURREAL (Varol et al., CVPR 2017), in the annotation files of the reference implementation.

FOLDER/data/{train,val}.json                       COCO format; images have cam_param {focal, princpt}, annotations
                                                   smpl_param (camera axes, metres), joint_cam, bbox
FOLDER/data/hrnet_output_on_{train,val}set.json    [{image_id, annotation_id, keypoints: 24 × (x, y, …)}], detected
FOLDER/images/{train,val}/
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import (
    ImageRecord,
    read_annotations,
    read_box,
    read_detections,
    read_image_record,
    read_smpl,
)
from pose2mesh.datasets.readers.joint_arrays import project_joints, to_metres
from pose2mesh.datasets.records import Records, Schema
from pose2mesh.skeletons import SMPL

_SCHEMA = Schema(
    name="surreal",
    joints=SMPL.names,
    detected=SMPL.names,
    body="smpl",
    pose_joints=24,
    columns=(
        "joints_px", "joints_m", "joints_valid", "detected_px", "pose", "shape", "translation_m", "gender",
        "body_valid", "intrinsics",
    ),
)  # fmt: skip


def read_surreal(
    folder: Path,
    cache: Path,
    *,
    split: Literal["train", "val"],
    detections: Path | None = None,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read SURREAL, one person in each image. True 2D joints are the projected 3D ones.

    Args:
        folder: With `data/`.
        cache: Folder of the cached records.
        split: `train` or `val`.
        detections: The JSON file of detected 2D joints; score 0 where a sample has none.
        images: The folder of the split's images; every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    labels = folder / "data" / f"{split}.json"

    def build(writer: RecordWriter) -> None:
        detected = read_detections(detections, writer, 24) if detections else {}
        for annotation, image in read_annotations(labels, writer.faults, _image):
            with writer.faults.each():
                _person(annotation, image, detected, writer)

    sources = [labels, *([detections] if detections else [])]
    return cached_records(cache, _SCHEMA, sources, {"split": split}, build, images=images, on_fault=on_fault)


def _image(found: Annotation) -> ImageRecord:
    camera = found.group("cam_param")
    return read_image_record(found, [*camera.array("focal", 2), *camera.array("princpt", 2)])


def _person(annotation: Annotation, image: ImageRecord, detected: dict[int, NDArray], writer: RecordWriter) -> None:
    if (box := read_box(annotation, writer)) is None:
        return
    annotation_id = annotation.identifier()
    joints_m = to_metres(annotation.array("joint_cam", 24, 3))
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        image_id=image.image_id,
        box=box,
        image_size=image.size,
        joints_px=project_joints(joints_m, image.extra),
        joints_m=joints_m,
        joints_valid=True,
        detected_px=detected.get(annotation_id, 0),
        intrinsics=image.extra,
        **read_smpl(annotation),
    )
