"""Reader of 2D keypoints in COCO, OpenPose and NumPy files, into one checked form.

- A structural fault (broken JSON, a wrong type, length or number of joints, a coordinate that is no finite pixel
  position) raises `InputError`. A joint with confidence 0 is missing and may have any coordinates, NaN too.
- People who cannot be recovered (crowd regions, too few labelled joints, joints without spread) become `Skipped`
  items. A file in which no other person is left raises `InputError`; a file without any person does not.
- The joints of hands that lie far from their wrists are missing; `PoseInput.notes` has the reason.
- Confidence: COCO's flags become `VISIBILITY_CONFIDENCE`, or the `keypoint_scores` beside them where these exist;
  detector scores are clipped to [0, 1]. In an array of two columns a joint at exactly (0, 0), which detectors write
  for a missing one, gets 0 and every other 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.io.body_mask import BodyMask
from pose2mesh.io.hand_keypoints import place_hands
from pose2mesh.io.hands import Hands
from pose2mesh.io.image_size import outside_image
from pose2mesh.io.json_fields import finite_numbers, objects, read_identifier, read_triples, shown
from pose2mesh.skeletons import (
    COCO,
    FEET,
    HAND_JOINTS,
    HANDS,
    INPUT_ORDERS,
    LARGEST_COORDINATE_PX,
    OPENPOSE25,
    convert,
    input_order,
    where_without_spread,
)  # fmt: skip

# COCO's flags. The label of a hidden joint (1) is the annotator's guess, less exact than that of a visible one (2).
VISIBILITY_CONFIDENCE = {0: 0.0, 1: 0.7, 2: 1.0}

# Heat maps dip a little under 0, and 2 is COCO's flag; a third column beyond them is depth or percent, not confidence.
_LEAST_SCORE, _LARGEST_SCORE = -0.1, 2.0
_LIMB_JOINTS = frozenset(COCO.evaluation[5:])  # shoulders to ankles

_CROWD = "a crowd region, not one person"

# Arrays beside those of the body, in the order that their joints follow the body's: of OpenPose (doc/02_output.md) and
# of COCO-WholeBody (data_format.md).
_OPENPOSE_PARTS = {"hand_left_keypoints_2d": HANDS["left"], "hand_right_keypoints_2d": HANDS["right"]}
_WHOLEBODY_PARTS = {"foot_kpts": FEET, "lefthand_kpts": HANDS["left"], "righthand_kpts": HANDS["right"]}
Identifier = int | str


@dataclass(frozen=True, eq=False)
class PoseInput:
    """The 2D joints of one person.

    Attributes:
        joints_px: (19, 2) float32 pixels, origin top left, in the order of `skeletons.COCO`; 0 where missing.
        confidence: (19,) float32 in [0, 1]; 0 marks a missing joint.
        identifier: Id of the annotation in a COCO file, otherwise index of the person in the file.
        original: (J, 3) float32, the joints of the file in its order: x, y in pixels, confidence in [0, 1].
        original_names: Names of the `J` joints of `original`.
        box_px: (x, y, width, height) in pixels, where the file has a box.
        hands: The hands, from a detector that estimates them.
        mask: COCO's segmentation of the file, unchecked (a list of polygons, or a run-length dict), or a detector's.
        score: Score of the detector for the person, where the file has one.
        joints3d_m: (J, 3) 3D joints in the order of `original`, estimated from the image by a detector that does; see
            `detectors.detection.Detection`.
        notes: What of the input was not used as it is, for messages.
    """

    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    identifier: Identifier | None
    original: NDArray[np.float32]
    original_names: tuple[str, ...]
    box_px: tuple[float, float, float, float] | None = None
    hands: Hands | None = None
    mask: list[Any] | dict[str, Any] | BodyMask | None = None
    score: float | None = None
    joints3d_m: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A person in the input who is not recovered, and the reason."""

    identifier: Identifier | None
    reason: str


