"""From a 2D human pose to a 3D human mesh.

    predictor = pose2mesh.load()
    people = predictor.recover(keypoints, joints="coco")

`import pose2mesh` itself imports nothing heavy: the network comes with the first use of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pose2mesh.inference.predictor import Person, Predictor

__all__ = ["Person", "Predictor", "Recovery", "load"]

# Names that are imported on first use. `Recovery` is what `Predictor` was called before version 0.2.
_LAZY = {"Person": "Person", "Predictor": "Predictor", "Recovery": "Predictor"}


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
    if name in _LAZY:
        from pose2mesh.inference import predictor

        return getattr(predictor, _LAZY[name])
    raise AttributeError(f"module 'pose2mesh' has no attribute {name!r}")
