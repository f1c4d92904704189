"""What commands tell whoever runs them, a line at a time, at once."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """To standard output: what was done."""
    print(line, flush=True)


def warn(line: str) -> None:
    """To standard error: what went wrong, or wants attention."""
    print(line, file=sys.stderr, flush=True)
