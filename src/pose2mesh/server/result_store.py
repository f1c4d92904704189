"""Keeps results in memory, bounded in number, size and age."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.visualization.image_result import ImageResult


@dataclass(frozen=True, eq=False)
class Frames:
    """The result of one request.

    Attributes:
        images: Images in the order of the request; they are the frames of the 3D view.
        frames_per_second: Frame rate of a video, where known.
    """

    images: list[ImageResult]
    frames_per_second: float | None = None


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A stored result.

    Attributes:
        identifier: Random identifier that cannot be guessed; it grants access to the result.
        frames: The result.
        size_bytes: Size in memory.
        until: Time of eviction, on the clock of the store.
    """

    identifier: str
    frames: Frames
    size_bytes: int
    until: float


class ResultStore:
    """Keeps results until one of the limits is reached; the oldest is evicted first.

    Args:
        limits: Limits, of which `results`, `result_bytes` and `result_seconds` are used.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, limits: RequestLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self._results: OrderedDict[str, StoredResult] = OrderedDict()

    def __len__(self) -> int:
        self._evict()
        return len(self._results)

    def add(self, frames: Frames) -> StoredResult:
        """Store a result."""
        size = sum(_size(image) for image in frames.images)
        until = self.clock() + self.limits.result_seconds
        result = StoredResult(secrets.token_urlsafe(16), frames, size, until)
        self._results[result.identifier] = result
        self._evict()
        return result

    def get(self, identifier: str) -> StoredResult:
        """A stored result.

        Raises:
            HTTPException: 404, the result does not exist or was evicted.
        """
        self._evict()
        if identifier not in self._results:
            raise HTTPException(404, "no such result; they are kept for a while only")
        return self._results[identifier]

    def _evict(self) -> None:
        results, limits = self._results, self.limits
        while results:
            oldest = next(iter(results.values()))
            total = sum(result.size_bytes for result in results.values())
            if len(results) <= limits.results and total <= limits.result_bytes and oldest.until > self.clock():
                return
            results.popitem(last=False)


def _size(image: ImageResult) -> int:
    pixel_bytes = 0 if image.image is None else image.image.nbytes
    return pixel_bytes + sum(person.vertices.nbytes + 10_000 for person in image.people)
