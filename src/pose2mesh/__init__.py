"""From a 2D human pose to a 3D human mesh.

    recovery = pose2mesh.load()
    people = recovery.recover(keypoints, joints="coco")

`import pose2mesh` itself imports nothing heavy: the network comes with the first use of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pose2mesh.inference.predictor import Person, Recovery

__all__ = ["Person", "Recovery", "load"]


def load(name_or_path: str | Path = "default", device: str = "cpu", backend: str = "torch") -> Recovery:
    """Load a model: `default`, the bundle that ships, a bundle file or an exported one. See `inference.predictor.Recovery.load`."""
    from pose2mesh.inference.predictor import Recovery

    return Recovery.load(name_or_path, device, backend)


def __getattr__(name: str) -> Any:
    if name in ("Person", "Recovery"):
        from pose2mesh.inference import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'pose2mesh' has no attribute {name!r}")
