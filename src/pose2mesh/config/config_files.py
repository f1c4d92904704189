"""Reads dataclasses from YAML files and writes them; refuses unknown keys and wrong types."""

from __future__ import annotations

import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.names import nearest

_Config = TypeVar("_Config")


def read_values(path: Path, overrides: list[str] | None = None) -> dict[str, Any]:
    """Values of a YAML config; `overrides` are `dotted.key=value` with YAML values.

    A config may name `base: other.yaml`, a path relative to itself, whose values it then overrides.

    Raises:
        InputError: the file does not exist or is not YAML.
    """
    return override_values(_read(path), overrides or [])


def plain_values(config: Any) -> dict[str, Any]:
    """A config as nested dictionaries and lists, as in a YAML file."""
    values: dict[str, Any] = _plain(asdict(config))
    return values


def dump_config(config: Any) -> str:
    """The resolved config as YAML."""
    import yaml

    return yaml.safe_dump(plain_values(config), sort_keys=False)


def _plain(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def changed_keys(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Differences between two configs: dotted key → (old value, new value)."""
    before, after = _leaves(plain_values(old)), _leaves(plain_values(new))
    # A data set that is in only one of the configs has keys that the other lacks.
    return {key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)}


def _leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as one dictionary from dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def override_values(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Apply `dotted.key=value` overrides to values, in place.

    Raises:
        InputError: an override has no `=`, is not YAML, or goes below a key that is no group.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"--set {override!r}: expected key=value")
        target = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = {}
            target = target[parent]
            if not isinstance(target, dict):
                raise InputError(f"--set {override!r}: {parent!r} is a value, not a group of keys")
        target[last] = _yaml(text, f"--set {override!r}")
    return values


def instantiate(kind: type[_Config], values: dict[str, Any], source: str, prefix: str = "") -> _Config:
    """Build a dataclass from nested dictionaries, with type checks.

    Args:
        kind: The dataclass.
        values: Its values.
        source: Name of the file, for errors.
        prefix: Prefix of the keys, for errors.

    Raises:
        InputError: names `source`, the key, its value and the expected type.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "run")
    try:
        config: _Config = parser.instantiate(parser.parse_object({"run": values})).run
        return config
    except Exception as error:
        raise InputError(f"{source}: {_type_fault(error, kind, values, prefix)}") from error


def _type_fault(error: Exception, kind: Any, values: dict[str, Any], prefix: str) -> str:
    """Message with the key, the value and the expected type if the parser names the key; else the parser's message."""
    reason = one_line(error)
    match = re.match(r'Parser key "run\.([\w.]+)"', reason)
    if match is None:
        return reason
    value: Any = values
    for part in match[1].split("."):
        value, kind = value[part], get_type_hints(kind)[part]
    expected = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    return f"{prefix}{match[1]} is {value!r}, expected {expected}"


def refuse_unknown(values: dict[str, Any], config_class: type, source: str, prefix: str = "") -> None:
    """Refuse keys that a dataclass, or a dataclass nested in it, does not have.

    Raises:
        InputError: names `source`, the key, and the nearest known key.
    """
    hints = get_type_hints(config_class)
    known = {item.name for item in fields(config_class)}
    for key, value in values.items():
        if key not in known:
            near = prefix + nearest(str(key), known)
            raise InputError(f"{source}: key {prefix + str(key)!r} is not known; the nearest is {near!r}")
        group, named = _group(hints[key])
        if group is None or (value is None and not is_dataclass(hints[key])):
            continue
        if not isinstance(value, dict):
            raise InputError(f"{source}: {prefix + key!r} is {value!r}, expected a group of keys")
        for name, inner in value.items() if named else [("", value)]:
            where = f"{prefix}{key}.{name}".rstrip(".")
            if not isinstance(inner, dict):
                raise InputError(f"{source}: {where!r} is {inner!r}, expected a group of keys")
            refuse_unknown(inner, group, source, f"{where}.")
            if not is_dataclass(hints[key]):
                instantiate(group, inner, source, f"{where}.")  # the config's parser does not name their keys


def _group(hint: Any) -> tuple[type | None, bool]:
    """The dataclass in a key's type (itself, optional, or the values of a dictionary), and whether in a dictionary."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint, False
    inner = [part for part in get_args(hint) if isinstance(part, type) and is_dataclass(part)]
    return (inner[0] if inner else None), get_origin(hint) is dict


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Values of a YAML file merged into those of its base; `above` are the files whose base this is."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error.reason})") from error
    values = _yaml(text, str(path)) or {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys and values, found {type(values).__name__}")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise InputError(f"{path}: base is {base!r}, expected the path of a config")
    above = (*above, path.resolve())
    if (path.parent / base).resolve() in above:
        raise InputError(f"{path}: base {base!r} leads back to itself")
    return _merge(_read(path.parent / base, above), values)


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Nested values with those of `change` in place of those of `base`."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _yaml(text: str, source: str) -> Any:
    """Parse YAML; `source` is named in the error."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML ({one_line(error)})") from error
