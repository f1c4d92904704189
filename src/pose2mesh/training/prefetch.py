"""Prefetching: the next step's samples are made in a background thread while the network trains on the current ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

Step = TypeVar("Step")
Samples = TypeVar("Samples")


class Prefetcher(Generic[Step, Samples]):
    """Makes the next step's samples while the current ones are in use.

    All samples are made in one background thread, the first ones too: they may depend on the number of threads that
    compute them, and a resumed run must make the same samples. The thread computes on one core, as threads on further
    cores would compete with those of the network.

    Args:
        make: Makes the samples of a step. Data that it reads must not change while it runs.
    """

    def __init__(self, make: Callable[[Step], Samples]) -> None:
        self._make = make
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[Step, Future[Samples]] | None = None

    def take(self, step: Step, following: Step | None) -> Samples:
        """The samples of a step. Making those of step `following`, if any, is started.

        Raises:
            Exception: an exception of `make`.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "prefetch", torch.set_num_threads, (1,))
        if self._next is None or self._next[0] != step:
            self._next = step, self._thread.submit(self._make, step)
        samples = self._next[1].result()
        self._next = None if following is None else (following, self._thread.submit(self._make, following))
        return samples
