"""`BundleInfo`, the description stored in a bundle, and the path of the bundle that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from pose2mesh.errors import InputError

DEFAULT = "default"
BUNDLE = "bundle.safetensors"  # in a run folder


@dataclass
class BundleInfo:
    """Description of a model, stored in its bundle as JSON.

    Attributes:
        name: Of the model.
        joint_set: Name of the input joints' set.
        body: Name of the body model whose mesh is predicted.
        config: The resolved training config.
        data: The training data, in words.
        licence: Of the weights, as the licences of the data allow.
        errors: Measured errors: name of the test → name of the metric → value in millimetres.
        stature_features: A weight for the logarithm of each predicted bone's length, and an offset; the weighted sum is
            the logarithm of the standing height, see `Predictor.stature`. Empty in the bundle of a lifter alone.
        error_quantiles: For `across` and `along` the line of sight, how many times their expected size errors have at
            most in 50, 80 and 95 % of cases (`evaluation.expected_errors`); empty for a model that does not predict
            the size of its errors.
    """

    name: str
    joint_set: str
    body: str
    config: dict[str, Any]
    data: str
    licence: str
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    stature_features: list[float] = field(default_factory=list)
    error_quantiles: dict[str, list[float]] = field(default_factory=dict)


def find_bundle(name_or_path: str | Path, others: Sequence[str] = ()) -> Path:
    """The file of a bundle: the one that ships for `default`, else the path, or the bundle in that run folder.

    Args:
        name_or_path: The bundle.
        others: Names, beside `default`, that the error lists as possible.

    Raises:
        InputError: there is no such file.
    """
    if str(name_or_path) == DEFAULT:
        return Path(str(files("pose2mesh").joinpath("weights", f"{DEFAULT}.safetensors")))
    path = Path(name_or_path)
    if path.is_dir():
        path = path / BUNDLE
    if not path.is_file():
        names = ", ".join((repr(DEFAULT), *others))
        raise InputError(f"{path}: no such bundle; expected {names} or a .safetensors file")
    return path