@dataclass(frozen=True, eq=False)
class ImageInput:
    """The people of one image, frame or array, in the order of the input.

    Attributes:
        stem: Unique stem of the output files: that of the image if the input file has several, else of the input file.
        image_name, image_id: File name and id of the image in a COCO file, where it has them.
        size: (width, height) in pixels, where the input has it.
        people, skipped: People who can be recovered, and the others.
    """

    stem: str
    image_name: str | None = None
    image_id: Identifier | None = None
    size: tuple[int, int] | None = None
    people: list[PoseInput] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Found:
    """A person of a file, unchecked: (J, 3) rows of x, y, confidence; names of the joints where the file has them.

    `parts` names the last rows, which come from arrays beside that of the body.
    """

    where: str
    rows: NDArray[np.float64]
    identifier: Identifier | None
    names: tuple[str, ...] | None = None
    parts: tuple[str, ...] = ()
    is_crowd: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def read_keypoints(path: Path | str, joints: str = "coco", minimum_joints: int = 5) -> list[ImageInput]:
    """Read the people of a keypoint file, or of a folder of OpenPose files, grouped by image.

    Args:
        path: COCO annotations or detection results (`.json`), OpenPose BODY_25 (`.json`, or a folder with one file per
            frame, in the order of the names), or an array (J, 2|3) or (P, J, 2|3) (`.npy`, `.npz`) whose third
            column is the confidence. An `.npz` with several arrays must call it `keypoints` or `joints2d`.
        joints: Order of the joints, a key of `skeletons.INPUT_ORDERS`, for files that do not contain it, unlike COCO
            categories that name the limb joints, and OpenPose.
        minimum_joints: People with fewer labelled joints are skipped. COCO's 17 are counted, not pelvis and neck.

    Raises:
        InputError: the input cannot be read, or none of its people can be recovered; see the docstring of the module.
    """
    images = list(stream_keypoints(path, joints, minimum_joints))
    skipped = [skip for image in images for skip in image.skipped]
    if skipped and not any(image.people for image in images):
        # The reason of a person is more useful than that of a crowd.
        first = min(skipped, key=lambda skip: skip.reason == _CROWD)
        raise InputError(f"{path}: none of {len(skipped)} people is usable; {shown(first.identifier)}: {first.reason}")
    return images


def stream_keypoints(path: Path | str, joints: str = "coco", minimum_joints: int = 5) -> Iterator[ImageInput]:
    """Iterate over the images of `read_keypoints`; no error is raised where no person can be recovered."""
    path = Path(path)
    input_order(joints, len(INPUT_ORDERS.get(joints, ())))  # refuses an unknown joint set before the file is read
    for image, found in _read(path):
        people = [_within(_checked(person, joints, minimum_joints), image.size) for person in found]
        image.people.extend(person for person in people if isinstance(person, PoseInput))
        image.skipped.extend(person for person in people if isinstance(person, Skipped))
        yield image


def _within(person: PoseInput | Skipped, size: tuple[int, int] | None) -> PoseInput | Skipped:
    """Skip a person who cannot be in an image of the size that the file states."""
    if isinstance(person, Skipped) or size is None:
        return person
    fault = outside_image(person.joints_px, person.confidence, size)
    return person if fault is None else Skipped(person.identifier, fault)


def _checked(found: _Found, joints: str, minimum_joints: int) -> PoseInput | Skipped:
    """Check a person's numbers and put their joints into COCO order."""
    if found.is_crowd:
        return Skipped(found.identifier, _CROWD)
    where, rows, names = found.where, found.rows, _joint_names(found, joints) if len(found.rows) else ()
    for joint in np.flatnonzero(~np.isfinite(rows[:, 2])):
        raise InputError(f"{where}: confidence of {names[joint]} is {rows[joint, 2]:g}; expected a number from 0 to 1")
    confidence = rows[:, 2].clip(0, 1)
    sound = np.all(np.abs(rows[:, :2]) <= LARGEST_COORDINATE_PX, axis=1)  # False for NaN
    for joint in np.flatnonzero(~sound & (confidence > 0)):
        raise InputError(f"{where}: {names[joint]} is at {rows[joint, :2]}; expected finite pixels (or confidence 0)")
    original = np.column_stack([np.where(sound[:, None], rows[:, :2], 0), confidence]).astype(np.float32)
    original, notes = place_hands(original, names)
    joints_px, joint_confidence = convert(original[:, :2], original[:, 2], names, COCO)
    labelled = joints_px[COCO.evaluation_indices][joint_confidence[COCO.evaluation_indices] > 0]
    if (count := len(labelled)) < max(minimum_joints, 1):
        has_hand = any(name in HAND_JOINTS for name, value in zip(names, confidence, strict=True) if value > 0)
        lone = "hands without a body: " if has_hand else ""
        keypoints = "labelled keypoint" + "s" * (count != 1) + " of the body" * has_hand
        return Skipped(found.identifier, f"{lone}{count} {keypoints}, at least {minimum_joints} are needed")
    if (place := where_without_spread(labelled)) is not None:
        return Skipped(found.identifier, f"all labelled keypoints are {place}")
    return PoseInput(joints_px, joint_confidence, found.identifier, original, names, notes=notes, **found.extra)


def _joint_names(found: _Found, joints: str) -> tuple[str, ...]:
    """The file's own names where it names the limb joints, else the order `joints`."""
    count, names = len(found.rows) - len(found.parts), found.names
    if count == 0:
        return found.parts
    if names and set(names) >= _LIMB_JOINTS:
        if len(names) != count:
            raise InputError(f"{found.where}: {count} joints given, expected {len(names)} as the file names them")
        return (*names, *found.parts)
    if names and joints == "coco":  # the default order: the option was not given
        raise InputError(f"{found.where}: joints named {shown(names)} are not known; give their order with --joints")
    try:
        return (*input_order(joints, count), *found.parts)
    except InputError as error:
        raise InputError(f"{found.where}: {error}") from None


