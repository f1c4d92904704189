"""One annotation: a JSON object of a label file whose fields are checked as they are read; and the policy on faults."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError

OnFault = Literal["raise", "skip"]
_LISTED = 1000


@dataclass(slots=True)
class FaultPolicy:
    """What happens to an annotation that cannot be used: it raises, or it is counted and skipped.

    Attributes:
        on_fault: `raise` or `skip`.
        count: Number of skipped annotations.
        messages: Error messages of the first 1,000 of them.
    """

    on_fault: OnFault
    count: int = 0
    messages: list[str] = field(default_factory=list)

    @contextmanager
    def each(self) -> Iterator[None]:
        """Context of the code that reads one annotation."""
        try:
            yield
        except InputError as error:
            if self.on_fault == "raise":
                raise
            self.count += 1
            if len(self.messages) < _LISTED:
                self.messages.append(str(error))


@dataclass(frozen=True, slots=True)
class Annotation:
    """A JSON object with its file and name, for error messages.

    Attributes:
        path: The file.
        what: Kind of object, and its id: `annotation 12`.
        values: The JSON object.
    """

    path: Path
    what: str
    values: dict[str, Any]

    def fault(self, text: str) -> InputError:
        return InputError(f"{self.path}: {self.what}: {text}")

    def get(self, key: str) -> Any:
        if key not in self.values:
            raise self.fault(f"{key} is missing")
        return self.values[key]

    def integer(self, key: str, bits: int = 32) -> int:
        value = self.get(key)
        if type(value) is not int or abs(value) >= 2 ** (bits - 1):
            raise self.fault(f"{key} is {reprlib.repr(value)}, expected a whole number of {bits} bits")
        return value

    def identifier(self, key: str = "id") -> int:
        return self.integer(key, bits=64)

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.fault(f"{key} is {reprlib.repr(value)}, expected text")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> int:
        """The index of a text among `choices`."""
        value = self.text(key)
        if value not in choices:
            raise self.fault(f"{key} is {value!r}, expected one of {', '.join(choices)}")
        return choices.index(value)

    def group(self, key: str) -> Annotation:
        """The object under `key`, named after this one."""
        value = self.get(key)
        if not isinstance(value, dict):
            raise self.fault(f"{key} is {reprlib.repr(value)}, expected an object")
        return Annotation(self.path, f"{self.what}: {key}", value)

    def array(self, key: str, *shape: int, finite: bool = True) -> NDArray[np.float64]:
        """The numbers under `key`, however nested, as an array of this shape."""
        value = self.get(key)
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise self.fault(f"{key} is {reprlib.repr(value)}, expected numbers") from None
        if array.size != math.prod(shape):
            raise self.fault(f"{key} has {array.size} numbers, expected {math.prod(shape)}")
        if finite and not np.isfinite(array).all():
            raise self.fault(f"{key} holds a number that is not finite")
        return array.reshape(shape)


def read_annotation(path: Path, kind: str, value: Any, key: object = None, *, named_by: str = "id") -> Annotation:
    """Make an annotation of a JSON value; its id in messages is `key`, by default the value under `named_by`.

    Raises:
        InputError: the value is no JSON object.
    """
    if not isinstance(value, dict):
        raise InputError(f"{path}: {kind} is {reprlib.repr(value)}, expected an object")
    return Annotation(path, f"{kind} {value.get(named_by) if key is None else key}", value)
