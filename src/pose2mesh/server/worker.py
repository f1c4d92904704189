"""One thread that works for all requests, and the bounded line before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException

Answer = TypeVar("Answer")


class Deadline:
    """When a request must be done; work asks between its steps, since a thread cannot be stopped from outside."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def check(self) -> None:
        """End the work where its time is over.

        Raises:
            HTTPException: 503.
        """
        if time.monotonic() > self.end:
            raise HTTPException(503, f"not done within {self.seconds:g} seconds; try a smaller request")


class Worker:
    """Runs one request's work at a time: the networks use every core that they may for one.

    Args:
        waiting: So many requests may stand in line behind the one that is worked on.
        seconds: For standing in line and for the work.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        self.pending = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pose2mesh")

    async def run(self, work: Callable[[Deadline], Answer]) -> Answer:
        """What `work` gives.

        Raises:
            HTTPException: 503 at once where the line is full, or later where the time is over.
        """
        if self.pending > self.waiting:
            raise HTTPException(503, f"{self.waiting} requests are waiting already", {"Retry-After": "2"})
        deadline = Deadline(self.seconds)
        self.pending += 1
        future = self._thread.submit(self._timed, work, deadline)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            # Work that has begun goes on to its next check of the deadline; work that has not is taken out of the line.
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            raise HTTPException(503, f"not done within {self.seconds:g} seconds", {"Retry-After": "10"}) from None

    @staticmethod
    def _timed(work: Callable[[Deadline], Answer], deadline: Deadline) -> Answer:
        deadline.check()
        return work(deadline)

    def _leave(self) -> None:
        self.pending -= 1

    def close(self) -> None:
        """Let what is running end, and take nothing new."""
        self._thread.shutdown(wait=False, cancel_futures=True)
