"""Keep what a library writes to standard error from below Python out of the user's sight."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()  # two at a time would each restore what the other had put in place


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Standard error leads nowhere while the block runs, for the whole process: keep the block short."""
    with _LOCK:
        sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:  # there is none
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
