"""Cache of records: the files of a data set are parsed once into columns on disk, until they change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pose2mesh.datasets.annotation import Annotation, FaultPolicy, OnFault
from pose2mesh.datasets.records import INDEX, Records, Schema, describe, open_records
from pose2mesh.errors import InputError

_VERSION = 1  # meaning of the columns: a new number rebuilds every index
_BLOCK = 4096


def cached_records(
    cache: Path,
    schema: Schema,
    sources: Iterable[Path],
    options: dict[str, Any],
    build: Callable[[RecordWriter], None],
    *,
    images: Path | None = None,
    on_fault: OnFault = "raise",
) -> Records:
    """The records of a data set, built by `build` where `cache` has none of these sources and options.

    The key of an index is the names, sizes and modification times of its sources, and `options`. It is written
    atomically; indices of earlier versions of the same sources are deleted.

    Args:
        cache: Folder of indices; created where it does not exist.
        schema: Columns of the data set.
        sources: The files that `build` reads.
        options: Options of the reader, of JSON types.
        build: Adds all records to the writer.
        images: A folder that must contain every image, or None where images are not needed.
        on_fault: `raise`, or `skip` faulty annotations, which the records then count and list.

    Raises:
        InputError: a source is missing or faulty; no record is left; the cache cannot be written.
    """
    paths = [path.resolve() for path in sources]
    choices = [_VERSION, schema.name, options, str(images.resolve()) if images else None, on_fault]
    what = _digest([choices, [str(path) for path in paths]])
    folder = cache / f"{schema.name}-{what}-{_digest([_stamp(path) for path in paths])}"
    if folder.is_dir():
        return open_records(folder)
    partial = cache / f".{folder.name}.{os.getpid()}"
    try:
        _clear(cache, partial)
        partial.mkdir(parents=True)
        writer = RecordWriter(partial, schema, FaultPolicy(on_fault), images)
        try:
            # Of a truncated source, the records before the end are kept and the fault is counted.
            with writer.faults.each():
                build(writer)
            if not len(writer):
                raise InputError(f"{paths[0]}: {writer.why_empty()}")
            writer.finish()
        finally:
            writer.close()
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    except OSError as error:
        raise InputError(f"{error.filename or cache}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for old in cache.glob(f"{schema.name}-{what}-*"):
        if old.name != folder.name:
            shutil.rmtree(old, ignore_errors=True)
    return open_records(folder)


class RecordWriter:
    """Writes records added one by one as columns, in blocks.

    Attributes:
        faults: Readers handle each annotation inside `faults.each()`.
        left_out: Numbers of annotations that readers leave out though they are not faulty, by reason.
    """

    def __init__(self, folder: Path, schema: Schema, faults: FaultPolicy, images: Path | None = None) -> None:
        self.faults, self.left_out = faults, dict[str, int]()
        self._folder, self._schema, self._images = folder, schema, images
        self._columns = {name: _Column(folder, name, *kind) for name, kind in schema.column_types().items()}
        self._files: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._ids: set[int] = set()
        self._row = 0

    def __len__(self) -> int:
        return len(self._ids)

    def leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def add(self, where: Annotation, annotation_id: int, *, file: str = "", sequence: str = "", **values: Any) -> None:
        """Add one record; columns that are not given keep their placeholder of a missing value.

        Args:
            where: The annotation that a fault names.
            annotation_id: Unique id.
            file: The image; "" for none.
            sequence: The sequence's name; "" for none.
            values: Values by column name.

        Raises:
            InputError: the id is already used, or the image is missing.
        """
        if annotation_id in self._ids:
            raise where.fault(f"id {annotation_id} is there twice")
        if file and file not in self._files:
            if self._images is not None and not (self._images / file).is_file():
                raise where.fault(f"its image {self._images / file} is not there")
            self._files[file] = len(self._files)
        self._ids.add(annotation_id)
        values["annotation_id"] = annotation_id
        if file:
            values["image"] = self._files[file]
        if sequence:
            values["sequence"] = self._sequences.setdefault(sequence, len(self._sequences))
        for name, value in values.items():
            self._columns[name].block[self._row] = value
        self._row += 1
        if self._row == _BLOCK:
            self._flush()

    def why_empty(self) -> str:
        """Why no record was added, for an error message."""
        reasons = [f"{count} × {reason}" for reason, count in self.left_out.items()]
        reasons += [f"{self.faults.count} faults, the first: {self.faults.messages[0]}"] if self.faults.messages else []
        return f"no record is left of {self._schema.name} ({'; '.join(reasons) or 'it is empty'})"

    def _flush(self) -> None:
        for column in self._columns.values():
            column.write(self._row)
        self._row = 0

    def finish(self) -> None:
        """Write the remaining records, and last the index file, which marks the folder as complete."""
        self._flush()
        names = [name.encode() for name in self._files]
        np.save(self._folder / "files.npy", np.frombuffer(b"".join(names), np.uint8))
        np.save(self._folder / "files_ends.npy", np.cumsum([len(name) for name in names], dtype=np.int64))
        text = describe(
            self._schema,
            sequences=list(self._sequences),
            left_out=self.left_out,
            faults=self.faults.count,
            fault_messages=self.faults.messages,
        )
        (self._folder / INDEX).write_text(text, encoding="utf-8")

    def close(self) -> None:
        for column in self._columns.values():
            column.close()


class _Column:
    """One .npy file that grows: NumPy's header has room for the length, which is written at the end."""

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], kind: type, none: float) -> None:
        self.block: NDArray[Any] = np.full((_BLOCK, *shape), none, kind)
        self._none, self._length = none, 0
        self._file: BinaryIO = (folder / f"{name}.npy").open("wb")
        self._header()

    def _header(self) -> None:
        form = np.lib.format.header_data_from_array_1_0(self.block) | {"shape": (self._length, *self.block.shape[1:])}
        np.lib.format.write_array_header_1_0(self._file, form)

    def write(self, count: int) -> None:
        self._file.write(self.block[:count].tobytes())
        self.block[:count] = self._none
        self._length += count

    def close(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()


def _clear(cache: Path, partial: Path) -> None:
    """Delete partial folders that killed builds left: of this process id, or older than a day."""
    for left in cache.glob(".*-*-*.*"):
        if left == partial or left.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _stamp(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return [path.name, found.st_size, found.st_mtime_ns]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
