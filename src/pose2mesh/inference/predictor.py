"""From 2D joints to people: the networks, the camera and the person's size, in and out of NumPy.

`Predictor` needs neither the body model nor the training stack, and PyTorch only where that runs the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, fit_perspective, fit_weak_perspective, look_at, nominal_intrinsics
from pose2mesh.inference.backend import Backend, ImageBackend, Images, TrackBackend
from pose2mesh.io.keypoints import PoseInput, Skipped
from pose2mesh.models.bundle.bundle_info import BASELINES, DEFAULT, is_learned
from pose2mesh.skeletons import JOINT_SETS, LARGEST_COORDINATE_PX, JointSet, convert, input_order, where_without_spread

# As `io.keypoints` has them, so that arrays and files are judged alike.
LEAST_JOINTS = 5


@dataclass(frozen=True)
class Camera:
    """How a person is projected.

    Attributes:
        kind: `weak_perspective` (one scale for the whole body) or `perspective` (known intrinsics).
        intrinsics: Of the perspective camera; for weak perspective a nominal one that gives the same size at the root.
        translation_m: (3,) the root joint in the camera's frame.
        scale_px_per_m: Pixels a metre at the root's depth.
        shift_px: (2,) where the root joint is seen.
    """

    kind: str
    intrinsics: Intrinsics
    translation_m: NDArray[np.float64]
    scale_px_per_m: float
    shift_px: NDArray[np.float64]

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Root-relative points (N, 3), metres, camera axes → pixels (N, 2)."""
        if self.kind == "perspective":
            absolute = points + self.translation_m
            absolute[:, 2] = np.maximum(absolute[:, 2], 0.01)
            return self.intrinsics.project(absolute)
        return np.asarray(self.scale_px_per_m * points[:, :2] + self.shift_px, np.float64)


@dataclass(frozen=True)
class Person:
    """One recovered person. 3D in metres, camera axes (x right, y down, z forward), relative to the root joint.

    Attributes:
        joints: (J, 3) joints regressed from the mesh, in the order of the model's joint set.
        vertices: (V, 3).
        joints_px: (J, 2) the input joints in the model's joint set; 0 where missing.
        confidence: (J,) theirs.
        camera: Solved for this person.
        stature_m: Standing height that the body implies, or the one given; NaN for a model that does not tell it.
        score: Mean confidence of the input joints that were there.
    """

    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    camera: Camera
    stature_m: float
    score: float

    @property
    def vertices_camera(self) -> NDArray[np.float64]:
        """(V, 3) in the camera's frame, metres."""
        return self.vertices + self.camera.translation_m

    @property
    def joints_camera(self) -> NDArray[np.float64]:
        """(J, 3) in the camera's frame, metres."""
        return self.joints + self.camera.translation_m