def _read(path: Path) -> list[tuple[ImageInput, list[_Found]]]:
    if path.is_dir():
        if not (files := sorted(file for file in path.iterdir() if file.suffix.lower() == ".json")):
            raise InputError(f"{path}: has no .json file; expected a folder of OpenPose files")
        return [_read_openpose(file, _load_json(file)) for file in files]
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix.lower() in (".npy", ".npz"):
        return [_read_array(path)]
    if path.suffix.lower() != ".json":
        raise InputError(f"{path}: suffix {path.suffix!r} is not that of keypoints; expected .json, .npy or .npz")
    data = _load_json(path)
    if isinstance(data, list):
        return _read_coco_results(path, data)
    if isinstance(data, dict) and "annotations" in data:
        return _read_coco_annotations(path, data)
    if isinstance(data, dict) and "people" in data:
        return [_read_openpose(path, data)]
    raise InputError(f"{path}: holds {shown(data)}; expected 'annotations' (COCO), 'people' (OpenPose) or COCO results")


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:  # ValueError: bad syntax or a bad encoding
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None


def _read_coco_annotations(path: Path, data: dict) -> list[tuple[ImageInput, list[_Found]]]:
    images = _coco_images(path, objects(path, data, "images"))
    people: dict[Identifier, list[_Found]] = {image_id: [] for image_id in images}
    names = _category_names(path, data)
    for index, annotation in enumerate(objects(path, data, "annotations")):
        where = f"{path}: annotations[{index}]"
        identifier = read_identifier(where, annotation, "id", required=False)
        where += "" if identifier is None else f" (id {shown(identifier)})"
        image_id = read_identifier(where, annotation, "image_id")
        if image_id not in images:
            raise InputError(f"{where}: image_id {shown(image_id)} is not among the file's images")
        rows = read_triples(where, annotation.get("keypoints", []), "keypoints")  # COCO's instances files have none
        for joint in np.flatnonzero(~np.isin(rows[:, 2], list(VISIBILITY_CONFIDENCE))):
            raise InputError(f"{where}: keypoints: v of joint {joint} is {rows[joint, 2]:g}; expected 0, 1 or 2")
        flags, rows[:, 2] = rows[:, 2] > 0, [VISIBILITY_CONFIDENCE[flag] for flag in rows[:, 2].tolist()]
        if annotation.get("keypoint_scores") is not None:  # as `pose2mesh crawl` writes them beside the flags
            scores = finite_numbers(where, annotation["keypoint_scores"], "keypoint_scores", len(rows))
            rows[:, 2] = np.where(flags, scores, 0)
        order = names.get(read_identifier(where, annotation, "category_id", required=False))
        rows, parts = _with_parts(where, annotation, rows, _WHOLEBODY_PARTS)
        is_crowd, extra = bool(annotation.get("iscrowd")), _extra(where, annotation)
        people[image_id].append(_Found(f"{where}: keypoints", rows, identifier, order, parts, is_crowd, extra))
    return [(image, people[image_id]) for image_id, image in images.items()]


def _read_coco_results(path: Path, data: list) -> list[tuple[ImageInput, list[_Found]]]:
    people: dict[Identifier, list[_Found]] = {}
    for index, result in enumerate(objects(path, {"results": data}, "results")):
        where = f"{path}: results[{index}]"
        rows = read_triples(where, result.get("keypoints"), "keypoints")
        rows, parts = _with_parts(where, result, rows, _WHOLEBODY_PARTS)
        found = _Found(f"{where}: keypoints", rows, index, parts=parts, extra=_extra(where, result))
        people.setdefault(read_identifier(where, result, "image_id"), []).append(found)
    images = _coco_images(path, [{"id": image_id} for image_id in people])
    return [(image, people[image_id]) for image_id, image in images.items()]


def _extra(where: str, entry: dict) -> dict[str, Any]:
    """The segmentation, box and score of a person in a COCO file."""
    extra: dict[str, Any] = {"mask": entry.get("segmentation") or None}
    if entry.get("score") is not None:
        extra["score"] = finite_numbers(where, [entry["score"]], "score", 1)[0]
    if entry.get("bbox") is not None:
        extra["box_px"] = tuple(finite_numbers(where, entry["bbox"], "bbox", 4))
    return extra


