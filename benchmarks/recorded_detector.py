"""A detector for benchmarks that run on the same films again and again: its results are kept in a file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection, Detector, FollowingDetector


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
        if boxes is None:
            return self._kept(image_key(image), lambda: self.detector(image))
        return self._kept(image_key(image) + array_key(boxes), lambda: self.detector(image, boxes))

    def _kept(self, key: str, run: Callable[[], list[Detection]]) -> list[Detection]:
        if key not in self._results:
            self.calls += 1
            self._results[key] = [replace(person, mask=None) for person in run()]
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


class RecordedFollower(RecordedDetector):
    """`RecordedDetector` of a detector that follows people."""

    detector: FollowingDetector

    def glance(self, image: NDArray[np.uint8], /) -> list[Detection]:
        return self._kept(f"glance{image_key(image)}", lambda: self.detector.glance(image))

    def follow(
        self, image: NDArray[np.uint8], joints_px: NDArray[np.floating], confidence: NDArray[np.floating], /
    ) -> list[Detection]:
        key = f"follow{image_key(image)}{array_key(joints_px)}{array_key(confidence)}"
        return self._kept(key, lambda: self.detector.follow(image, joints_px, confidence))


def record(detector: Detector, path: Path) -> RecordedDetector:
    """A detector whose results are kept in a file."""
    return (
        RecordedFollower(detector, path)
        if isinstance(detector, FollowingDetector)
        else RecordedDetector(detector, path)
    )


def array_key(array: NDArray[np.floating]) -> str:
    """A key for an array, to three digits after the point."""
    return hashlib.sha1(np.asarray(array, np.float32).round(3).tobytes()).hexdigest()


def image_key(image: NDArray[np.uint8]) -> str:
    """A key for the content of an image."""
    return hashlib.sha1(np.ascontiguousarray(image).tobytes()).hexdigest()
