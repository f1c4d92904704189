"""The user's own data: a keypoint file in COCO format, with optional 3D joints, body parameters and cameras.

FOLDER/annotations.json     {images: [{id, file_name, width, height, cam_param?}],
                             annotations: [{id, image_id, keypoints, bbox?, joint_cam?, smpl_param? | mano_param?}]}
FOLDER/detections.json      [{annotation_id, keypoints}], optional

cam_param {focal, princpt} in pixels; keypoints J × (x, y, v) with v 0 not labelled, 1 hidden, 2 visible; joint_cam
J × 3 in metres from the camera; smpl_param {pose 72, shape 10, trans?, gender?} and mano_param {pose 48, shape 10,
trans?} in the camera's axes, metres. `docs/data.md` has an example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import ImageRecord, read_annotations, read_detections, read_image_record
from pose2mesh.datasets.records import GENDERS, Records, Schema
from pose2mesh.errors import InputError
from pose2mesh.io.keypoints import VISIBILITY_CONFIDENCE
from pose2mesh.skeletons import COCO, COCO17, HAND, INPUT_ORDERS, convert

_COLUMNS = (
    "joints_px", "joints_m", "joints_valid", "pose", "shape", "translation_m", "gender", "body_valid", "intrinsics",
)  # fmt: skip


def read_custom(
    folder: Path,
    cache: Path,
    *,
    joints: str = "coco17",
    annotations: Path | None = None,
    detections: Path | None = None,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read the user's own data, without crowds and people without a labelled keypoint.

    Args:
        folder: With the annotation file.
        cache: Folder of the cached records.
        joints: Order of `keypoints` and `joint_cam`, one of `INPUT_ORDERS`. Pelvis and neck are derived from the 17 of
            COCO. Hands have MANO parameters, all others SMPL parameters.
        annotations: Annotation file, `annotations.json` by default.
        detections: File of detected joints in the same order; by default `detections.json` where it exists.
        images: Folder of images; every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`; the order of joints is unknown.
    """
    if joints not in INPUT_ORDERS:
        raise InputError(f"joints {joints!r} is not known; expected one of {', '.join(INPUT_ORDERS)}")
    labels, usual = annotations or folder / "annotations.json", folder / "detections.json"
    if detections is None and usual.is_file():
        detections = usual
    order = INPUT_ORDERS[joints]
    names = COCO.names if joints == "coco17" else order
    hand = joints == HAND.name
    columns = (*_COLUMNS, "detected_px") if detections else _COLUMNS
    body, turned = ("mano", 16) if hand else ("smpl", 24)
    schema = Schema("own", names, columns, names if detections else (), body, turned)

    def build(writer: RecordWriter) -> None:
        detected = read_detections(detections, writer, len(order)) if detections else {}
        for annotation, image in read_annotations(labels, writer.faults, _image):
            with writer.faults.each():
                _person(annotation, image, joints, detected, writer)

    sources = [labels, *([detections] if detections else [])]
    return cached_records(cache, schema, sources, {"joints": joints}, build, images=images, on_fault=on_fault)


def _image(found: Annotation) -> ImageRecord:
    if found.values.get("cam_param") is None:
        return read_image_record(found, [np.nan] * 4)
    camera = found.group("cam_param")
    return read_image_record(found, [*camera.array("focal", 2), *camera.array("princpt", 2)])


def _person(
    annotation: Annotation,
    image: ImageRecord,
    joints: str,
    detected: dict[int, NDArray[np.float64]],
    writer: RecordWriter,
) -> None:
    if annotation.values.get("iscrowd"):
        writer.leave_out("crowd")
        return
    count = len(INPUT_ORDERS[joints])
    keypoints = annotation.array("keypoints", count, 3)
    if not np.isin(keypoints[:, 2], list(VISIBILITY_CONFIDENCE)).all():
        raise annotation.fault("keypoints have a flag of visibility that is not 0, 1 or 2")
    if not keypoints[:, 2].any():
        writer.leave_out("no labelled keypoint")
        return
    keypoints[:, 2] = [VISIBILITY_CONFIDENCE[flag] for flag in keypoints[:, 2]]
    annotation_id = annotation.identifier()
    values: dict[str, Any] = {"joints_px": _whole(keypoints, joints)}
    if "bbox" in annotation.values:
        values["box"] = annotation.array("bbox", 4)
    if annotation.values.get("joint_cam") is not None:
        whole = _whole(np.insert(annotation.array("joint_cam", count, 3), 3, 1, axis=1), joints)
        values |= {"joints_m": whole[:, :3], "joints_valid": whole[:, 3] > 0}
    if annotation_id in detected:
        values["detected_px"] = _whole(detected[annotation_id], joints)
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        image_id=image.image_id,
        image_size=image.size,
        intrinsics=image.extra,
        **values,
        **_body(annotation, joints == HAND.name),
    )


def _whole(points: NDArray[np.float64], order: str) -> NDArray[np.float32]:
    """Points with their confidence in the last column; pelvis and neck are added to the 17 of COCO (17, C + 1)."""
    if order != "coco17":
        return points.astype(np.float32)
    found, confidence = convert(points[:, :-1], points[:, -1], COCO17, COCO)
    return np.column_stack((found, confidence))


def _body(annotation: Annotation, hand: bool) -> dict[str, Any]:
    key, turned = ("mano_param", 16) if hand else ("smpl_param", 24)
    if annotation.values.get(key) is None:
        return {}
    found = annotation.group(key)
    values: dict[str, Any] = {
        "pose": found.array("pose", turned, 3),
        "shape": found.array("shape", 10),
        "body_valid": True,
    }
    if found.values.get("trans") is not None:
        values["translation_m"] = found.array("trans", 3)
    if found.values.get("gender") is not None:
        values["gender"] = found.choice("gender", GENDERS)
    return values
