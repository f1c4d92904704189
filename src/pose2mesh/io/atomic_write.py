"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pose2mesh.errors import InputError


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


def move_all(staging: Path, folder: Path) -> None:
    """Move the files of a folder to another, in place of those of the same names, or none of them.

    Raises:
        InputError: one of them would take the place of a folder.
    """
    files = sorted(staging.iterdir())
    for file in files:  # before the first is moved, so that it is none of them
        if (folder / file.name).is_dir():
            raise InputError(f"{folder / file.name}: is a folder; expected to write a file there")
    for file in files:
        os.replace(file, folder / file.name)
