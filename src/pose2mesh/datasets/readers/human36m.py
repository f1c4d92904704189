"""Human3.6M (Ionescu et al., TPAMI 2014), in the annotation files of the reference implementation.

FOLDER/annotations/Human36M_subject{S}_data.json        images, annotations (COCO format)
                   Human36M_subject{S}_camera.json      {camera: {R, t in mm, f, c}}
                   Human36M_subject{S}_joint_3d.json    {action: {subaction: {frame: 17 joints, world, mm}}}
                   Human36M_subject{S}_smpl_param.json  {action: {subaction: {frame: {pose, shape, trans}}}}, world, m
FOLDER/absnet_output_on_testset.json                    {image's name: 17 joints (x, y, …)}, detected
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, OnFault, read_annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco_format import (
    ImageRecord,
    read_annotations,
    read_box,
    read_image_record,
    smpl_columns,
)
from pose2mesh.datasets.readers.joint_arrays import project_joints
from pose2mesh.datasets.readers.json_stream import members, read_json
from pose2mesh.datasets.records import Records, Schema
from pose2mesh.errors import InputError
from pose2mesh.skeletons import HUMAN36

_SCHEMA = Schema(
    name="human36m",
    joints=HUMAN36.names,
    detected=HUMAN36.names,
    body="smpl",
    pose_joints=24,
    columns=(
        "joints_px", "joints_m", "joints_valid", "detected_px", "pose", "shape", "translation_m", "gender",
        "body_valid", "intrinsics", "rotation", "origin_m",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Human36mSplit:
    """Training subjects, test subjects, and test cameras (None for all)."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    test_cameras: tuple[int, ...] | None = None


PROTOCOLS = {
    1: Human36mSplit(train=(1, 5, 6, 7, 8, 9), test=(11,), test_cameras=(4,)),
    2: Human36mSplit(train=(1, 5, 6, 7, 8), test=(9, 11)),
}
STRIDES = {"train": 5, "test": 50}


