"""`Predictor`: from the 2D joints of people to their 3D joints, meshes and cameras, as NumPy arrays.

    predictor = pose2mesh.load()
    people = predictor.recover(keypoints, joints="coco")

A call takes four steps: convert the joints to the joint set of the model, run its networks (`inference.backend`), scale
the body to a given height, and solve for the camera. It needs neither a body model nor the training code, and PyTorch
only where that runs the networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, look_at, nominal_intrinsics
from pose2mesh.inference.backend import Backend, DepthBackend, ImageBackend, Images, TrackBackend, check_runtime
from pose2mesh.inference.joints3d import convert_joints3d, split_joints3d
from pose2mesh.inference.person import Person, canvas_size, solve_camera
from pose2mesh.io.hand_keypoints import place_hands
from pose2mesh.io.image_size import check_size, outside_image
from pose2mesh.models.bundle.bundle_info import DEFAULT
from pose2mesh.skeletons import (
    HAND_JOINTS,
    JOINT_SETS,
    LARGEST_COORDINATE_PX,
    JointSet,
    convert,
    input_order,
    where_without_spread,
)

# The same as in `io.keypoints`, so that arrays and files follow the same rule.
LEAST_JOINTS = 5


class Predictor:
    """A model ready for inference. It depends on no body model: the bundle holds all it needs.

    Args:
        backend: Runs the model's networks.

    Attributes:
        backend: As given.
        info: Description of the model.
        joint_set: The joints that the model takes and predicts.
        faces: (F, 3) of the mesh.
        template: (V, 3) the mean body at rest, metres.

    Raises:
        InputError: the model is a lifter alone, from the first stage of training.
    """

    def __init__(self, backend: Backend | ImageBackend) -> None:
        info = backend.info
        if info.config.get("stage") == "posenet":
            raise InputError(f"model {info.name!r} is a lifter without a mesh; expected one of stage pose2mesh")
        self.backend, self.info, self.joint_set = backend, info, JOINT_SETS[info.joint_set]
        self.faces, self.template = backend.faces, backend.template

    @classmethod
    def load(cls, name_or_path: str | Path = DEFAULT, device: str = "cpu", backend: str = "torch") -> Predictor:
        """Load a bundle or an exported file. `pose2mesh.load` also loads baselines by name.

        Args:
            name_or_path: `default` (the bundle that ships), a bundle file, a run folder that holds one, or an `.onnx`
                file written by `pose2mesh export`.
            device: `cpu` or `cuda`.
            backend: `torch` or `onnx`; an exported file always takes `onnx`.

        Raises:
            InputError: the model, the device or the backend cannot be used.
        """
        check_runtime(device, backend)
        if backend == "onnx" or Path(name_or_path).suffix.lower() == ".onnx":
            from pose2mesh.inference.onnx_backend import OnnxBackend

            return cls(OnnxBackend.load(name_or_path, device))
        from pose2mesh.inference.torch_backend import TorchBackend

        return cls(TorchBackend.load(name_or_path, device))

    def recover(
        self,
        keypoints: ArrayLike,
        joints: str = "coco",
        intrinsics: Intrinsics | Literal["auto"] | None = "auto",
        height_m: float | None = None,
        image_size: tuple[int, int] | None = None,
        image: NDArray[np.uint8] | None = None,
        joints3d_m: ArrayLike | None = None,
    ) -> list[Person]:
        """Recover people from an array of 2D joints.

        Args:
            keypoints: (J, 2|3) or (P, J, 2|3): pixels, and optionally a confidence in [0, 1] as third column. A missing
                joint has confidence 0 or, without a third column, is at (0, 0).
            joints: Order of the joints, a key of `skeletons.INPUT_ORDERS`. Hands far from their wrists are missing.
            intrinsics: Of the camera. `auto`: nominal ones of the image's size where that is known, else None. None
                for crops and unknown images: weak perspective, by a camera that faces the person.
            height_m: Standing height of every person, if it is available: 2D joints do not determine it.
            image_size: (width, height) in pixels of the whole image; by default that of `image`.
            image: (H, W, 3) RGB, the image that the people are in, for a model that takes it (`needs_image`).
            joints3d_m: (J, 3) or (P, J, 3) 3D joints in the order `joints` that a detector estimated from the image, as
                in `detectors.detection.Detection`; NaN where missing. They decide depths that 2D joints leave open.

        Returns:
            One person per row of the keypoints.

        Raises:
            InputError: an unexpected number of joints; coordinates that are not finite; fewer than five joints; joints
                that all coincide, lie on a line along an axis, or lie outside an image of `image_size`; a height for a
                model that does not predict heights; or no image for a model that needs it.
        """
        pixels, given = _split_keypoints(keypoints)
        order = input_order(joints, pixels.shape[1])
        if HAND_JOINTS & set(order):
            pixels, given = _with_hands_placed(pixels, given, order)
        joints_px, confidence = convert(pixels, given, order, self.joint_set)
        for person in range(len(joints_px)):
            fault = unusable(joints_px[person], confidence[person], self.joint_set)
            if fault is None and image_size is not None:
                fault = outside_image(joints_px[person], confidence[person], check_size(image_size))
            if fault is not None:
                raise InputError(f"person {person}: {fault}")
        depth = None
        if joints3d_m is not None:
            depth = convert_joints3d(split_joints3d(joints3d_m, pixels), order, self.joint_set)
        return self.recover_converted(joints_px, confidence, intrinsics, height_m, image_size, image, joints3d_m=depth)

    def recover_converted(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | Literal["auto"] | None = "auto",
        height_m: float | None = None,
        image_size: tuple[int, int] | None = None,
        image: NDArray[np.uint8] | None = None,
        one_person: bool = False,
        joints3d_m: NDArray[np.floating] | None = None,
    ) -> list[Person]:
        """`recover` for joints that are already converted to the model's joint set and checked.

        Args:
            joints_px: (P, J, 2) pixels.
            confidence: (P, J) in [0, 1]; 0 where missing.
            intrinsics, height_m, image_size, image: As for `recover`.
            one_person: Whether the rows are consecutive frames of one person. A model with a `window` then recovers up
                to that many together, and cameras are fitted to the model's own projection of its joints, which is as
                steady over time as its bodies.
            joints3d_m: (P, J, 3) as for `recover`, in the model's joint set.

        Raises:
            InputError: a height for a model that does not predict heights, or no image for a model that needs it.
        """
        if height_m is not None:
            self.require_heights(height_m)
        if len(joints_px) == 0:
            return []
        if image_size is None and image is not None:
            image_size = (image.shape[1], image.shape[0])
        if intrinsics == "auto":
            intrinsics = None if image_size is None else nominal_intrinsics(image_size)
        if image_size is None:  # one size for all people, so that they share a nominal camera and a scene
            image_size = canvas_size(joints_px[confidence > 0])
        joints, vertices, projected_px = self._run(joints_px, confidence, intrinsics, image, one_person, joints3d_m)
        people = []
        for index in range(len(joints_px)):
            stature = self.stature(joints[index])
            if height_m is not None:
                joints[index] *= height_m / stature
                vertices[index] *= height_m / stature
                stature = height_m
            weight = confidence[index]
            if projected_px is None:
                camera = solve_camera(joints[index], joints_px[index], weight, intrinsics, image_size)
            else:
                ones = np.ones(len(weight))
                camera = solve_camera(joints[index], projected_px[index], ones, intrinsics, image_size)
            people.append(
                Person(
                    joints[index],
                    vertices[index],
                    joints_px[index].astype(np.float32),
                    weight.astype(np.float32),
                    camera,
                    stature,
                    float(weight[weight > 0].mean()),
                )
            )
        return people

    def run(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | list[Intrinsics] | None = None,
        images: Images | None = None,
        joints3d_m: NDArray[np.floating] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the model without solving for cameras.

        With intrinsics, each person is first turned to the middle of a virtual camera that faces them, as in training,
        and the result is turned back into the axes of the given camera. Without, the result stays in the axes of a
        camera that faces the person.

        Args:
            joints_px: (P, J, 2) pixels, in the model's joint set.
            confidence: (P, J) in [0, 1]; 0 where missing.
            intrinsics: Of the camera, or of each person's camera.
            images: For a model that needs them.
            joints3d_m: (P, J, 3) as for `recover`, in the model's joint set.

        Returns:
            Joints (P, J, 3) and vertices (P, V, 3), metres, relative to the root joint.

        Raises:
            InputError: there are no images, and the model needs them.
        """
        return self._run(joints_px, confidence, intrinsics, images, joints3d_m=joints3d_m)[:2]

    def _run(
        self,
        joints_px: NDArray[np.floating],
        confidence: NDArray[np.floating],
        intrinsics: Intrinsics | list[Intrinsics] | None,
        images: Images | None,
        one_person: bool = False,
        joints3d_m: NDArray[np.floating] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.floating] | None]:
        """`run`, and the joints projected by the model itself (P, J, 2), or None where it has no camera of its own."""
        projected_px: NDArray[np.floating] | None = None
        pixels = np.array(joints_px, np.float32)
        turns = np.zeros((len(pixels), 3, 3), np.float32)
        if intrinsics is not None:
            cameras = intrinsics if isinstance(intrinsics, list) else [intrinsics] * len(pixels)
            for index, camera in enumerate(cameras):
                pixels[index], turns[index] = look_at(joints_px[index], confidence[index], camera)
        weight = np.asarray(confidence, np.float32)
        if isinstance(self.backend, ImageBackend):
            if images is None:
                raise InputError(f"model {self.info.name!r} takes the image; it is needed beside the keypoints")
            joints, vertices = self.backend.run_on_images(np.asarray(joints_px, np.float32), weight, images)
        elif one_person and isinstance(self.backend, TrackBackend):
            joints, vertices, projected_px = self.backend.run_track(pixels, weight)
            if intrinsics is not None:  # back from the camera that faces each person
                faced = zip(cameras, projected_px, turns, strict=True)
                projected_px = np.stack(
                    [camera.project(camera.pinhole.rays(points) @ turn) for camera, points, turn in faced]
                )
        elif joints3d_m is not None and isinstance(self.backend, DepthBackend) and self.backend.takes_joints3d:
            joints, vertices = self.backend.run(pixels, weight, np.asarray(joints3d_m, np.float32))
        else:
            joints, vertices = self.backend.run(pixels, weight)
        origin = joints[:, self.joint_set.root_index, None].copy()
        for points in (joints, vertices):
            points -= origin
            if intrinsics is not None:
                for person, turn in zip(points, turns, strict=True):
                    person[:] = person @ turn
        return joints, vertices, projected_px

    @property
    def needs_image(self) -> bool:
        """Whether the model takes the image beside the 2D joints."""
        return isinstance(self.backend, ImageBackend)

    @property
    def window(self) -> tuple[int, int] | None:
        """For a model that recovers the frames of one person together, their largest number, and how many of them
        consecutive windows share; None for a model that takes every frame by itself.
        """
        return (self.backend.window, self.backend.overlap) if isinstance(self.backend, TrackBackend) else None

    def require_heights(self, height_m: float) -> None:
        """Refuse a standing height if the model does not predict the heights of its bodies.

        Raises:
            InputError: it does not.
        """
        if not self.info.stature_features:
            raise InputError(f"--height {height_m}: model {self.info.name!r} does not predict heights; leave it out")

    def stature(self, joints: NDArray[np.floating]) -> float:
        """Standing height in metres of the body with predicted joints (J, 3), from its bone lengths; NaN if unknown."""
        features = self.info.stature_features
        if not features:
            return float("nan")
        return float(np.exp(bone_log_lengths(joints[None], self.joint_set)[0] @ np.array(features[:-1]) + features[-1]))


