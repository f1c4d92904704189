"""Batches drawn one step ahead, in a thread of their own, while the network learns from the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

Step = TypeVar("Step")
Drawn = TypeVar("Drawn")


class Prefetcher(Generic[Step, Drawn]):
    """Draws what comes next while the last is in use. All is drawn in that one thread, the first batch too: what is
    drawn may depend on how many threads compute it, and a resumed run must draw the same. It computes on one core:
    with threads of its own on the others, it would make the network's wait for each other.

    Args:
        draw: Makes what belongs to a step. Whatever it reads must not be changed meanwhile.
    """

    def __init__(self, draw: Callable[[Step], Drawn]) -> None:
        self._draw = draw
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[Step, Future[Drawn]] | None = None

    def take(self, step: Step, following: Step | None) -> Drawn:
        """What belongs to a step; `following`, if any, is drawn from now on."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "drawing", torch.set_num_threads, (1,))
        if self._next is None or self._next[0] != step:
            self._next = step, self._thread.submit(self._draw, step)
        drawn = self._next[1].result()
        self._next = None if following is None else (following, self._thread.submit(self._draw, following))
        return drawn