def read_human36m(
    folder: Path,
    cache: Path,
    *,
    split: Literal["train", "test"],
    protocol: Literal[1, 2] = 2,
    stride: int | None = None,
    detections: Path | None = None,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """Read Human3.6M: every `stride`th frame of the subjects of a protocol.

    The SMPL fits are of the neutral body, in world axes; `body_valid` is False where a frame has none.

    Args:
        folder: With `annotations/`.
        cache: Folder of the cached records.
        split: `train` or `test`.
        protocol: 1 or 2; see `PROTOCOLS`.
        stride: Step between frames; by default 5 for `train` and 50 for `test`.
        detections: JSON file of detected 2D joints; score 0 where it has none of an image.
        images: Folder of images; every image must be in it.
        on_fault: See `cache.cached_records`.

    Raises:
        InputError: see `cache.cached_records`.
    """
    chosen = PROTOCOLS[protocol]
    subjects = chosen.train if split == "train" else chosen.test
    cameras = chosen.test_cameras if split == "test" else None
    stride = stride or STRIDES[split]
    sources = [_file(folder, subject, kind) for subject in subjects for kind in _KINDS]

    def build(writer: RecordWriter) -> None:
        detected = _detections(detections)
        for subject in subjects:
            # A truncated file ends its subject; the others are still read.
            with writer.faults.each():
                _Subject(folder, subject, stride, cameras, writer, detected).read()

    options = {"split": split, "protocol": protocol, "stride": stride, "detections": detections is not None}
    sources += [detections] if detections else []
    return cached_records(cache, _SCHEMA, sources, options, build, images=images, on_fault=on_fault)


_KINDS = ("data", "camera", "joint_3d", "smpl_param")


def _file(folder: Path, subject: int, kind: str) -> Path:
    return folder / "annotations" / f"Human36M_subject{subject}_{kind}.json"


class _View(NamedTuple):
    """A camera: rotation and origin from world to camera in millimetres, and fx, fy, cx, cy in pixels."""

    rotation: NDArray[np.float64]
    origin_mm: NDArray[np.float64]
    intrinsics: list[float]


@dataclass
class _Subject:
    folder: Path
    subject: int
    stride: int
    cameras: tuple[int, ...] | None
    writer: RecordWriter
    detected: dict[str, Any]

    def __post_init__(self) -> None:
        self.paths = {kind: _file(self.folder, self.subject, kind) for kind in _KINDS}
        self.views: dict[int, _View] = {}

    def read(self) -> None:
        faults = self.writer.faults
        cameras = read_annotation(self.paths["camera"], "subject", read_json(self.paths["camera"]), self.subject)
        joints, bodies = self._frames("joint_3d"), self._frames("smpl_param")
        for annotation, image in read_annotations(self.paths["data"], faults, self._image):
            with faults.each():
                self._person(annotation, image, cameras, joints, bodies)

    def _view(self, cameras: Annotation, camera: int) -> _View:
        if camera not in self.views:
            found = cameras.group(str(camera))
            intrinsics = [*found.array("f", 2), *found.array("c", 2)]
            self.views[camera] = _View(found.array("R", 3, 3), found.array("t", 3), intrinsics)
        return self.views[camera]

    def _image(self, found: Annotation) -> ImageRecord | None:
        frame, camera = found.integer("frame_idx"), found.integer("cam_idx")
        if frame % self.stride or (self.cameras and camera not in self.cameras):
            return None
        if found.integer("subject") != self.subject:
            raise found.fault(f"subject is {found.integer('subject')}, expected {self.subject}")
        return read_image_record(found, (found.integer("action_idx"), found.integer("subaction_idx"), frame, camera))

    def _frames(self, kind: str) -> dict[tuple[str, str, str], Any]:
        """Values of a file for the frames that are read, by action, subaction and frame."""
        frames = {}
        for action, subactions in members(path := self.paths[kind]):
            for subaction, found in read_annotation(path, "action", subactions, action).values.items():
                for frame, value in read_annotation(
                    path, f"action {action}, subaction", found, subaction
                ).values.items():
                    if not frame.isdecimal() or int(frame) % self.stride == 0:
                        frames[action, subaction, frame] = _packed(value)
        return frames

    def _person(
        self, annotation: Annotation, image: ImageRecord, cameras: Annotation, joints: dict, bodies: dict
    ) -> None:
        action, subaction, frame, camera = image.extra
        place = (str(action), str(subaction), str(frame))
        name = f"subject {self.subject}, action {action}, subaction {subaction}, frame {frame}"
        if (box := read_box(annotation, self.writer)) is None:
            return
        rotation, origin_mm, intrinsics = self._view(cameras, camera)
        if place not in joints:
            raise annotation.fault(f"{self.paths['joint_3d'].name} has no joints of {name}")
        world_mm = Annotation(self.paths["joint_3d"], name, {"joints": joints[place]}).array("joints", 17, 3)
        joints_m = (world_mm @ rotation.T + origin_mm) / 1000
        values: dict[str, Any] = {}
        if place in bodies:
            values |= smpl_columns(read_annotation(self.paths["smpl_param"], "fit of", bodies[place], name))
        if (found := self.detected.get(PurePosixPath(image.file).name)) is not None:
            values["detected_px"] = found
        self.writer.add(
            annotation,
            annotation.identifier(),
            file=image.file,
            sequence=f"S{self.subject} action {action} subaction {subaction} camera {camera}",
            image_id=image.image_id,
            subject=self.subject,
            action=action,
            camera=camera,
            frame=frame,
            box=box,
            image_size=image.size,
            joints_px=project_joints(joints_m, intrinsics),
            joints_m=joints_m,
            joints_valid=True,
            intrinsics=intrinsics,
            rotation=rotation,
            origin_m=origin_mm / 1000,
            **values,
        )


def _packed(value: Any) -> Any:
    """Lists of numbers as arrays, which take a tenth of the memory; other values stay, and are faults where used."""
    if isinstance(value, dict):
        return {key: _packed(item) for key, item in value.items()}
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return value


def _detections(path: Path | None) -> dict[str, NDArray[np.float32]]:
    """Detected joints (17, 3) by file name of the image without folder; score 1 where the file has none."""
    found: dict[str, NDArray[np.float32]] = {}
    if path is None:
        return found
    for name, value in members(path):
        try:
            joints = np.asarray(value, np.float32)
            if joints.ndim != 2 or len(joints) != 17 or joints.shape[1] < 2:
                raise ValueError
        except (TypeError, ValueError):
            raise InputError(f"{path}: {name} is {reprlib.repr(value)}, expected 17 joints of x, y") from None
        found[PurePosixPath(name).name] = joints[:, :3] if joints.shape[1] > 2 else np.insert(joints, 2, 1, axis=1)
    return found
