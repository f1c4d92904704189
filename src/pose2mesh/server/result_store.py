"""Results that are kept for a while, in memory: so many, so large, so long."""

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
    """What one request gave.

    Attributes:
        pictures: In the order of the request; they are the frames of the view.
        frames_per_second: Of a video, where it is known.
    """

    pictures: list[ImageResult]
    frames_per_second: float | None = None


@dataclass(frozen=True, eq=False)
class StoredResult:
    """Frames that are kept.

    Attributes:
        identifier: Not to be guessed: whoever has it may read the result.
        frames: What is kept.
        size_bytes: In memory.
        until: When it is forgotten, on the clock of the store.
    """

    identifier: str
    frames: Frames
    size_bytes: int
    until: float


class ResultStore:
    """Keeps results until one of the limits is reached; the oldest goes first.

    Args:
        limits: Its `results`, `result_bytes` and `result_seconds`.
        clock: Seconds.
    """

    def __init__(self, limits: RequestLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self._results: OrderedDict[str, StoredResult] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._results)

    def add(self, frames: Frames) -> StoredResult:
        """Keep what a request gave."""
        size = sum(_size(picture) for picture in frames.pictures)
        until = self.clock() + self.limits.result_seconds
        result = StoredResult(secrets.token_urlsafe(16), frames, size, until)
        self._results[result.identifier] = result
        self._forget()
        return result

    def get(self, identifier: str) -> StoredResult:
        """A result that was kept.

        Raises:
            HTTPException: 404, there is none such, or no more.
        """
        self._forget()
        if identifier not in self._results:
            raise HTTPException(404, "no such result; they are kept for a while only")
        return self._results[identifier]

    def _forget(self) -> None:
        results, limits = self._results, self.limits
        while results:
            oldest = next(iter(results.values()))
            total = sum(result.size_bytes for result in results.values())
            if len(results) <= limits.results and total <= limits.result_bytes and oldest.until > self.clock():
                return
            results.popitem(last=False)


def _size(picture: ImageResult) -> int:
    photo = 0 if picture.photo is None else picture.photo.nbytes
    return photo + sum(person.vertices.nbytes + 10_000 for person in picture.people)
