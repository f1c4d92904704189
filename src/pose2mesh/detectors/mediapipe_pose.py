"""MediaPipe's pose landmarker (BlazePose): small, fast, good for a few people who are large in the image.

Its person detector scales the whole image to 224 x 224 pixels and misses people who are small there. Therefore it also
runs on overlapping tiles. Since about half of the detections in tiles are false, it runs once more on a crop around
each person, and a detection that this second run does not confirm in the same pose is dropped. `docs/detectors.md` has
the measurements.
"""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, check_boxes, check_image, zero_outside
from pose2mesh.detectors.nms import box_iou, pose_similarity, remove_duplicates
from pose2mesh.detectors.quiet_stderr import quiet_stderr
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.extras import not_installed
from pose2mesh.skeletons import COCO17, MEDIAPIPE33

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import PoseLandmarker

    from pose2mesh.detectors.yolox import PersonDetector

SCALES = (1.0, 0.6)  # sides of the tiles, relative to the image's shorter side
_MIN_TILE_PX = 32  # people in smaller tiles are never detected
_MAX_POSES = 4  # most people detected per run
_MIN_CONFIDENCE, _MIN_CONFIDENCE_IN_BOX = 0.5, 0.1  # thresholds of MediaPipe's person score
_MARGIN, _BOX_MARGIN = 1.5, 1.25  # side of the crop of the second run, and of a given box, over the box's longer side
_CONFIRMED = 0.45  # least OKS of the poses of the two runs
_SAME_PROPOSAL = 0.7
_MIN_JOINTS = 5  # detected
_COCO_OF_MEDIAPIPE = [MEDIAPIPE33.index(name) for name in COCO17]