class Predictor:
    """A model that recovers people. Not bound to a body model: all it needs is in the bundle.

    Args:
        backend: Runs the networks.

    Raises:
        InputError: the model is of the first stage of training.
    """

    def __init__(self, backend: Backend | ImageBackend) -> None:
        info = backend.info
        if info.config.get("stage") == "posenet":
            raise InputError(f"model {info.name!r} is a lifter without a mesh; expected one of stage pose2mesh")
        self.backend, self.info, self.joint_set = backend, info, JOINT_SETS[info.joint_set]
        self.faces, self.template = backend.faces, backend.template

    @classmethod
    def load(cls, name_or_path: str | Path = DEFAULT, device: str = "cpu", backend: str = "torch") -> Predictor:
        """Load `default`, a bundle file, a file that `pose2mesh export` wrote, or a baseline.

        Args:
            name_or_path: The model.
            device: `cpu` or `cuda`.
            backend: `torch` or `onnx`, which an exported file always takes.

        Raises:
            InputError: the model, the device or the backend cannot be used.
        """
        if device not in ("cpu", "cuda"):
            raise InputError(f"--device {device!r}: expected cpu or cuda")
        if backend not in ("torch", "onnx"):
            raise InputError(f"--backend {backend!r}: expected torch or onnx")
        if name_or_path in BASELINES:
            if backend == "onnx":
                raise InputError(f"--backend onnx: model {name_or_path!r} is run by torch")
            from pose2mesh.baselines.fitting_backend import FittingBackend

            return cls(FittingBackend.load(str(name_or_path), device))
        if is_learned(name_or_path):
            if backend == "onnx":
                raise InputError(f"--backend onnx: model {str(name_or_path)!r} is run by torch")
            from pose2mesh.baselines.learned_backend import LearnedBackend

            return cls(LearnedBackend.load(name_or_path, device))
        if backend == "onnx" or Path(name_or_path).suffix.lower() == ".onnx":
            from pose2mesh.inference.onnx_backend import OnnxBackend

            return cls(OnnxBackend.load(name_or_path, device))
        from pose2mesh.inference.torch_backend import TorchBackend

        return cls(TorchBackend.load(name_or_path, device))

    def recover(
        self,
        keypoints: ArrayLike,
        joints: str = "coco",
        intrinsics: Intrinsics | None = None,
        height_m: float | None = None,
        image_size: tuple[int, int] | None = None,
        photo: NDArray[np.uint8] | None = None,
    ) -> list[Person]:
        """Recover people from an array of 2D joints.

        Args:
            keypoints: (J, 2|3) or (P, J, 2|3) pixels, and confidence in [0, 1] as a third column; 0 marks a missing
                joint, as (0, 0) does where there is no third column.
            joints: Their order: `coco` (17 or 19), `human36`, `smpl`, `hand`, `openpose25` or
                `mediapipe33`.
            intrinsics: Of the camera, where known: gives full perspective and the true viewing direction.
            height_m: Everyone's standing height, where known; a 2D pose does not tell it.
            image_size: (width, height) in pixels; only sets the nominal focal length.
            photo: (H, W, 3) that the people are in, for models that look at them.

        Raises:
            InputError: another number of joints, coordinates that are not finite, fewer than five joints, joints all in
                one place or on a line along an axis, a height given to a model that does not tell heights, or no photo
                to one that looks at it.
        """
        try:
            array = np.asarray(keypoints, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"keypoints are not an array of numbers ({error})") from error
        if array.ndim not in (2, 3) or array.shape[-1] not in (2, 3):
            raise InputError(f"keypoints have shape {array.shape}, expected (J, 2|3) or (P, J, 2|3)")
        if array.ndim == 2:
            array = array[None]
        order = input_order(joints, array.shape[1])
        confidence = array[..., 2] if array.shape[-1] == 3 else (array != 0).any(-1).astype(np.float64)
        if not np.isfinite(confidence).all():
            raise InputError("keypoints hold a confidence that is not finite; expected 0 to 1, 0 for a missing joint")
        seen = confidence > 0
        if not (np.abs(array[seen][:, :2]) <= LARGEST_COORDINATE_PX).all():  # False for NaN
            raise InputError("keypoints hold a coordinate that is no finite pixel; mark missing joints by confidence 0")
        pixels = np.where(seen[..., None], array[..., :2], 0.0)
        converted, converted_confidence = convert(pixels, confidence.clip(0, 1), order, self.joint_set)
        for person in range(len(array)):
            fault = unusable(converted[person], converted_confidence[person], self.joint_set)
            if fault is not None:
                raise InputError(f"person {person}: {fault}")
        return self.recover_converted(converted, converted_confidence, intrinsics, height_m, image_size, photo)

    def recover_converted(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | None = None,
        height_m: float | None = None,
        image_size: tuple[int, int] | None = None,
        photo: NDArray[np.uint8] | None = None,
        one_person: bool = False,
    ) -> list[Person]:
        """`recover` for pixels (P, J, 2) and confidences (P, J) already in the model's joint set and checked.

        With `one_person` they are consecutive frames of one. A model that has a `window` recovers so many together, and
        the cameras are those by which it sees its own joints, which move as steadily as its bodies.

        Raises:
            InputError: `height_m` is given and the model does not tell which height its bodies have, or there is no
                photo and the model looks at it.
        """
        if height_m is not None:
            self.require_heights(height_m)
        if len(joints_px) == 0:
            return []
        if image_size is None:  # one for all, so that they share a nominal camera and stand in one scene
            image_size = canvas_size(joints_px[confidence > 0])
        joints, vertices, own_px = self._answer(joints_px, confidence, intrinsics, photo, one_person)
        people = []
        for index in range(len(joints_px)):
            stature = self.stature(joints[index])
            if height_m is not None:
                joints[index] *= height_m / stature
                vertices[index] *= height_m / stature
                stature = height_m
            seen = confidence[index]
            meant, weight = (joints_px[index], seen) if own_px is None else (own_px[index], np.ones(len(seen)))
            people.append(
                Person(
                    joints[index],
                    vertices[index],
                    joints_px[index].astype(np.float32),
                    seen.astype(np.float32),
                    solve_camera(joints[index], meant, weight, intrinsics, image_size),
                    stature,
                    float(seen[seen > 0].mean()),
                )
            )
        return people

    def run(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | list[Intrinsics] | None = None,
        pictures: Images | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints (P, J, 3) and vertices (P, V, 3), root-relative, metres, in the picture's camera axes.

        With intrinsics, each person is first looked at straight, as the networks were trained to see people, and the
        result is turned back. Without, the axes are those of a camera that faces the person.

        Raises:
            InputError: there are no pictures, and the model looks at them.
        """
        return self._answer(joints_px, confidence, intrinsics, pictures)[:2]

    def _answer(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | list[Intrinsics] | None,
        pictures: Images | None,
        one_person: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.floating] | None]:
        """`run`, and the pixels (P, J, 2) where a model that recovers frames together sees its joints itself."""
        own_px: NDArray[np.floating] | None = None
        pixels = np.array(joints_px, np.float32)
        turns = np.zeros((len(pixels), 3, 3), np.float32)
        if intrinsics is not None:
            cameras = intrinsics if isinstance(intrinsics, list) else [intrinsics] * len(pixels)
            for index, camera in enumerate(cameras):
                pixels[index], turns[index] = look_at(joints_px[index], confidence[index], camera)
        seen = np.asarray(confidence, np.float32)
        if isinstance(self.backend, ImageBackend):
            if pictures is None:
                raise InputError(f"model {self.info.name!r} looks at the photo; it is needed beside the keypoints")
            joints, vertices = self.backend.look(np.asarray(joints_px, np.float32), seen, pictures)
        elif one_person and isinstance(self.backend, TrackBackend):
            joints, vertices, own_px = self.backend.run_track(pixels, seen)
            if intrinsics is not None:  # back from the camera that faces each person
                faced = zip(cameras, own_px, turns, strict=True)
                own_px = np.stack([camera.project(camera.rays(points) @ turn) for camera, points, turn in faced])
        else:
            joints, vertices = self.backend.run(pixels, seen)
        origin = joints[:, self.joint_set.root_index, None].copy()
        for points in (joints, vertices):
            points -= origin
            if intrinsics is not None:
                for person, turn in zip(points, turns, strict=True):
                    person[:] = person @ turn
        return joints, vertices, own_px

    @property
    def looks(self) -> bool:
        """Whether the model looks at pictures, beside the 2D joints."""
        return isinstance(self.backend, ImageBackend)

    @property
    def window(self) -> tuple[int, int] | None:
        """How many frames of one person the model recovers together at most, and how many of them again with the next
        ones; None for a model to which every frame is another person.
        """
        return (self.backend.window, self.backend.overlap) if isinstance(self.backend, TrackBackend) else None

    def require_heights(self, height_m: float) -> None:
        """Refuse a standing height where the model does not tell which one its bodies have.

        Raises:
            InputError: it does not.
        """
        if not self.info.stature_features:
            raise InputError(f"--height {height_m}: model {self.info.name!r} does not tell heights; leave it out")

    def stature(self, joints: NDArray[np.floating]) -> float:
        """The standing height in metres that predicted joints (J, 3) belong to, from their bones' lengths, or NaN."""
        features = self.info.stature_features
        if not features:
            return float("nan")
        return float(np.exp(bone_log_lengths(joints[None], self.joint_set)[0] @ np.array(features[:-1]) + features[-1]))


def unusable(joints_px: NDArray[np.floating], confidence: NDArray[np.floating], joint_set: JointSet) -> str | None:
    """Why a person's joints (J, 2) with confidences (J,), in `joint_set`, do not suffice, or None where they do."""
    derived = dict(joint_set.derived)
    labelled = [index for index, name in enumerate(joint_set.names) if name not in derived and confidence[index] > 0]
    if len(labelled) < LEAST_JOINTS:
        return f"{len(labelled)} of the joints of {joint_set.name!r} are there, at least {LEAST_JOINTS} are needed"
    place = where_without_spread(joints_px[labelled])
    return None if place is None else f"all joints are {place}"


def usable_people(
    people: Sequence[PoseInput], joint_set: JointSet
) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32], list[Skipped]]:
    """People from a file or a detector in a model's joint set, and those whose joints do not suffice.

    Returns:
        The indices of the people kept, their pixels (P, J, 2) and confidences (P, J), and the others.
    """
    kept, pixels, confidences, skipped = [], [], [], []
    for index, person in enumerate(people):
        joints_px, confidence = convert(person.original[:, :2], person.original[:, 2], person.original_names, joint_set)
        fault = unusable(joints_px, confidence, joint_set)
        if fault is not None:
            skipped.append(Skipped(person.identifier, fault))
            continue
        kept.append(index)
        pixels.append(joints_px)
        confidences.append(confidence)
    J = len(joint_set)
    return (
        kept,
        np.array(pixels, np.float32).reshape(-1, J, 2),
        np.array(confidences, np.float32).reshape(-1, J),
        skipped,
    )


