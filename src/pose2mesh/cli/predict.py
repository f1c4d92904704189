"""`pose2mesh predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.errors import InputError
from pose2mesh.pipelines.predict_options import PredictOptions

_DEFAULTS = PredictOptions()


def predict(
    *inputs: Path,
    options: Annotated[PredictOptions, Parameter(name="*")] = _DEFAULTS,
    model: str = "default",
    device: Literal["cpu", "cuda"] = "cpu",
    backend: Literal["torch", "onnx"] = "torch",
) -> int:
    """Recover a body mesh for every person of each input.

    Parameters
    ----------
    inputs
        Images, folders of images, and videos, whose people are detected; COCO keypoint JSON (annotations or results),
        OpenPose JSON file or folder, .npy or .npz of (J, 2|3) or (P, J, 2|3).
    model
        `default`, a bundle file or run folder, a file that `export` wrote, or a method of the literature by name:
        smplify, smplify-started, arnab; lassner, pavlakos, nbf, hmr, graphcmr, spin, retrained, which take the image
        as input.
    device
        cpu or cuda.
    backend
        What runs the networks: torch or onnx. Exported files always run on onnx.
    """
    if not inputs:
        raise InputError("predict: at least one input is needed")
    options.check()
    from pose2mesh.pipelines.image_pipeline import predict_files

    return predict_files(list(inputs), model, device, options, say, warn, backend)
