"""From a 2D human pose to a 3D human mesh.

    predictor = pose2mesh.load()
    people = predictor.recover(keypoints, joints="coco")

`import pose2mesh` itself imports nothing heavy; the classes are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pose2mesh.inference.person import Person
    from pose2mesh.inference.predictor import Predictor

__all__ = ["Person", "Predictor", "Recovery", "load"]


def load(name_or_path: str | Path = "default", device: str = "cpu", backend: str = "torch") -> Predictor:
    """Load a model: `default`, the bundle that ships; the name of a baseline; or a bundle or exported file.

    Args:
        name_or_path: The model, see `model_zoo`.
        device: `cpu` or `cuda`.
        backend: `torch` or `onnx`.

    Raises:
        InputError: the model, the device or the backend cannot be used.
    """
    from pose2mesh.model_zoo import load_model

    return load_model(name_or_path, device, backend)


def __getattr__(name: str) -> Any:
    if name == "Person":
        from pose2mesh.inference.person import Person

        return Person
    if name in ("Predictor", "Recovery"):  # `Recovery` is the name of `Predictor` before version 0.2
        from pose2mesh.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'pose2mesh' has no attribute {name!r}")
