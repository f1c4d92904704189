"""3DPW (von Marcard et al., ECCV 2018): published sequence files, or annotation files of the reference implementation.

FOLDER/sequenceFiles/{train,validation,test}/*.pkl    as published, parameters in world axes
FOLDER/imageFiles/{sequence}/image_00000.jpg
FOLDER/data/3DPW_latest_{split}.json                  COCO format, parameters in camera axes
FOLDER/data/darkpose_3dpw_{split}set_output.json      [{annotation_id, keypoints: 17 × (x, y, score)}], detected
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault, read_annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import (
    ImageRecord,
    read_annotations,
    read_box,
    read_detections,
    read_image_record,
    read_smpl,
)
from pose2mesh.datasets.readers.joint_arrays import add_middle_joints, project_joints
from pose2mesh.datasets.records import Records, Schema
from pose2mesh.errors import InputError
from pose2mesh.io.safe_pickle import read_plain
from pose2mesh.skeletons import COCO, SMPL

Split = Literal["train", "validation", "test"]

# Joint order of `poses2d` and of `openpose_result`.
OPENPOSE18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip

_COLUMNS = (
    "joints_px", "joints_m", "joints_valid", "detected_px", "pose", "shape", "translation_m", "gender", "body_valid",
    "intrinsics",
)  # fmt: skip


def read_pw3d(
    folder: Path,
    cache: Path,
    *,
    split: Split,
    detections: Path | Literal["darkpose", "openpose"] = "darkpose",
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read 3DPW from the annotation file of the reference implementation. Parameters and joints are in camera axes.

    Args:
        folder: With `data/`.
        cache: Folder of the cached records.
        split: `train`, `validation` or `test`.
        detections: Source of `detected_px`: `darkpose`, the file of detected 2D joints beside the annotations (COCO's
            19 joints), all scores 0 where it is missing; another file of that format; or `openpose`, the detections in
            the annotations (18 joints).
        images: The folder `imageFiles`; every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    labels = folder / "data" / f"3DPW_latest_{split}.json"
    usual = folder / "data" / f"darkpose_3dpw_{split}set_output.json"
    beside = detections if isinstance(detections, Path) else usual if usual.is_file() else None
    openpose = detections == "openpose"
    sources = [labels, *([beside] if beside and not openpose else [])]
    names = OPENPOSE18 if openpose else COCO.names
    schema = Schema("pw3d", SMPL.names, _COLUMNS, names, "smpl", 24)

    def build(writer: RecordWriter) -> None:
        detected = None if openpose else read_detections(beside, writer, 17) if beside else {}
        for annotation, image in read_annotations(labels, writer.faults, _image):
            with writer.faults.each():
                _person(annotation, image, detected, writer)

    options = {"split": split, "openpose": openpose}
    return cached_records(cache, schema, sources, options, build, images=images, on_fault=on_fault)


def _image(found: Annotation) -> ImageRecord:
    sequence, camera = found.text("sequence"), found.group("cam_param")
    extra = sequence, found.integer("frame_idx"), [*camera.array("focal", 2), *camera.array("princpt", 2)]
    return read_image_record(found, extra, file=f"{sequence}/{found.text('file_name')}")


def _person(
    annotation: Annotation, image: ImageRecord, detected: dict[int, NDArray] | None, writer: RecordWriter
) -> None:
    if (box := read_box(annotation, writer)) is None:
        return
    annotation_id, person = annotation.identifier(), annotation.integer("person_id")
    sequence, frame, intrinsics = image.extra
    if detected is None:
        found = annotation.array("openpose_result", 18, 3)
    else:
        found = add_middle_joints(detected[annotation_id]) if annotation_id in detected else np.zeros((19, 3))
    writer.add(
        annotation,
        annotation_id,
        file=image.file,
        sequence=sequence,
        image_id=image.image_id,
        subject=person,
        frame=frame,
        box=box,
        image_size=image.size,
        joints_px=np.column_stack([annotation.array("joint_img", 24, 2), np.ones(24)]),
        joints_m=annotation.array("joint_cam", 24, 3),
        joints_valid=True,
        detected_px=found,
        intrinsics=intrinsics,
        **read_smpl(annotation),
    )


def read_pw3d_sequences(
    folder: Path, cache: Path, *, split: Split, images: Path | None = None, on_fault: OnFault = "raise"
) -> Records:
    """Read 3DPW from the published sequence files. Parameters are in world axes, `joints_m` in camera axes.

    Samples without a valid camera, and those without a joint inside the image, are left out. The sizes of the images
    are read where `images` is given.

    Args:
        folder: With `sequenceFiles/`.
        cache: Folder of the cached records.
        split: `train`, `validation` or `test`.
        images: The folder `imageFiles`; every image must be in it.
        on_fault: See `cache.cached_records`. A faulty file counts as one fault, with all its people.

    Raises:
        InputError: see `cache.cached_records`; a file holds anything but NumPy arrays and plain values.
    """
    files = sorted((folder / "sequenceFiles" / split).glob("*.pkl"))
    if not files:
        raise InputError(f"{folder / 'sequenceFiles' / split}: has no .pkl file, expected the sequences of 3DPW")
    columns = (*_COLUMNS, "rotation", "origin_m")
    schema = Schema("pw3d_sequences", SMPL.names, columns, OPENPOSE18, "smpl", 24)

    def build(writer: RecordWriter) -> None:
        for file in files:
            with writer.faults.each():
                _Sequence(file, images).write(writer)

    return cached_records(cache, schema, files, {"split": split}, build, images=images, on_fault=on_fault)


class _Sequence:
    """One sequence file with its arrays, whose shapes are checked.

    T frames, P people: poses (P, T, 24, 3), shapes (P, 10), trans_m (P, T, 3), joints_m (P, T, 24, 3) world,
    detected (P, T, 18, 3), valid (P, T), cameras (T, 4, 4) world to camera.
    """

    def __init__(self, path: Path, images: Path | None) -> None:
        whole = read_plain(path)
        self.annotation = found = read_annotation(path, "sequence", whole, path.stem)
        self.name = str(found.get("sequence"))
        matrix = found.array("cam_intrinsics", 3, 3)
        self.intrinsics = [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]
        frames = len(_listed(found, "cam_poses"))
        self.cameras = found.array("cam_poses", frames, 4, 4)
        genders = _listed(found, "genders")
        people = len(genders)
        codes = {"m": 1, "f": 2}
        if unknown := [gender for gender in genders if gender not in codes]:
            raise found.fault(f"genders has {unknown[0]!r}, expected m or f")
        self.genders = [codes[gender] for gender in genders]
        self.poses = _per_person(found, "poses", people, frames, 24, 3)
        # Some files have 300 coefficients, of which SMPL uses the first ten.
        self.shapes = np.stack([np.asarray(shape, np.float64).ravel()[:10] for shape in _listed(found, "betas")])
        if self.shapes.shape != (people, 10) or not np.isfinite(self.shapes).all():
            raise found.fault(f"betas have shape {self.shapes.shape}, expected {(people, 10)}")
        self.trans_m = _per_person(found, "trans", people, frames, 3)
        self.joints_m = _per_person(found, "jointPositions", people, frames, 24, 3)
        self.valid = _per_person(found, "campose_valid", people, frames) > 0
        self.detected = _per_person(found, "poses2d", people, frames, 3, 18).swapaxes(2, 3)
        self.size = _image_size(images / self.name / "image_00000.jpg") if images else (0, 0)

    def write(self, writer: RecordWriter) -> None:
        for frame, camera in enumerate(self.cameras):
            for person, gender in enumerate(self.genders):
                if not self.valid[person, frame]:
                    writer.leave_out("no valid camera")
                    continue
                with writer.faults.each():
                    self._person(writer, frame, person, gender, camera)

    def _person(self, writer: RecordWriter, frame: int, person: int, gender: int, camera: NDArray) -> None:
        where = Annotation(self.annotation.path, f"person {person}, frame {frame}", {})
        rotation, origin_m = camera[:3, :3], camera[:3, 3]
        joints_m = self.joints_m[person, frame] @ rotation.T + origin_m
        pixels = project_joints(joints_m, self.intrinsics)
        if not (np.isfinite(joints_m).all() and np.isfinite(self.poses[person, frame]).all()):
            raise where.fault("pose or joints hold a number that is not finite")
        # The size of the image is not in the file; its principal point is the centre of the image.
        width, height = self.size if any(self.size) else (2 * self.intrinsics[2], 2 * self.intrinsics[3])
        inside = ((pixels >= 0) & (pixels < (width, height, 2))).all(axis=1) & (pixels[:, 2] > 0)
        if not inside.any():
            writer.leave_out("outside the image")
            return
        low, high = pixels[inside, :2].min(axis=0), pixels[inside, :2].max(axis=0)
        margin = 0.1 * (high - low)
        writer.add(
            where,
            # The sequence files, unlike the annotation files, have no ids of people.
            len(writer),
            file=f"{self.name}/image_{frame:05d}.jpg",
            sequence=self.name,
            subject=person,
            frame=frame,
            box=[*(low - margin), *(high - low + 2 * margin)],
            image_size=self.size,
            joints_px=pixels,
            joints_m=joints_m,
            joints_valid=True,
            detected_px=self.detected[person, frame],
            pose=self.poses[person, frame],
            shape=self.shapes[person],
            translation_m=self.trans_m[person, frame],
            gender=gender,
            body_valid=True,
            intrinsics=self.intrinsics,
            rotation=rotation,
            origin_m=origin_m,
        )


def _listed(found: Annotation, key: str) -> Any:
    value = found.get(key)
    if not isinstance(value, list | np.ndarray) or len(value) == 0:
        raise found.fault(f"{key} is {type(value).__name__}, expected a list with at least one item")
    return value


def _per_person(found: Annotation, key: str, people: int, frames: int, *shape: int) -> NDArray[np.float64]:
    items = _listed(found, key)
    if len(items) != people:
        raise found.fault(f"{key} has {len(items)} people, expected {people}")
    arrays = []
    for person, item in enumerate(items):
        try:
            array = np.asarray(item, np.float64)
        except (TypeError, ValueError):
            raise found.fault(f"{key} of person {person} holds no numbers") from None
        if array.shape[:1] != (frames,) or array.size != frames * math.prod(shape):
            raise found.fault(f"{key} of person {person} has shape {array.shape}, expected {(frames, *shape)}")
        arrays.append(array.reshape(frames, *shape))
    return np.stack(arrays)


def _image_size(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise InputError(f"{path}: not an image: {error.strerror or error}") from error
