"""Annotation files in COCO's form, which most data sets come in: images, and annotations that belong to them."""

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
    """What is kept of an image's entry.

    Attributes:
        image_id: As the file numbers it.
        file: Its name, relative to the folder of images.
        size: Width and height in pixels.
        extra: What the data set tells besides.
    """

    image_id: int
    file: str
    size: tuple[int, int]
    extra: Any = None


def read_image(found: Annotation, extra: Any = None, file: str | None = None) -> ImageRecord:
    """The fields that all files in COCO's form have."""
    size = found.integer("width"), found.integer("height")
    if min(size) <= 0:
        raise found.fault(f"width and height are {size}, expected pixels")
    return ImageRecord(found.identifier(), found.text("file_name") if file is None else file, size, extra)


def people(
    path: Path, faults: FaultPolicy, image_of: Callable[[Annotation], ImageRecord | None]
) -> Iterator[tuple[Annotation, ImageRecord]]:
    """The annotations of a file in COCO's form, each with its image.

    Annotations of images that `image_of` answers with None are passed over. One of an image that the file does not list
    is a fault.

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
                images[image_id] = None  # of a faulty image, nobody is taken
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


def sound_box(box: NDArray[np.float64]) -> bool:
    """Whether a box (x, y, width, height) holds at least a pixel, which the readers demand of annotated people."""
    return bool(np.isfinite(box).all() and box[2] >= 1 and box[3] >= 1)


def read_box(annotation: Annotation, writer: RecordWriter) -> NDArray[np.float64] | None:
    """An annotation's box; where it is not sound the person is left out, and the answer is None."""
    box = annotation.array("bbox", 4)
    if sound_box(box):
        return box
    writer.leave_out("box without area")
    return None


def read_smpl(annotation: Annotation) -> dict[str, Any]:
    """The columns of an annotation's `smpl_param`; none where it has none."""
    if annotation.values.get("smpl_param") is None:
        return {}
    found = annotation.group("smpl_param")
    return smpl_columns(found, found.choice("gender", GENDERS))


def smpl_columns(found: Annotation, gender: int = 0) -> dict[str, Any]:
    """The columns of {pose (72), shape (10), trans (3) in metres}."""
    return {
        "pose": found.array("pose", 24, 3),
        "shape": found.array("shape", 10),
        "translation_m": found.array("trans", 3),
        "gender": gender,
        "body_valid": True,
    }


def read_detections(path: Path, writer: RecordWriter, joints: int) -> dict[int, NDArray[np.float64]]:
    """Detected 2D joints [{annotation_id, keypoints}] by annotation: (joints, 3) x, y, score, 1 where not told."""
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
