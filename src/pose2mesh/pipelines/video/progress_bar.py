"""A progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(stem: str, what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of further frames. Shows nothing without a terminal or without tqdm."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda frames: None
        return
    with tqdm(total=total, desc=f"{stem}: {what}", unit="frame", disable=None, leave=False) as bar:
        yield bar.update
