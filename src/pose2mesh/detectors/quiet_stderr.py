"""Suppress what native libraries write to standard error, below Python."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()  # two threads at once would each restore the other's replacement


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard standard error while the block runs, for the whole process: keep the block short."""
    with _LOCK:
        sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:  # standard error is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(nowhere)
            os.close(kept)
