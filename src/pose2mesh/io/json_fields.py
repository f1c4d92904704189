"""Checked fields of JSON files of keypoints: objects, identifiers, lists of numbers."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError


def shown(value: object) -> str:  # in an error message: on one line, and short
    text = reprlib.repr(value)
    return text if len(text) < 150 else text[:150] + " ..."


def objects(where: Path, data: Any, key: str) -> list[dict]:
    entries = data.get(key) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{where}: holds {shown(data)}; expected an object with a list {key!r}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{where}: {key}[{index}] is {shown(entry)}; expected an object")
    return entries


def read_identifier(where: str, entry: dict, key: str, *, required: bool = True) -> Any:
    value = entry.get(key)
    if type(value) in (int, str) or (value is None and not required):
        return value
    raise InputError(f"{where}: {key} is {shown(value) if key in entry else 'missing'}; expected a number or a string")


def _numbers(where: str, values: object, key: str) -> NDArray[np.float64]:
    if not isinstance(values, list):
        raise InputError(f"{where}: {key} is {shown(values)}; expected a list of numbers")
    for value in values:  # a bool is no number here, nor an int that no float can hold
        if type(value) not in (int, float) or (type(value) is int and abs(value) > 2**63):
            raise InputError(f"{where}: {key} has the value {shown(value)}; expected numbers")
    return np.array(values, np.float64)


def read_triples(where: str, values: object, key: str) -> NDArray[np.float64]:
    numbers = _numbers(where, values, key)
    if len(numbers) % 3:
        raise InputError(f"{where}: {key} has {len(numbers)} numbers; expected three a joint: x, y, confidence")
    return numbers.reshape(-1, 3)


def finite_numbers(where: str, values: object, key: str, count: int) -> list[float]:
    numbers = _numbers(where, values, key)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{where}: {key} is {shown(values)}; expected {count} finite numbers")
    return numbers.tolist()
