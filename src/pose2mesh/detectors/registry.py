"""The detectors of 2D poses by name, and `load_detector`, which builds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pose2mesh.detectors.detection import Detector
from pose2mesh.errors import InputError
from pose2mesh.io import downloads

Files = tuple[Path, ...] | None


def load_detector(name: str, files: Files = None, offline: bool = False) -> Detector:
    """Build a detector that runs on the CPU; model files that do not ship are downloaded unless given or cached.

    Args:
        name: `movenet` (with BlazePose's landmarks) and `blazepose`, which ship, `rtmpose`, or `auto`. `auto` is
            RTMPose if its files are given or cached, else `movenet`.
        files: RTMPose: `.onnx` files of YOLOX and RTMPose, in any order.
        offline: Download nothing.

    Raises:
        InputError: no such detector, its library is not installed or does not load, or its files are unavailable or
            unusable.
    """
    if name not in DETECTORS:
        raise InputError(f"--detector {name!r}: expected one of {', '.join(DETECTORS)}")
    for file in files or ():
        if not file.is_file():
            raise InputError(f"--detector-model {file}: no such file")
    return DETECTORS[name](files or None, offline)


def _blazepose(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.blazepose.blazepose_detector import BlazePoseDetector

    if files:
        names = ", ".join(map(str, files))
        raise InputError(f"--detector-model {names}: blazepose ships with its files; expected --detector rtmpose")
    return BlazePoseDetector()


def _movenet(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.people_detector import PeopleDetector

    if files:
        names = ", ".join(map(str, files))
        raise InputError(f"--detector-model {names}: movenet ships with its files; expected --detector rtmpose")
    return PeopleDetector()


def _rtmpose(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.onnx_files import OnnxNetwork, require_onnxruntime
    from pose2mesh.detectors.rtmpose import SIMCC, PoseNetwork, RTMPoseDetector
    from pose2mesh.detectors.yolox import PersonDetector

    require_onnxruntime()  # before anything is downloaded
    networks = [OnnxNetwork(file) for file in files or [downloads.fetch(key, offline) for key in ("yolox", "rtmpose")]]
    poses = [network for network in networks if network.outputs >= set(SIMCC)]
    person_detectors = [network for network in networks if network not in poses]
    if len(poses) != 1 or len(person_detectors) != 1:
        names = ", ".join(str(network.path) for network in networks)
        raise InputError(
            f"--detector-model {names}: expected two .onnx files for rtmpose, one of YOLOX and one with the outputs "
            f"{' and '.join(SIMCC)}"
        )
    return RTMPoseDetector(PersonDetector(person_detectors[0]), PoseNetwork(poses[0]))


def _auto(files: Files, offline: bool) -> Detector:
    if files or (downloads.find_cached("yolox") and downloads.find_cached("rtmpose")):
        return _rtmpose(files, offline)
    return _movenet(None, offline)


DETECTORS: dict[str, Callable[[Files, bool], Detector]] = {
    "auto": _auto,
    "blazepose": _blazepose,
    "movenet": _movenet,
    "rtmpose": _rtmpose,
}