def _split_keypoints(keypoints: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (P, J, 2), 0 where missing, and confidences (P, J) from the array that `Predictor.recover` takes.

    Raises:
        InputError: another shape, or values that are not finite or too large.
    """
    try:
        array = np.asarray(keypoints, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"keypoints are not an array of numbers ({error})") from error
    if array.ndim not in (2, 3) or array.shape[-1] not in (2, 3):
        raise InputError(f"keypoints have shape {array.shape}, expected (J, 2|3) or (P, J, 2|3)")
    if array.ndim == 2:
        array = array[None]
    confidence = array[..., 2] if array.shape[-1] == 3 else (array != 0).any(-1).astype(np.float64)
    if not np.isfinite(confidence).all():
        raise InputError("keypoints hold a confidence that is not finite; expected 0 to 1, 0 for a missing joint")
    present = confidence > 0
    if not (np.abs(array[present][:, :2]) <= LARGEST_COORDINATE_PX).all():  # False for NaN
        raise InputError("keypoints hold a coordinate that is no finite pixel; mark missing joints by confidence 0")
    return np.where(present[..., None], array[..., :2], 0.0), confidence.clip(0, 1)


def _with_hands_placed(
    pixels: NDArray[np.float64], confidence: NDArray[np.float64], order: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (P, J, 2) and confidences (P, J) after `io.hand_keypoints.place_hands`."""
    rows = np.concatenate([pixels, confidence[..., None]], axis=-1)
    for person in range(len(rows)):
        rows[person] = place_hands(rows[person], order)[0]
    return rows[..., :2], rows[..., 2]


def unusable(joints_px: NDArray[np.floating], confidence: NDArray[np.floating], joint_set: JointSet) -> str | None:
    """Why joints (J, 2) with confidences (J,) in `joint_set` do not suffice for a prediction; None if they do."""
    derived = dict(joint_set.derived)
    labelled = [index for index, name in enumerate(joint_set.names) if name not in derived and confidence[index] > 0]
    body = [index for index in labelled if joint_set.names[index] not in HAND_JOINTS]
    if len(body) < LEAST_JOINTS:
        lone = "hands without a body: " if len(body) < len(labelled) else ""
        return f"{lone}{len(body)} of the joints of {joint_set.name!r} are there, at least {LEAST_JOINTS} are needed"
    place = where_without_spread(joints_px[labelled])
    return None if place is None else f"all joints are {place}"


def bone_log_lengths(joints: NDArray[np.floating], joint_set: JointSet) -> NDArray[np.float64]:
    """Logarithms (B, bones) of the bone lengths in metres of joints (B, J, 3)."""
    a, b = np.array(joint_set.edges).T
    return np.log(np.maximum(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1), 1e-3))
