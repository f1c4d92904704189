"""Splits of motion clips into training and validation, plain or by kind of motion, as YAML files.

A plain split has the lists `train` and `validation`. A split by kind has the key `kinds`, with both lists per kind:

    kinds:
      dance: {train: [cmu_dance_sport/05_01], validation: [cmu_dance_sport/05_04]}

Clips have the names of `mocap.Clip`: paths of files within the motion folder, without the suffix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.errors import InputError, one_line

_PARTS = ("train", "validation")


@dataclass(frozen=True)
class MotionSplit:
    """Names of the clips of each part.

    Attributes:
        train, validation: Names of clips, kind by kind.
        kinds: The kind of each clip; empty for a plain split.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    kinds: dict[str, str]


def read_split(path: str | Path) -> MotionSplit:
    """Read a split file.

    Raises:
        InputError: it cannot be read, is not such a file, or names a clip twice.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {one_line(error)[:200]}") from None
    names: dict[str, list[str]] = {part: [] for part in _PARTS}
    kinds: dict[str, str] = {}
    placed: dict[str, str] = {}
    for kind, parts in _by_kind(content, path).items():
        prefix = f"kinds.{kind}." if kind else ""
        for part in _PARTS:
            for name in _names(parts, part, f"{path}: {prefix}{part}"):
                if name in placed:
                    raise InputError(f"{path}: {prefix}{part}: clip {name!r} is in {placed[name]!r} already")
                placed[name] = prefix + part
                names[part].append(name)
                if kind:
                    kinds[name] = kind
    return MotionSplit(tuple(names["train"]), tuple(names["validation"]), kinds)


def load_split(path: str | Path, clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """The training and the validation clips of a split file; a clip in neither is left out.

    Raises:
        InputError: as `read_split`, or the file names a clip that is not among `clips`.
    """
    split = read_split(path)
    by_name = {clip.name: clip for clip in clips}
    for part, names in (("train", split.train), ("validation", split.validation)):
        for name in names:
            if name not in by_name:
                raise InputError(f"{path}: {part}: clip {name!r} is not among the {len(by_name)} clips loaded")
    return [by_name[name] for name in split.train], [by_name[name] for name in split.validation]


def _by_kind(content: Any, path: str | Path) -> dict[str, dict[str, Any]]:
    """The lists of each kind; a plain split is one kind without a name."""
    if isinstance(content, dict) and set(content) == {"kinds"} and isinstance(content["kinds"], dict):
        for kind, parts in content["kinds"].items():
            if not isinstance(kind, str) or not isinstance(parts, dict) or set(parts) != set(_PARTS):
                found = sorted(map(str, parts)) if isinstance(parts, dict) else type(parts).__name__
                raise InputError(f"{path}: kinds.{kind}: holds {found}, expected the keys 'train' and 'validation'")
        return dict(content["kinds"])
    if not isinstance(content, dict) or set(content) != set(_PARTS):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: holds {found}, expected the keys 'train' and 'validation', or 'kinds'")
    return {"": content}


def _names(parts: dict[str, Any], part: str, source: str) -> list[str]:
    names = parts[part]
    if not isinstance(names, list) or not names:
        raise InputError(f"{source}: {names!r:.60}, expected a list of clip names")
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{source}: {name!r:.60}, expected the name of a clip")
    return names
