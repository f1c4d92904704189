"""`pose2mesh robustness` on the command line. Imports what it needs when it runs, as `cli/main.py` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say


def robustness(
    model: str = "default",
    /,
    *,
    out: Path,
    motions: Path | None = None,
    split: Path | None = None,
    keypoints: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    images: Annotated[list[Path] | None, Parameter(negative="", consume_multiple=True)] = None,
    samples: int = 500,
    seed: int = 7,
    device: Literal["cpu", "cuda"] = "cpu",
) -> int:
    """Report how a model holds up beyond its training data: on clips, with 3D truth, and on keypoints without.

    Parameters
    ----------
    model
        `default`, a bundle file or a run folder.
    out
        Folder for report.md, report.html, report.json and their pictures.
    motions
        A folder of BVH clips.
    split
        YAML file that names the training and the validation clips: tells whether the model overfits.
    keypoints
        COCO keypoint files, with or without masks, each as FILE or NAME=FILE; the name heads its column.
    images
        The folder of the photos of each keypoint file; no photo is shown in the report.
    samples
        People of a set.
    seed
        Decides people, cameras and disturbances.
    device
        cpu or cuda.
    """
    from pose2mesh.evaluation.robustness.robustness_run import RobustnessOptions, measure_robustness
    from pose2mesh.inference.predictor import Predictor

    options = RobustnessOptions(out, motions, split, tuple(keypoints or ()), tuple(images or ()), samples, seed)
    options.check()
    measure_robustness(Predictor.load(model, device), model, options, say)
    return 0
