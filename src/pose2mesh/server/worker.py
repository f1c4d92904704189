"""A single worker thread for all requests, with a bounded queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException

Output = TypeVar("Output")


class Deadline:
    """The deadline of a request; the work checks it between steps, since a thread cannot be stopped from outside."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def check(self) -> None:
        """Abort the work once the deadline has passed.

        Raises:
            HTTPException: 503.
        """
        if time.monotonic() > self.end:
            raise HTTPException(503, f"not done within {self.seconds:g} seconds; try a smaller request")


class Worker:
    """Runs the work of one request at a time: the networks use all cores for one.

    Args:
        waiting: Longest queue behind the running request.
        seconds: Time in the queue and for the work.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        self.pending = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pose2mesh")

    async def run(self, work: Callable[[Deadline], Output]) -> Output:
        """Run `work` in the thread and return its result.

        Raises:
            HTTPException: 503, immediately if the queue is full, or once the deadline has passed.
        """
        if self.pending > self.waiting:
            raise HTTPException(503, f"{self.waiting} requests are waiting already", {"Retry-After": "2"})
        deadline = Deadline(self.seconds)
        self.pending += 1
        future = self._thread.submit(self._timed, work, deadline)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            # Running work stops at its next check of the deadline; queued work is cancelled.
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            raise HTTPException(503, f"not done within {self.seconds:g} seconds", {"Retry-After": "10"}) from None

    @staticmethod
    def _timed(work: Callable[[Deadline], Output], deadline: Deadline) -> Output:
        deadline.check()
        return work(deadline)

    def _leave(self) -> None:
        self.pending -= 1

    def close(self) -> None:
        """Cancel queued work; running work ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
