"""Atomic writes: files that are written completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pose2mesh.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to, which takes its place when the block ends without an error.

    Other processes see either the complete old file or the complete new one. The next write overwrites a partial file
    that a killed process left behind.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        # It no longer exists after the move; `lexists` does not raise where the folder itself is faulty.
        if os.path.lexists(partial):
            partial.unlink()


def move_all(staging: Path, folder: Path) -> None:
    """Move all files of a folder to another, replacing files of the same names, or none of them.

    Raises:
        InputError: one of them would replace a folder.
    """
    files = sorted(staging.iterdir())
    for file in files:  # checked before the first is moved
        if (folder / file.name).is_dir():
            raise InputError(f"{folder / file.name}: is a folder; expected to write a file there")
    for file in files:
        os.replace(file, folder / file.name)
