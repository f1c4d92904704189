"""Detectors for benchmarks that run on the same films again and again: results are kept, or come from a file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.nms import box_iou
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO17


class RecordedDetector:
    """A detector whose results are kept in a file, by image and boxes. Masks are not kept.

    Args:
        detector: The detector.
        path: The file, read where it exists.
    """

    def __init__(self, detector: Detector, path: Path) -> None:
        self.detector, self.path = detector, path
        self._results: dict[str, list[Detection]] = {}
        self.calls = 0
        if path.exists():
            self._read()

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        key = image_key(image)
        if boxes is not None:
            key += hashlib.sha1(np.asarray(boxes, np.float32).round(1).tobytes()).hexdigest()
        if key not in self._results:
            self.calls += 1
            found = self.detector(image) if boxes is None else self.detector(image, boxes)
            self._results[key] = [replace(person, mask=None) for person in found]
        return self._results[key]

    def save(self) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {f"{key}/count": len(people) for key, people in self._results.items()}
        for key, people in self._results.items():
            for index, person in enumerate(people):
                for field in fields(Detection):
                    value = getattr(person, field.name)
                    if value is not None:
                        arrays[f"{key}/{index}/{field.name}"] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self.path, **arrays)

    def _read(self) -> None:
        people: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
        counts = {}
        with np.load(self.path) as archive:
            for name in archive.files:
                key, _, rest = name.partition("/")
                if rest == "count":
                    counts[key] = int(archive[name])
                else:
                    index, _, field = rest.partition("/")
                    value = archive[name]
                    people[key, int(index)][field] = value if value.ndim else float(value)
        for key, count in counts.items():
            self._results[key] = [Detection(**people[key, index]) for index in range(count)]


class ReplayedDetector:
    """The detections of another program for one person in each frame of films.

    Args:
        path: A file with joints_px (T, 17, 2), confidence (T, 17) and optionally joints3d_m (T, 17, 3); NaN or a
            confidence of 0 where nothing was detected.
        keys: `image_key` of each of the `T` frames.

    Raises:
        InputError: the file is of another form.
    """

    def __init__(self, path: Path, keys: list[str]) -> None:
        try:
            with np.load(path) as archive:
                stored = {name: archive[name] for name in archive.files}
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
        for name, shape in (("joints_px", (len(keys), 17, 2)), ("confidence", (len(keys), 17))):
            if name not in stored or stored[name].shape != shape:
                raise InputError(f"{path}: expected {name} of shape {shape}, as the film has {len(keys)} frames")
        self._people: dict[str, Detection] = {}
        for frame, key in enumerate(keys):
            joints_px, confidence = (stored[name][frame].astype(np.float32) for name in ("joints_px", "confidence"))
            confidence = np.where(np.isfinite(joints_px).all(-1), np.nan_to_num(confidence), 0).clip(0, 1)
            shown = joints_px[confidence > 0]
            if not len(shown):
                continue
            joints3d = stored["joints3d_m"][frame].astype(np.float32) if "joints3d_m" in stored else None
            box = np.concatenate([shown.min(0), shown.max(0)])
            joints_px = np.nan_to_num(joints_px)
            self._people[key] = Detection(joints_px, confidence, box, float(confidence.mean()), joints3d)

    def __call__(self, image: NDArray[np.uint8], /, boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        person = self._people.get(image_key(image))
        if boxes is None:
            return [] if person is None else [person]
        nothing = np.zeros((len(COCO17), 3), np.float32)
        found = []
        for box in np.asarray(boxes, np.float32):
            meets = person is not None and box_iou(box, person.box_px[None])[0] > 0
            found.append(person if meets and person else Detection(nothing[:, :2], nothing[:, 2], box, 0.0))
        return found


def image_key(image: NDArray[np.uint8]) -> str:
    """A key for the content of an image."""
    return hashlib.sha1(np.ascontiguousarray(image).tobytes()).hexdigest()
