"""What a detector of 2D poses is, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.io import downloads

Files = tuple[Path, ...] | None


@dataclass(frozen=True, eq=False)
class Detection:
    """The 2D pose of one person.

    Attributes:
        joints_px: (17, 2) float32 pixels, origin top left, in the order of `skeletons.COCO17`.
        confidence: (17,) float32 in [0, 1]; 0 marks a joint that is not seen, whatever its coordinates.
        box_px: (4,) float32: left, top, right, bottom.
        score: In [0, 1], of the person.
    """

    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    box_px: NDArray[np.float32]
    score: float


class Detector(Protocol):
    """Finds people and their joints."""

    def __call__(self, picture: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        """The people of a picture.

        Args:
            picture: (H, W, 3) RGB.
            boxes: (P, 4) left, top, right, bottom of people that are known already.

        Returns:
            Without boxes everyone who is found, each once, the best score first. With boxes one pose each, in their
            order; where nobody is seen in a box, every confidence is 0.

        Raises:
            InputError: the picture or the boxes have another shape.
        """
        ...


def load_detector(name: str, files: Files = None, offline: bool = False) -> Detector:
    """A detector, ready to run on the CPU. Its files are downloaded unless they are given or there already.

    Args:
        name: `mediapipe`, `rtmpose`, or `auto`: what the files are for; else RTMPose where its files are there
            already; else what is installed, MediaPipe before RTMPose, since its one file is a sixteenth of the size.
        files: MediaPipe: a `.task` file, and if wanted a YOLOX `.onnx` file that finds the people. RTMPose: `.onnx`
            files of YOLOX and RTMPose, in any order.
        offline: Download nothing.

    Raises:
        InputError: no such detector, its library is not installed or does not load, or its files cannot be had or used.
    """
    if name not in DETECTORS:
        raise InputError(f"--detector {name!r}: expected one of {', '.join(DETECTORS)}")
    for file in files or ():
        if not file.is_file():
            raise InputError(f"--detector-model {file}: no such file")
    return DETECTORS[name](files or None, offline)


def _mediapipe(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.mediapipe_pose import MediaPipeDetector
    from pose2mesh.detectors.onnx_files import Network
    from pose2mesh.detectors.yolox import PeopleFinder

    MediaPipeDetector.require()  # before anything is downloaded
    if not files:
        return MediaPipeDetector(downloads.fetch("mediapipe", offline))
    tasks, networks = ([file for file in files if file.suffix.lower() == kind] for kind in (".task", ".onnx"))
    if len(tasks) != 1 or len(networks) > 1 or len(files) != len(tasks) + len(networks):
        names = ", ".join(map(str, files))
        raise InputError(
            f"--detector-model {names}: expected a .task file for mediapipe, or that and a YOLOX .onnx file"
        )
    return MediaPipeDetector(tasks[0], PeopleFinder(Network(networks[0])) if networks else None)


def _rtmpose(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.onnx_files import Network, require_onnxruntime
    from pose2mesh.detectors.rtmpose import SIMCC, PoseNetwork, RTMPoseDetector
    from pose2mesh.detectors.yolox import PeopleFinder

    require_onnxruntime()  # before anything is downloaded
    networks = [Network(file) for file in files or [downloads.fetch(key, offline) for key in ("yolox", "rtmpose")]]
    poses = [network for network in networks if network.outputs >= set(SIMCC)]
    finders = [network for network in networks if network not in poses]
    if len(poses) != 1 or len(finders) != 1:
        names = ", ".join(str(network.path) for network in networks)
        raise InputError(
            f"--detector-model {names}: expected two .onnx files for rtmpose, one of YOLOX and one with the outputs "
            f"{' and '.join(SIMCC)}"
        )
    return RTMPoseDetector(PeopleFinder(finders[0]), PoseNetwork(poses[0]))


def _auto(files: Files, offline: bool) -> Detector:
    has_mediapipe, has_onnxruntime = find_spec("mediapipe") is not None, find_spec("onnxruntime") is not None
    if files:
        is_mediapipe = any(file.suffix.lower() == ".task" for file in files)
        return (_mediapipe if is_mediapipe else _rtmpose)(files, offline)
    if has_onnxruntime and downloads.find_cached("yolox") and downloads.find_cached("rtmpose"):
        return _rtmpose(None, offline)
    if has_mediapipe:
        return _mediapipe(None, offline)
    if has_onnxruntime:
        return _rtmpose(None, offline)
    raise InputError(
        "--detector auto: no detector is installed; `pip install pose2mesh[mediapipe]` brings one for a few large "
        "people, `pip install pose2mesh[rtmpose]` one for crowds"
    )


DETECTORS: dict[str, Callable[[Files, bool], Detector]] = {
    "auto": _auto,
    "mediapipe": _mediapipe,
    "rtmpose": _rtmpose,
}


def check_picture(picture: NDArray[np.uint8]) -> None:
    """Refuse what is not an RGB picture.

    Raises:
        InputError: another shape or type.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise InputError(f"picture: has shape {picture.shape} of {picture.dtype}; expected (H, W, 3) of uint8")


def check_boxes(boxes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Boxes (P, 4) as float32.

    Raises:
        InputError: another shape, or a box without extent.
    """
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes: have shape {boxes.shape}; expected (P, 4)")
    for index, box in enumerate(boxes):
        if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
            raise InputError(f"boxes: number {index} is {box.tolist()}; expected left < right and top < bottom")
    return boxes


def unseen_outside(
    joints_px: NDArray[np.floating], confidence: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Confidences (J,), 0 where the joint (J, 2) lies outside a picture of `size` (width, height): it is a guess."""
    inside = np.all((joints_px >= 0) & (joints_px <= np.array(size)), axis=1)
    return np.where(inside, np.clip(confidence, 0, 1), 0).astype(np.float32)
