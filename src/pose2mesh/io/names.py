"""The nearest known name, for error messages that correct a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most similar to `name`, with no minimum (Ratcliff–Obershelp similarity, as in `difflib`).

    Raises:
        ValueError: no name is known.
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    if not found:
        raise ValueError("no known names to choose the nearest from")
    return found[0]