def bone_log_lengths(joints: NDArray[np.floating], joint_set: JointSet) -> NDArray[np.float64]:
    """(B, bones) logarithms of bone lengths in metres, of joints (B, J, 3)."""
    a, b = np.array(joint_set.edges).T
    return np.log(np.maximum(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1), 1e-3))


def solve_camera(
    joints: NDArray[np.floating],
    joints_px: NDArray[np.floating],
    confidence: NDArray[np.floating],
    intrinsics: Intrinsics | None,
    image_size: tuple[int, int] | None = None,
) -> Camera:
    """The camera of one person: full perspective where the intrinsics are known, else weak perspective.

    Args:
        joints: (J, 3) root-relative, metres, camera axes.
        joints_px: (J, 2) where they were seen.
        confidence: (J,) their weight in the fit; 0 leaves a joint out.
        intrinsics: Where known.
        image_size: (width, height) for the nominal focal length; guessed from the joints where not known.
    """
    if intrinsics is not None:
        translation = fit_perspective(joints, joints_px, confidence, intrinsics)
        scale = float(np.sqrt(intrinsics.fx * intrinsics.fy) / translation[2])
        return Camera("perspective", intrinsics, translation, scale, intrinsics.project(translation))
    scale, shift = fit_weak_perspective(joints, joints_px, confidence)
    nominal = nominal_intrinsics(image_size or canvas_size(joints_px[confidence > 0]))
    depth = nominal.fx / scale
    translation = nominal.rays(shift) * depth
    return Camera("weak_perspective", nominal, translation, scale, shift)


def canvas_size(pixels: NDArray[np.floating]) -> tuple[int, int]:
    """(width, height) of a picture that holds points (N, 2) with a margin, where nothing says its size."""
    low, high = pixels.min(0), pixels.max(0)
    margin = 0.25 * max(*(high - low), 40.0)
    # Points left of or above the origin come from no picture, but a size is positive all the same.
    width, height = np.ceil(np.maximum(high, high - low + margin) + margin)
    return int(width), int(height)
