"""`pose2mesh data …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.evaluation.dataset_checks.check_options import CheckOptions

data = App(name="data", help="Commands for data sets.")

_DEFAULTS = CheckOptions()


@data.command
def check(path: Path, /, *, options: Annotated[CheckOptions, Parameter(name="*")] = _DEFAULTS) -> int:
    """Report the content and the faults of a data set, and write a contact sheet of some of its samples.

    Parameters
    ----------
    path
        The folder of a data set, a keypoint file in COCO format, or a training config.
    """
    from pose2mesh.evaluation.dataset_checks.check_datasets import check_dataset

    return check_dataset(path, options, say, warn)
