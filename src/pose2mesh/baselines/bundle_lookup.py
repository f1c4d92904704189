"""Finds bundles of learned baselines and distinguishes them from those of Pose2Mesh. Does not import PyTorch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pose2mesh.baselines.registry import LEARNED_METHODS
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle_info import BUNDLE, DEFAULT, find_bundle

# `format` in the metadata of a learned baseline's bundle.
LEARNED_FORMAT = "pose2mesh-baseline"


def find_learned_bundle(name_or_path: str | Path) -> Path:
    """Path of a bundle, given the name of a method whose bundle ships, a file or a run folder.

    Raises:
        InputError: the file does not exist.
    """
    name = str(name_or_path)
    if name not in LEARNED_METHODS:
        return find_bundle(name_or_path, tuple(LEARNED_METHODS))
    path = Path(str(files("pose2mesh").joinpath("weights/baselines", f"{name}.safetensors")))
    if not path.is_file():
        raise InputError(
            f"model {name!r} does not ship; train it with `pose2mesh train configs/baselines/{name}.yaml` and give "
            f"runs/{name}/bundle.safetensors"
        )
    return path


def is_learned(name_or_path: str | Path) -> bool:
    """Whether this is the name or the bundle of a learned baseline; False for a file that is not a bundle."""
    path = Path(name_or_path)
    if str(name_or_path) in LEARNED_METHODS:
        return True
    if str(name_or_path) == DEFAULT or path.suffix.lower() == ".onnx":  # faster than opening a file
        return False
    from safetensors import SafetensorError, safe_open

    path = path / BUNDLE if path.is_dir() else path
    try:
        with safe_open(str(path), framework="numpy") as file:
            return (file.metadata() or {}).get("format") == LEARNED_FORMAT
    except (SafetensorError, OSError):
        return False
