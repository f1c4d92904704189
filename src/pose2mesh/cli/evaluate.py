"""`pose2mesh evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say
from pose2mesh.evaluation.evaluate_options import EvaluateOptions

_DEFAULTS = EvaluateOptions()


def evaluate(
    model: str = "default",
    /,
    *,
    options: Annotated[EvaluateOptions, Parameter(name="*")] = _DEFAULTS,
    device: Literal["cpu", "cuda"] = "cpu",
) -> int:
    """Evaluate a model on data sets by their protocols, on motion clips, or on keypoints and silhouettes of images.

    Parameters
    ----------
    model
        As `predict` takes it.
    device
        cpu or cuda.
    """
    options.check()
    from pose2mesh.evaluation.evaluator import evaluate_model
    from pose2mesh.model_zoo import load_model

    evaluate_model(load_model(model, device), options, say)
    return 0
