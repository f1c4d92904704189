"""The detectors of 2D poses by name, and `load_detector`, which builds one from its model files."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from pose2mesh.detectors.detection import Detector
from pose2mesh.errors import InputError
from pose2mesh.io import downloads
from pose2mesh.io.extras import install_command

Files = tuple[Path, ...] | None


def load_detector(name: str, files: Files = None, offline: bool = False) -> Detector:
    """Build a detector that runs on the CPU; its model files are downloaded unless they are given or cached.

    Args:
        name: `movenet`, `mediapipe`, `rtmpose`, or `auto`. `auto` is the detector that the files belong to; without
            files RTMPose if its files are cached, else the installed one, MediaPipe before RTMPose, since its one file
            is a sixteenth of the size.
        files: MediaPipe: a `.task` file, and optionally a YOLOX `.onnx` file that detects the people. RTMPose: `.onnx`
            files of YOLOX and RTMPose, in any order.
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


def _mediapipe(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.mediapipe_pose import MediaPipeDetector
    from pose2mesh.detectors.onnx_files import OnnxNetwork
    from pose2mesh.detectors.yolox import PersonDetector

    MediaPipeDetector.require()  # before anything is downloaded
    if not files:
        return MediaPipeDetector(downloads.fetch("mediapipe", offline))
    tasks, networks = ([file for file in files if file.suffix.lower() == kind] for kind in (".task", ".onnx"))
    if len(tasks) != 1 or len(networks) > 1 or len(files) != len(tasks) + len(networks):
        names = ", ".join(map(str, files))
        raise InputError(
            f"--detector-model {names}: expected a .task file for mediapipe, or that and a YOLOX .onnx file"
        )
    return MediaPipeDetector(tasks[0], PersonDetector(OnnxNetwork(networks[0])) if networks else None)


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
        f"--detector auto: no detector is installed; {install_command('mediapipe')} brings one for a few large "
        f"people, {install_command('rtmpose')} one for crowds"
    )


def _movenet(files: Files, offline: bool) -> Detector:
    from pose2mesh.detectors.movenet import SHIPPED_FILE, MoveNetDetector
    from pose2mesh.detectors.onnx_files import OnnxNetwork

    if files and len(files) > 1:
        raise InputError(f"--detector-model {', '.join(map(str, files))}: expected one .onnx file for movenet")
    return MoveNetDetector(OnnxNetwork(files[0] if files else SHIPPED_FILE))


DETECTORS: dict[str, Callable[[Files, bool], Detector]] = {
    "auto": _auto,
    "mediapipe": _mediapipe,
    "movenet": _movenet,
    "rtmpose": _rtmpose,
}
