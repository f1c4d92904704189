"""Streaming JSON parser: annotation files of gigabytes are parsed once and never held in memory whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pose2mesh.errors import InputError

_CHUNK = 1 << 20
_SPACE = " \t\r\n"


def sections(path: Path) -> Iterator[tuple[str, Any]]:
    """Iterate over the members of a file's outermost object, and over the elements of members that are lists.

    `{"images": [a, b], "info": c}` yields ("images", a), ("images", b), ("info", c). A file that is a list yields
    ("", element) for each element.

    Raises:
        InputError: no such file, cut short, or no JSON object or list.
    """
    return _outermost(path, apart=True)


def members(path: Path) -> Iterator[tuple[str, Any]]:
    """Iterate over the members of a file's outermost object, each as one value; otherwise as `sections`."""
    return _outermost(path, apart=False)


def _outermost(path: Path, apart: bool) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            text = _Text(path, file)
            if text.peek() == "[":
                yield from (("", value) for value in text.elements())
            elif text.peek() == "{":
                yield from text.members(apart)
            else:
                raise text.fault("expected an object or a list")
            if text.peek():
                raise text.fault("expected the end of the file")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error.reason})") from error


def read_json(path: Path) -> Any:
    """Read a small JSON file at once.

    Raises:
        InputError: no such file, or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None


class _Text:
    """Text of a file, read through a window that moves forward."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.window, self.at, self.passed, self.ended = "", 0, 0, False
        self.decoder = json.JSONDecoder()

    def fault(self, expected: str) -> InputError:
        place = f"at character {self.passed + self.at}"
        if self.at >= len(self.window):
            return InputError(f"{self.path}: cut short {place}, {expected}")
        return InputError(f"{self.path}: not JSON {place}, {expected}")

    def more(self) -> None:
        # The window doubles, so that a long value is decoded from its start only a few times.
        chunk = self.file.read(max(_CHUNK, len(self.window) - self.at))
        self.passed += self.at
        self.window, self.at = self.window[self.at :] + chunk, 0
        self.ended = not chunk

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self.at < len(self.window):
                if self.window[self.at] not in _SPACE:
                    return self.window[self.at]
                self.at += 1
            if self.ended:
                return ""
            self.more()

    def take(self, choices: str) -> str:
        found = self.peek()
        if not found or found not in choices:
            raise self.fault(f"expected {' or '.join(choices)}")
        self.at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.window, self.at)
            except ValueError as error:
                if self.ended:
                    reason = getattr(error, "msg", "a number of too many digits")
                    cut = reason.startswith("Unterminated")  # its position is the start of the string
                    self.at = len(self.window) if cut else getattr(error, "pos", self.at)
                    raise self.fault(f"expected a value ({reason})") from None
            except RecursionError:
                raise self.fault("expected fewer values within values") from None
            else:
                # A number may continue beyond the window: the part "1e-" of "1e-5" reads as 1.
                if self.ended or end + 2 < len(self.window):
                    self.at = end
                    return value
            self.more()

    def elements(self) -> Iterator[Any]:
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def members(self, apart: bool) -> Iterator[tuple[str, Any]]:
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self.fault("expected a key")
            key = self.value()
            self.take(":")
            if apart and self.peek() == "[":
                yield from ((key, value) for value in self.elements())
            else:
                yield key, self.value()
            if self.take(",}") == "}":
                return
