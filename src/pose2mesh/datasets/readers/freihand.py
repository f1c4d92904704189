"""FreiHAND (Zimmermann et al., ICCV 2019): hands, in the published files or those of the reference implementation.

FOLDER/training_K.json, training_xyz.json, training_mano.json    lists, one item a hand: 3 × 3, 21 × 3 in metres, 61
FOLDER/evaluation_K.json, evaluation_scale.json                  no labels, unless _xyz and _mano exist too
FOLDER/{training,evaluation}/rgb/00000000.jpg                    training images come in four versions of each hand

FOLDER/data/freihand_{train,eval}_coco.json          COCO format; images have db_idx
FOLDER/data/freihand_{train,eval}_data.json          {db_idx: {cam_param {focal, princpt, R, t}, mano_param, joint_3d}}
FOLDER/data/hrnet_output_on_{train,eval}set.json     [{image_id, annotation_id, keypoints: 21 × (x, y, …)}], detected
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault, read_annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import (
    ImageRecord,
    read_annotations,
    read_detections,
    read_image_record,
    valid_box,
)
from pose2mesh.datasets.readers.joint_arrays import project_joints, to_metres
from pose2mesh.datasets.readers.json_stream import members, sections
from pose2mesh.datasets.records import Records, Schema
from pose2mesh.errors import InputError
from pose2mesh.skeletons import HAND

# Background versions: each holds all hands once, in the same order.
VERSIONS = ("green", "homogenised", "sampled", "coloured")
_SIZE = (224, 224)

_COLUMNS = (
    "joints_px", "joints_m", "joints_valid", "pose", "shape", "gender", "body_valid", "intrinsics",
)  # fmt: skip


def read_freihand(
    folder: Path,
    cache: Path,
    *,
    split: Literal["training", "evaluation"],
    versions: tuple[str, ...] = ("green",),
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read the published files of FreiHAND, in camera axes; `evaluation` has joints and MANO where their files exist.

    The 45 finger angles are offsets from MANO's mean hand. MANO's translation is not stored; the joints give the
    position of the hand.

    Args:
        folder: With the JSON files.
        cache: Folder of the cached records.
        split: `training` or `evaluation`.
        versions: Versions of the training images, from `VERSIONS`.
        images: The folder that holds `training/` and `evaluation/`; every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`; the files are of different lengths.
    """
    there = VERSIONS if split == "training" else VERSIONS[:1]
    if not versions or not set(versions) <= set(there):
        raise InputError(f"versions of {split} are {versions}, expected some of {', '.join(there)}")
    files = {kind: folder / f"{split}_{kind}.json" for kind in ("K", "xyz", "mano")}
    if split == "evaluation":
        files = {kind: path for kind, path in files.items() if kind == "K" or path.is_file()}

    def build(writer: RecordWriter) -> None:
        columns = {kind: [value for _, value in sections(path)] for kind, path in files.items()}
        for kind, values in columns.items():
            if len(values) != len(columns["K"]):
                raise InputError(
                    f"{files[kind]}: has {len(values)} hands, expected the {len(columns['K'])} of the K file"
                )
        count = len(columns["K"])
        for version in versions:
            for hand in range(count):
                number = hand + count * VERSIONS.index(version)
                with writer.faults.each():
                    found = {
                        kind: Annotation(files[kind], f"hand {hand}", {kind: columns[kind][hand]}) for kind in columns
                    }
                    _hand(found, number, f"{split}/rgb/{number:08d}.jpg", writer)

    schema = Schema("freihand", HAND.names, _COLUMNS, body="mano", pose_joints=16)
    options = {"split": split, "versions": list(versions)}
    return cached_records(cache, schema, files.values(), options, build, images=images, on_fault=on_fault)


def _hand(found: dict[str, Annotation], number: int, file: str, writer: RecordWriter) -> None:
    matrix = found["K"].array("K", 3, 3)
    values: dict[str, Any] = {"intrinsics": [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]}
    if "xyz" in found:
        values |= _joints(found["xyz"].array("xyz", 21, 3), values["intrinsics"])
    if "mano" in found:
        # Pose, shape, then image position and scale of the middle finger's first joint, which `joints_m` implies.
        theta = found["mano"].array("mano", 61)
        values |= {"pose": theta[:48].reshape(16, 3), "shape": theta[48:58], "body_valid": True}
    writer.add(found["K"], number, file=file, image_id=number, image_size=_SIZE, **values)


def _joints(joints_m: NDArray[np.float64], intrinsics: list[float]) -> dict[str, Any]:
    return {"joints_px": project_joints(joints_m, intrinsics), "joints_m": joints_m, "joints_valid": True}


def read_freihand_coco(
    folder: Path,
    cache: Path,
    *,
    split: Literal["train", "eval"],
    detections: Path | None = None,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read the reference implementation's files of FreiHAND. MANO's parameters are in world axes; `eval` has none.

    Args:
        folder: With `data/`.
        cache: Folder of the cached records.
        split: `train` or `eval`.
        detections: The JSON file of detected 2D joints; score 0 where a sample has none.
        images: The folder that image names are relative to (`FOLDER/data`); every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    labels, details = (folder / "data" / f"freihand_{split}_{kind}.json" for kind in ("coco", "data"))

    def build(writer: RecordWriter) -> None:
        hands = dict(members(details))
        detected = read_detections(detections, writer, 21) if detections else {}
        for annotation, image in read_annotations(labels, writer.faults, _image):
            with writer.faults.each():
                if image.extra not in hands:
                    raise annotation.fault(f"{details.name} has no hand {image.extra}")
                hand = read_annotation(details, "hand", hands[image.extra], image.extra)
                _annotated(annotation, image, hand, split == "train", detected, writer)

    columns = (*_COLUMNS, "detected_px", "translation_m", "rotation", "origin_m")
    schema = Schema("freihand_coco", HAND.names, columns, detected=HAND.names, body="mano", pose_joints=16)
    sources = [labels, details, *([detections] if detections else [])]
    return cached_records(cache, schema, sources, {"split": split}, build, images=images, on_fault=on_fault)


def _image(found: Annotation) -> ImageRecord:
    return read_image_record(found, str(found.get("db_idx")))


def _annotated(
    annotation: Annotation,
    image: ImageRecord,
    hand: Annotation,
    labelled: bool,
    detected: dict[int, NDArray],
    writer: RecordWriter,
) -> None:
    box = annotation.array("bbox", 4)
    if labelled and not valid_box(box):
        writer.leave_out("box without area")
        return
    camera, annotation_id = hand.group("cam_param"), annotation.identifier()
    values: dict[str, Any] = {"intrinsics": [*camera.array("focal", 2), *camera.array("princpt", 2)]}
    if labelled:
        mano = hand.group("mano_param")
        values |= _joints(to_metres(hand.array("joint_3d", 21, 3)), values["intrinsics"])
        values |= {
            "pose": mano.array("pose", 16, 3),
            "shape": mano.array("shape", 10),
            "translation_m": 0,
            "body_valid": True,
            "rotation": camera.array("R", 3, 3),
            "origin_m": camera.array("t", 3),
        }
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        image_id=image.image_id,
        box=box,
        image_size=image.size,
        detected_px=detected.get(annotation_id, 0),
        **values,
    )
