"""Lines for the user, printed at once."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print a result or progress to standard output."""
    print(line, flush=True)


def warn(line: str) -> None:
    """Print a fault or a warning to standard error."""
    print(line, file=sys.stderr, flush=True)
