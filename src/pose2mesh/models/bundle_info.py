"""What a bundle says of itself, and where the one that ships is."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from pose2mesh.errors import InputError

DEFAULT = "default"
# Methods of the literature that answer in place of a bundle: `baselines.backend.MAKERS`.
BASELINES = ("smplify", "smplify-started", "arnab")


@dataclass
class BundleInfo:
    """What a bundle says of itself.

    Attributes:
        name: Of the model.
        joint_set: The input joints.
        body: The body model whose mesh it gives.
        config: The resolved training config.
        data: What it was trained on.
        licence: Of the weights, as the data's licences allow.
        errors: Measured errors: name of the test to its metrics, in millimetres.
        stature_features: A weight for the logarithm of each predicted bone's length, and an offset: together the
            logarithm of the standing height they belong to; see `Recovery.stature`. Empty in a lifter's bundle.
    """

    name: str
    joint_set: str
    body: str
    config: dict[str, Any]
    data: str
    licence: str
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    stature_features: list[float] = field(default_factory=list)


def resolve(name_or_path: str | Path) -> Path:
    """The file of a bundle: the one that ships for `default`, else the path itself.

    Raises:
        InputError: there is no such file.
    """
    if str(name_or_path) == DEFAULT:
        return Path(str(files("pose2mesh").joinpath("weights", "default.safetensors")))
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(f"{path}: no such bundle; expected {DEFAULT!r}, {', '.join(BASELINES)} or a .safetensors file")
    return path
