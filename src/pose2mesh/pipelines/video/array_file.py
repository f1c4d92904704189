"""Arrays on disk of which only the accessed rows are in memory, so that memory does not grow with a video's length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class ArrayFile:
    """An array (T, …) in a file that is read, modified and extended row by row; the file does not stay open.

    Args:
        path: The file; created by the first `append`.
        dtype: Type of the elements.
        shape: Shape of one row.

    An incomplete last row, left by a killed process, does not count and is overwritten.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.path, self.shape = path, shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._bytes = self.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._length = path.stat().st_size // self._bytes if path.exists() else 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, which: int | slice) -> NDArray[Any]:
        """A row, or the rows of a slice without step."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(self._length)
            return self._read(start, max(stop - start, 0))
        if not -self._length <= which < self._length:
            raise IndexError(f"row {which} of {self._length}")
        return np.asarray(self._read(which % self._length, 1)[0])

    def _read(self, start: int, count: int) -> NDArray[Any]:
        if not count:
            return np.zeros((0, *self.shape), self.dtype)
        with self.path.open("rb") as file:
            file.seek(start * self._bytes)
            data = bytearray(file.read(count * self._bytes))
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape)

    def __setitem__(self, row: int, value: NDArray[Any]) -> None:
        self._write(row, np.asarray(value, self.dtype).reshape(1, *self.shape))

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows (N, …) at the end."""
        rows = np.asarray(rows, self.dtype).reshape(-1, *self.shape)
        self._write(self._length, rows)
        self._length += len(rows)

    def cut(self, length: int) -> None:
        """Keep only the first `length` rows."""
        self._length = min(length, self._length)

    def _write(self, start: int, rows: NDArray[Any]) -> None:
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(start * self._bytes)
            file.write(np.ascontiguousarray(rows).tobytes())
            if start + len(rows) >= self._length:
                file.truncate()
