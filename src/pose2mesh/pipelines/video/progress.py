"""A bar for what takes long, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(stem: str, what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Gives what is to be told how many frames more are done. Without a terminal, or without tqdm, nothing is shown."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda frames: None
        return
    with tqdm(total=total, desc=f"{stem}: {what}", unit="frame", disable=None, leave=False) as bar:
        yield bar.update
