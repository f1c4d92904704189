"""`pose2mesh robustness`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say
from pose2mesh.evaluation.robustness.robustness_options import RobustnessOptions


def robustness(
    model: str = "default",
    /,
    *,
    options: Annotated[RobustnessOptions, Parameter(name="*")],
    device: Literal["cpu", "cuda"] = "cpu",
) -> int:
    """Report how a model performs beyond its training data: on clips, with 3D ground truth, and on keypoints without.

    Parameters
    ----------
    model
        `default`, a bundle file or a run folder.
    device
        cpu or cuda.
    """
    options.check()
    from pose2mesh.evaluation.robustness.robustness_run import measure_robustness
    from pose2mesh.model_zoo import load_model

    measure_robustness(load_model(model, device), model, options, say)
    return 0