class MediaPipeDetector:
    """The `Detector` of MediaPipe.

    Args:
        task: MediaPipe's `.task` file.
        person_detector: Detects the people instead of the tiles; MediaPipe then runs once per person.
        scales: Sides of the tiles, relative to the image's shorter side; empty for the whole image alone.

    Raises:
        InputError: MediaPipe is not installed or does not load, or the file is not one of its models.
    """

    def __init__(
        self, task: Path, person_detector: PersonDetector | None = None, scales: tuple[float, ...] = SCALES
    ) -> None:
        self.require()
        self.task, self.person_detector, self.scales = task, person_detector, scales
        self.landmarker = self._open(_MIN_CONFIDENCE)
        self._has_detected = False

    def _open(self, min_confidence: float) -> PoseLandmarker:
        from mediapipe.tasks.python import BaseOptions
        from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerOptions

        options = PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self.task)),
            num_poses=_MAX_POSES,
            min_pose_detection_confidence=min_confidence,
        )
        try:
            with quiet_stderr():  # MediaPipe logs to standard error, and no setting turns that off
                landmarker = PoseLandmarker.create_from_options(options)
        except OSError as error:  # MediaPipe loads its native library only at this point
            raise _lacks_gl(error) from error
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.task}: is not a pose model of MediaPipe ({one_line(error)})") from error
        _ignore_profiling_signal()
        weakref.finalize(self, _close, landmarker)
        return landmarker

    @cached_property
    def _landmarker_in_boxes(self) -> PoseLandmarker:
        """Landmarker with a lower confidence threshold, for crops around given boxes, which contain a person."""
        return self._open(_MIN_CONFIDENCE_IN_BOX)

    @staticmethod
    def require() -> None:
        """Check that MediaPipe is installed and loads.

        Raises:
            InputError: MediaPipe is missing or fails to load; the message names the package to install.
        """
        try:
            import mediapipe.tasks.python.vision  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(not_installed(str(error.name), "mediapipe")) from error
        except (ImportError, OSError) as error:
            raise _lacks_gl(error) from error

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_image(image)
        if boxes is not None:
            return [self._in_box(image, box) for box in check_boxes(boxes)]
        if self.person_detector is not None:
            people = [self._in_box(image, box) for box in self.person_detector(image)[0]]
            return remove_duplicates([person for person in people if person.score > 0])
        whole = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
        proposals = self._detect(image, whole, self.landmarker)
        for tile in tiles(image, self.scales):
            proposals += self._detect(image, tile, self.landmarker)
        proposals = remove_duplicates(proposals, _SAME_PROPOSAL)
        if not self.scales:
            return remove_duplicates(proposals)
        confirmed = [self._confirm(image, person) for person in proposals]
        return remove_duplicates([person for person in confirmed if person is not None])

    def _in_box(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> Detection:
        """The detected pose whose box overlaps the given box most; every confidence is 0 if none overlaps it."""
        found = self._detect(image, square_around(box, _BOX_MARGIN), self._landmarker_in_boxes)
        if found:
            ious = box_iou(box, np.stack([person.box_px for person in found]))
            if ious.max() > 0:
                person = found[int(ious.argmax())]
                return Detection(person.joints_px, person.confidence, box, person.score)
        nothing = np.zeros((len(COCO17), 3), np.float32)
        return Detection(nothing[:, :2], nothing[:, 2], box, 0.0)

    def _confirm(self, image: NDArray[np.uint8], person: Detection) -> Detection | None:
        """The most similar detection in a crop around a person; None if it is not in the same pose."""
        found = self._detect(image, square_around(person.box_px, _MARGIN), self.landmarker)
        best = max(found, key=lambda other: pose_similarity(person, other), default=None)
        return best if best is not None and pose_similarity(person, best) >= _CONFIRMED else None

    def _detect(
        self, image: NDArray[np.uint8], window: NDArray[np.floating], landmarker: PoseLandmarker
    ) -> list[Detection]:
        """Detections in a window (left, top, right, bottom), in the pixels of the image."""
        from mediapipe import Image, ImageFormat

        size = image.shape[1::-1]
        low = np.clip(window[:2], 0, size).astype(int)
        high = np.clip(np.ceil(window[2:]), 0, size).astype(int)
        if (high <= low).any():
            return []
        part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        with nullcontext() if self._has_detected else quiet_stderr():  # the first detection makes MediaPipe log more
            result = landmarker.detect(Image(image_format=ImageFormat.SRGB, data=part))
        self._has_detected |= bool(result.pose_landmarks)
        people = []
        for landmarks in result.pose_landmarks:
            rows = np.array([(mark.x, mark.y, mark.visibility * mark.presence) for mark in landmarks])
            rows = rows[_COCO_OF_MEDIAPIPE]
            joints = rows[:, :2] * (high - low)
            confidence = zero_outside(joints, rows[:, 2], (part.shape[1], part.shape[0]))
            if (confidence > 0).sum() < _MIN_JOINTS:
                continue
            joints = (joints + low).astype(np.float32)
            detected = joints[confidence > 0]
            box = np.concatenate([detected.min(axis=0), detected.max(axis=0)])
            people.append(Detection(joints, confidence, box, float(confidence.mean())))
        return people


def _lacks_gl(error: Exception) -> InputError:
    # MediaPipe is linked with EGL, and the OpenCV that comes with it with GL, though neither is used here.
    return InputError(
        f"MediaPipe does not load ({one_line(error)}); on Debian and Ubuntu `apt-get install libgl1 libegl1 libgles2` "
        "brings what it needs"
    )


def _ignore_profiling_signal() -> None:
    """Ignore SIGPROF where no handler is set: it ended long processes in which MediaPipe had run."""
    here = threading.current_thread() is threading.main_thread()
    if here and hasattr(signal, "SIGPROF") and signal.getsignal(signal.SIGPROF) == signal.SIG_DFL:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


def _close(landmarker: PoseLandmarker) -> None:
    try:
        landmarker.close()
    except RuntimeError:
        # At interpreter exit MediaPipe's worker thread is already gone; without this its destructor prints a traceback.
        landmarker._handle = None


def tiles(image: NDArray[np.uint8], scales: tuple[float, ...]) -> Iterator[NDArray[np.float64]]:
    """Square tiles that cover an image and overlap by half or more: left, top, right, bottom."""
    size = np.array(image.shape[1::-1])
    for scale in scales:
        side = int(size.min() * scale)
        if side < _MIN_TILE_PX:
            continue
        counts = np.ceil((size - side) / (side / 2)).astype(int) + 1
        across, down = (np.linspace(0, size[axis] - side, counts[axis]).astype(int) for axis in (0, 1))
        for top in down:
            for left in across:
                yield np.array([left, top, left + side, top + side], np.float64)


def square_around(box: NDArray[np.floating], margin: float) -> NDArray[np.floating]:
    """A square around a box (4,), its side `margin` times the box's longer side."""
    centre, half = (box[:2] + box[2:]) / 2, margin * float((box[2:] - box[:2]).max()) / 2
    return np.concatenate([centre - half, centre + half])
