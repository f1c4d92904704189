"""Annotation files in COCO format, which most data sets use: a list of images and a list of annotations of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, FaultPolicy, read_annotation
from pose2mesh.datasets.cache import RecordWriter
from pose2mesh.datasets.readers.json_stream import sections
from pose2mesh.datasets.records import GENDERS
from pose2mesh.errors import InputError


class ImageRecord(NamedTuple):
    """One image of an annotation file.

    Attributes:
        image_id: Its id in the file.
        file: File name, relative to the folder of images.
        size: Width and height in pixels.
        extra: Further values that the reader of the data set needs.
    """

    image_id: int
    file: str
    size: tuple[int, int]
    extra: Any = None


def read_image_record(found: Annotation, extra: Any = None, file: str | None = None) -> ImageRecord:
    """Read the fields of an image that all files in COCO format have."""
    size = found.integer("width"), found.integer("height")
    if min(size) <= 0:
        raise found.fault(f"width and height are {size}, expected pixels")
    return ImageRecord(found.identifier(), found.text("file_name") if file is None else file, size, extra)


def read_annotations(
    path: Path, faults: FaultPolicy, image_of: Callable[[Annotation], ImageRecord | None]
) -> Iterator[tuple[Annotation, ImageRecord]]:
    """Read the annotations of a file in COCO format, each with its image.

    Annotations are skipped where `image_of` returns None for their image. An annotation of an image that the file does
    not list is a fault.

    Raises:
        InputError: the file cannot be read, or has no annotations; with `on_fault="raise"` every fault.
    """
    images: dict[int, ImageRecord | None] = {}
    early: list[Any] = []  # annotations that stand before the images
    listed = False

    def matched(value: Any) -> Iterator[tuple[Annotation, ImageRecord]]:
        with faults.each():
            found = read_annotation(path, "annotation", value)
            image_id = found.identifier("image_id")
            if image_id not in images:
                raise found.fault(f"image_id {image_id} is not among the file's images")
            if (image := images[image_id]) is not None:
                yield found, image

    for section, value in sections(path):
        if section == "images":
            with faults.each():
                found = read_annotation(path, "image", value)
                if (image_id := found.identifier()) in images:
                    raise found.fault("its id is there twice")
                images[image_id] = None  # annotations of a faulty image are skipped
                images[image_id] = image_of(found)
        elif section == "annotations":
            listed = True
            if images:
                yield from matched(value)
            else:
                early.append(value)
    if not listed:
        raise InputError(f"{path}: has no annotations, expected lists of images and annotations")
    for value in early:
        yield from matched(value)


def valid_box(box: NDArray[np.float64]) -> bool:
    """Whether a box (x, y, width, height) is at least one pixel wide and high, as the readers require."""
    return bool(np.isfinite(box).all() and box[2] >= 1 and box[3] >= 1)


def read_box(annotation: Annotation, writer: RecordWriter) -> NDArray[np.float64] | None:
    """The box of an annotation; None where it is not valid, which counts the sample as left out."""
    box = annotation.array("bbox", 4)
    if valid_box(box):
        return box
    writer.leave_out("box without area")
    return None


def read_smpl(annotation: Annotation) -> dict[str, Any]:
    """Columns from `smpl_param` of an annotation; empty where it has none."""
    if annotation.values.get("smpl_param") is None:
        return {}
    found = annotation.group("smpl_param")
    return smpl_columns(found, found.choice("gender", GENDERS))


def smpl_columns(found: Annotation, gender: int = 0) -> dict[str, Any]:
    """Columns from SMPL parameters {pose (72), shape (10), trans (3) in metres}."""
    return {
        "pose": found.array("pose", 24, 3),
        "shape": found.array("shape", 10),
        "translation_m": found.array("trans", 3),
        "gender": gender,
        "body_valid": True,
    }


def read_detections(path: Path, writer: RecordWriter, joints: int) -> dict[int, NDArray[np.float64]]:
    """Detected joints [{annotation_id, keypoints}] by annotation id: (joints, 3) x, y, score; score 1 by default."""
    found: dict[int, NDArray[np.float64]] = {}
    for _, value in sections(path):
        with writer.faults.each():
            item = read_annotation(path, "detection of annotation", value, named_by="annotation_id")
            columns = 2 if np.size(item.get("keypoints")) == 2 * joints else 3
            keypoints = item.array("keypoints", joints, columns)
            annotation_id = item.identifier("annotation_id")
            if annotation_id in found:
                raise item.fault("it is there twice")
            found[annotation_id] = np.insert(keypoints, 2, 1, axis=1) if columns == 2 else keypoints
    return found
