"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to, which takes its place when the block ends without an error.

    Whoever looks finds the old file whole, or the new one. What a kill leaves behind is overwritten by the next try.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        # Gone already when it was moved; `lexists` cannot raise where the folder itself is at fault.
        if os.path.lexists(partial):
            partial.unlink()
