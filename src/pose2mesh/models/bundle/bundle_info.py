"""What a bundle says of itself, and where the one that ships is."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from pose2mesh.errors import InputError

DEFAULT = "default"
# Methods of the literature that answer in place of a bundle: `baselines.registry.FITTING_METHODS`.
BASELINES = ("smplify", "smplify-started", "arnab")
# Methods of the literature that are trained (`baselines.registry.LEARNED_METHODS`), and what tells a bundle of one.
LEARNED = ("lassner", "pavlakos", "nbf", "hmr", "graphcmr", "spin", "retrained", "reader")
BUNDLE = "bundle.safetensors"  # in a run folder
LEARNED_FORMAT = "pose2mesh-baseline"


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
    """The file of a bundle: one that ships for `default` and the learned baselines, else the path, or in a run folder.

    Raises:
        InputError: there is no such file.
    """
    name = str(name_or_path)
    if name == DEFAULT or name in LEARNED:
        folder = "weights" if name == DEFAULT else "weights/baselines"
        path = Path(str(files("pose2mesh").joinpath(folder, f"{name}.safetensors")))
        if not path.is_file():
            raise InputError(
                f"model {name!r} does not ship; train it with `pose2mesh train configs/baselines/{name}.yaml` and give "
                f"runs/{name}/bundle.safetensors"
            )
        return path
    path = Path(name_or_path)
    if path.is_dir():
        path = path / BUNDLE
    if not path.is_file():
        known = ", ".join((*BASELINES, *LEARNED))
        raise InputError(f"{path}: no such bundle; expected {DEFAULT!r}, {known} or a .safetensors file")
    return path


def is_learned(name_or_path: str | Path) -> bool:
    """Whether it names a learned baseline, or is the bundle of one; False for what is no bundle at all."""
    path = Path(name_or_path)
    if str(name_or_path) in LEARNED:
        return True
    if str(name_or_path) == DEFAULT or path.suffix.lower() == ".onnx":  # to open no file is quicker
        return False
    from safetensors import SafetensorError, safe_open

    path = path / BUNDLE if path.is_dir() else path
    try:
        with safe_open(str(path), framework="numpy") as file:
            return (file.metadata() or {}).get("format") == LEARNED_FORMAT
    except (SafetensorError, OSError):
        return False
