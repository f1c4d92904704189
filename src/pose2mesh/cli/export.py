"""`pose2mesh export`."""

from __future__ import annotations

from pathlib import Path

from pose2mesh.cli.console import say


def export(model: str = "default", /, *, onnx: Path) -> int:
    """Write a model as one ONNX file, for `predict` without PyTorch; its outputs are first compared with PyTorch's.

    Parameters
    ----------
    model
        `default` or a bundle file.
    onnx
        The file, ending in .onnx.
    """
    from pose2mesh.inference.onnx_export import export_onnx

    say(export_onnx(model, onnx))
    return 0
