"""Handling of Ctrl-C and SIGTERM: a run stops between two steps and saves its state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """A signal ended the run. Not an `Exception`, so that only the code that started the run catches it.

    Attributes:
        status: Exit status, 128 + the number of the signal.
    """

    def __init__(self, number: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"stopped by {name}")
        self.status = 128 + number


class StopSignals:
    """Signals received, for a loop to check between steps.

    Attributes:
        deferred: Whether the loop checks `received`; otherwise a signal raises `Interrupted` where it arrives.
        received: Number of the signal, or None.
    """

    def __init__(self) -> None:
        self.deferred = False
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Handle SIGINT and SIGTERM; does nothing outside of the main thread, where Python delivers no signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._receive)
            self._before.setdefault(number, before)

    def release(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Within the block, only record signals, for a loop to check between steps."""
        self.deferred = True
        try:
            yield
        finally:
            self.deferred = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        if not self.deferred:
            raise Interrupted(number)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Handle SIGINT and SIGTERM within the block."""
    signals = StopSignals()
    signals.listen()
    try:
        yield signals
    finally:
        signals.release()
