"""Configs as files: typed dataclasses from YAML and back, refused when a key or a type is wrong."""

from __future__ import annotations

import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pose2mesh.errors import InputError, one_line
from pose2mesh.io.names import nearest

_Config = TypeVar("_Config")


def read_values(path: Path, overrides: list[str] | None = None) -> dict[str, Any]:
    """The values of a YAML config; `overrides` are `dotted.key=value` with YAML values.

    A config may name `base: other.yaml` (relative to it), whose values it then changes.

    Raises:
        InputError: no such file, or not YAML.
    """
    return override_values(_read(path), overrides or [])


def plain_values(config: Any) -> dict[str, Any]:
    """A config as nested dictionaries and lists: what a YAML file of it holds."""
    values: dict[str, Any] = _plain(asdict(config))
    return values


def dump_config(config: Any) -> str:
    """The resolved config as YAML."""
    import yaml

    return yaml.safe_dump(plain_values(config), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def changed_keys(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """What differs between two configs: dotted key → (old value, new value)."""
    before, after = _leaves(plain_values(old)), _leaves(plain_values(new))
    # A data set that only one of them has brings keys that the other lacks.
    return {key: (before.get(key), after.get(key)) for key in before | after if before.get(key) != after.get(key)}


def _leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def override_values(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Values with `dotted.key=value` overrides put in.

    Raises:
        InputError: an override that is none, or not YAML.
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
    """A dataclass from nested dictionaries; `prefix` is what stands before its keys in errors.

    Raises:
        InputError: names `source`, the key, its value and the type expected.
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
    """The key, the value and the type expected, where the parser names the key; else what it says."""
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
    """Refuse a key that a dataclass, or one within it, does not have.

    Raises:
        InputError: names `source`, the key, and the nearest one that is known.
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
                instantiate(group, inner, source, f"{where}.")  # whose faults the parser of the whole does not place


def _group(hint: Any) -> tuple[type | None, bool]:
    """The dataclass of a key's type, if it is one, or one or None, or a dictionary of them; and whether it is that."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint, False
    inner = [part for part in get_args(hint) if isinstance(part, type) and is_dataclass(part)]
    return (inner[0] if inner else None), get_origin(hint) is dict


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a YAML file over those of its base; `above` are the files that led here."""
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
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _yaml(text: str, source: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML ({one_line(error)})") from error