def _coco_images(path: Path, entries: list[dict]) -> dict[Identifier, ImageInput]:
    """Images by image id; their stems are valid file names and unique."""
    if not entries:
        raise InputError(f"{path}: lists no image; expected at least one")
    images: dict[Identifier, ImageInput] = {}
    stems = set()
    for index, entry in enumerate(entries):
        where = f"{path}: images[{index}]"
        image_id = read_identifier(where, entry, "id")
        if image_id in images:
            raise InputError(f"{where}: id {shown(image_id)} is there twice")
        name, size = entry.get("file_name"), (entry.get("width"), entry.get("height"))
        if name is not None and (not isinstance(name, str) or PureWindowsPath(name).stem in ("", "..")):
            raise InputError(f"{where}: file_name is {shown(name)}; expected the name of a file")
        if (given := size != (None, None)) and not all(type(side) is int and side > 0 for side in size):
            raise InputError(f"{where}: width and height are {shown(size)}; expected pixels")
        plain = re.sub(r"[^\w.-]+", "_", str(image_id))  # an id may be any string
        stem = path.stem if len(entries) == 1 else PureWindowsPath(name).stem if name else f"{path.stem}_{plain}"
        while stem in stems:  # images of one name in two folders, which would overwrite each other's output
            stem = f"{stem}_{plain}"
        stems.add(stem)
        images[image_id] = ImageInput(stem, name, image_id, cast(tuple[int, int], size) if given else None)
    return images


def _category_names(path: Path, data: dict) -> dict[Identifier | None, tuple[str, ...]]:
    """The joint names of every category that has them, in the spelling of `skeletons`."""
    joint_names: dict[Identifier | None, tuple[str, ...]] = {}
    for index, category in enumerate(objects(path, data, "categories") if "categories" in data else []):
        where, names = f"{path}: categories[{index}]", category.get("keypoints", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: keypoints is {shown(names)}; expected the names of the joints")
        identifier = read_identifier(where, category, "id")
        joint_names[identifier] = tuple(re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names)
    return joint_names


def _read_openpose(path: Path, data: Any) -> tuple[ImageInput, list[_Found]]:
    people = []
    for index, person in enumerate(objects(path, data, "people")):
        where, key = f"{path}: people[{index}]", "pose_keypoints_2d"
        if key not in person and any(name in person for name in _OPENPOSE_PARTS):
            raise InputError(f"{where}: has arrays of hands without {key}; expected the body that they belong to")
        rows = read_triples(where, person.get(key), key)  # empty where OpenPose ran with the body off
        rows, parts = _with_parts(where, person, rows, _OPENPOSE_PARTS)
        people.append(_Found(f"{where}: {key}", rows, index, OPENPOSE25, parts))
    return ImageInput(path.stem), people


def _with_parts(
    where: str, entry: dict, rows: NDArray[np.float64], arrays: dict[str, tuple[str, ...]]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The rows of a body followed by those of the given arrays that the file has, and the names of the latter."""
    names: tuple[str, ...] = ()
    for key, joints in arrays.items():
        part = read_triples(where, entry.get(key) or [], key)  # empty where the detector of the hands was off
        if len(part) not in (0, len(joints)):
            raise InputError(f"{where}: {key} has {len(part)} joints; expected {len(joints)}")
        if len(part):
            rows, names = np.concatenate([rows, part]), names + joints
    return rows, names


def _load_array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            keys = list(loaded.files)
            wanted = keys if len(keys) == 1 else [key for key in ("keypoints", "joints2d") if key in keys]
            if wanted:
                return np.asarray(loaded[wanted[0]])
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds of exceptions for a broken file
        reason = re.sub(r"\s+", " ", str(error))[:150] or type(error).__name__
        raise InputError(f"{path}: is not a NumPy array file: {reason}") from None
    raise InputError(f"{path}: has arrays {shown(keys)}; expected a single one, or one called keypoints or joints2d")


def _read_array(path: Path) -> tuple[ImageInput, list[_Found]]:
    array = _load_array(path)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: holds values of type {array.dtype}; expected numbers")
    if array.ndim not in (2, 3) or array.shape[-1] not in (2, 3) or array.size == 0:
        raise InputError(f"{path}: has shape {array.shape}; expected (J, 2|3) or (P, J, 2|3)")
    people = array.reshape(-1, *array.shape[-2:]).astype(np.float64)
    if people.shape[2] == 2:
        people = np.concatenate([people, (people != 0).any(axis=2, keepdims=True)], axis=2)
    for i, j in np.argwhere((people[..., 2] < _LEAST_SCORE) | (people[..., 2] > _LARGEST_SCORE)):
        raise InputError(f"{path}: person {i}: column 3 of joint {j} is {people[i, j, 2]:g}; expected a confidence")
    return ImageInput(path.stem), [_Found(f"{path}: person {i}", rows, i) for i, rows in enumerate(people)]
