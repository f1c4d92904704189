"""MediaPipe's pose landmarker (BlazePose): small, quick, good for a few people who are large in the picture.

It looks at the whole picture in 224 x 224 pixels, and so finds nobody who is small there. Therefore tiles are searched
as well, and since half of what is found in a tile is nobody, each person is looked at again, alone: who is not found
there in the same pose is dropped. `docs/detectors.md` has the measurements.
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

from pose2mesh.detectors.nms import overlap, remove_duplicates, similarity
from pose2mesh.detectors.quiet_stderr import quiet_stderr
from pose2mesh.detectors.registry import Detection, check_boxes, check_picture, unseen_outside
from pose2mesh.errors import InputError, one_line
from pose2mesh.skeletons import COCO17, MEDIAPIPE33

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import PoseLandmarker

    from pose2mesh.detectors.yolox import PeopleFinder

SCALES = (1.0, 0.6)  # sides of the tiles, as shares of the picture's shorter side
_LEAST_TILE_PX = 32  # nobody is recognised in fewer
_POSES = 4  # in one look
_LEAST_CHANCE, _LEAST_CHANCE_IN_BOX = 0.5, 0.1  # of there being a person at all
_MARGIN, _BOX_MARGIN = 1.5, 1.25  # side of the second look, and of one into a known box, for each longer side
_CONFIRMED = 0.45  # least similarity of the two looks
_SAME_PROPOSAL = 0.7
_LEAST_SEEN = 5  # joints
_COCO_OF_MEDIAPIPE = [MEDIAPIPE33.index(name) for name in COCO17]


class MediaPipeDetector:
    """A `Detector`.

    Args:
        task: MediaPipe's `.task` file.
        finder: Finds the people instead of the tiles; each is then looked at once.
        scales: Sides of the tiles; empty for the whole picture alone.

    Raises:
        InputError: MediaPipe is not installed or does not load, or the file is not one of its.
    """

    def __init__(self, task: Path, finder: PeopleFinder | None = None, scales: tuple[float, ...] = SCALES) -> None:
        self.require()
        self.task, self.finder, self.scales = task, finder, scales
        self.landmarker = self._open(_LEAST_CHANCE)
        self._has_found = False

    def _open(self, least_chance: float) -> PoseLandmarker:
        from mediapipe.tasks.python import BaseOptions
        from mediapipe.tasks.python.vision import PoseLandmarker, PoseLandmarkerOptions

        options = PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self.task)),
            num_poses=_POSES,
            min_pose_detection_confidence=least_chance,
        )
        try:
            with quiet_stderr():  # its log goes there, and nothing turns that off
                landmarker = PoseLandmarker.create_from_options(options)
        except OSError as error:  # the library is loaded only now
            raise _lacks_gl(error) from error
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.task}: is not a pose model of MediaPipe ({one_line(error)})") from error
        _ignore_profiling_signal()
        weakref.finalize(self, _close, landmarker)
        return landmarker

    @cached_property
    def _landmarker_in_boxes(self) -> PoseLandmarker:
        """For where somebody is known to be: it takes what it is less sure of."""
        return self._open(_LEAST_CHANCE_IN_BOX)

    @staticmethod
    def require() -> None:
        """Refuse to go on where MediaPipe cannot run.

        Raises:
            InputError: says what to install.
        """
        try:
            import mediapipe.tasks.python.vision  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(f"{error.name} is not installed; `pip install pose2mesh[mediapipe]` brings it") from error
        except (ImportError, OSError) as error:
            raise _lacks_gl(error) from error

    def __call__(self, picture: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        check_picture(picture)
        if boxes is not None:
            return [self._in_box(picture, box) for box in check_boxes(boxes)]
        if self.finder is not None:
            people = [self._in_box(picture, box) for box in self.finder(picture)[0]]
            return remove_duplicates([person for person in people if person.score > 0])
        whole = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float64)
        proposals = self._look(picture, whole, self.landmarker)
        for tile in tiles(picture, self.scales):
            proposals += self._look(picture, tile, self.landmarker)
        proposals = remove_duplicates(proposals, _SAME_PROPOSAL)
        if not self.scales:
            return remove_duplicates(proposals)
        seconds = [self._second_look(picture, person) for person in proposals]
        return remove_duplicates([person for person in seconds if person is not None])

    def _in_box(self, picture: NDArray[np.uint8], box: NDArray[np.float32]) -> Detection:
        """The pose of the person whose box is most like the given one; all unseen where nobody overlaps it."""
        found = self._look(picture, square_around(box, _BOX_MARGIN), self._landmarker_in_boxes)
        if found:
            alike = overlap(box, np.stack([person.box_px for person in found]))
            if alike.max() > 0:
                person = found[int(alike.argmax())]
                return Detection(person.joints_px, person.confidence, box, person.score)
        nothing = np.zeros((len(COCO17), 3), np.float32)
        return Detection(nothing[:, :2], nothing[:, 2], box, 0.0)

    def _second_look(self, picture: NDArray[np.uint8], person: Detection) -> Detection | None:
        found = self._look(picture, square_around(person.box_px, _MARGIN), self.landmarker)
        best = max(found, key=lambda other: similarity(person, other), default=None)
        return best if best is not None and similarity(person, best) >= _CONFIRMED else None

    def _look(
        self, picture: NDArray[np.uint8], window: NDArray[np.floating], landmarker: PoseLandmarker
    ) -> list[Detection]:
        """Everyone in a window (left, top, right, bottom), in the pixels of the picture."""
        from mediapipe import Image, ImageFormat

        size = picture.shape[1::-1]
        low = np.clip(window[:2], 0, size).astype(int)
        high = np.clip(np.ceil(window[2:]), 0, size).astype(int)
        if (high <= low).any():
            return []
        part = np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]])
        with nullcontext() if self._has_found else quiet_stderr():  # it logs more when it first finds someone
            result = landmarker.detect(Image(image_format=ImageFormat.SRGB, data=part))
        self._has_found |= bool(result.pose_landmarks)
        people = []
        for landmarks in result.pose_landmarks:
            rows = np.array([(mark.x, mark.y, mark.visibility * mark.presence) for mark in landmarks])
            rows = rows[_COCO_OF_MEDIAPIPE]
            joints = rows[:, :2] * (high - low)
            confidence = unseen_outside(joints, rows[:, 2], (part.shape[1], part.shape[0]))
            if (confidence > 0).sum() < _LEAST_SEEN:
                continue
            joints = (joints + low).astype(np.float32)
            seen = joints[confidence > 0]
            box = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
            people.append(Detection(joints, confidence, box, float(confidence.mean())))
        return people


def _lacks_gl(error: Exception) -> InputError:
    # MediaPipe is linked with EGL, and the OpenCV that comes with it with GL, though neither is used here.
    return InputError(
        f"MediaPipe does not load ({one_line(error)}); on Debian and Ubuntu `apt-get install libgl1 libegl1 libgles2` "
        "brings what it needs"
    )


def _ignore_profiling_signal() -> None:
    """Long processes in which MediaPipe has run were ended by SIGPROF, which nobody handles: keep them alive."""
    here = threading.current_thread() is threading.main_thread()
    if here and hasattr(signal, "SIGPROF") and signal.getsignal(signal.SIGPROF) == signal.SIG_DFL:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


def _close(landmarker: PoseLandmarker) -> None:
    try:
        landmarker.close()
    except RuntimeError:
        # At the end of the program its worker is gone before anyone is asked; its destructor would print a traceback.
        landmarker._handle = None


def tiles(picture: NDArray[np.uint8], scales: tuple[float, ...]) -> Iterator[NDArray[np.float64]]:
    """Squares that cover a picture and overlap by half or more: left, top, right, bottom."""
    size = np.array(picture.shape[1::-1])
    for scale in scales:
        side = int(size.min() * scale)
        if side < _LEAST_TILE_PX:
            continue
        counts = np.ceil((size - side) / (side / 2)).astype(int) + 1
        across, down = (np.linspace(0, size[axis] - side, counts[axis]).astype(int) for axis in (0, 1))
        for top in down:
            for left in across:
                yield np.array([left, top, left + side, top + side], np.float64)


def square_around(box: NDArray[np.floating], margin: float) -> NDArray[np.floating]:
    """A square about a box, its side `margin` times the box's longer one."""
    centre, half = (box[:2] + box[2:]) / 2, margin * float((box[2:] - box[:2]).max()) / 2
    return np.concatenate([centre - half, centre + half])
