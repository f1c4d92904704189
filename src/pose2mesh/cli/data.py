"""`pose2mesh data …` on the command line. Imports what it needs when it runs, as `cli/main.py` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pose2mesh.cli.console import say, warn

Set = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=True)]

data = App(name="data", help="Look after data sets.")


@data.command
def check(
    path: Path,
    /,
    *,
    models: Path | None = None,
    images: Path | None = None,
    cache: Path | None = None,
    samples: int = 1000,
    seed: int = 7,
    fit_limit: float | None = None,
    sheet: Path | None = Path("data_check.png"),
    shown: int = 12,
    set_: Set = None,
) -> int:
    """Say what is in a data set and what looks wrong with it, and draw some of its people.

    Parameters
    ----------
    path
        The folder of a data set, a keypoint file of COCO's form, or a training config.
    models
        The folder of SMPL's and MANO's files, to pose the fitted bodies; a config names its own.
    images
        The folder that image names are relative to; by default where the data set usually has it.
    cache
        Where the index of a data set is kept; the user's cache folder by default.
    samples
        So many fitted bodies of each split are posed, chosen at random.
    seed
        Decides which, and who is drawn.
    fit_limit
        Millimetres from labelled joints beyond which a fit is bad; by default what training takes.
    sheet
        PNG file of the contact sheet.
    shown
        People of each split on it.
    set_
        key=value that overrides the config; several may follow.
    """
    from pose2mesh.evaluation.dataset_checks.check_datasets import CheckOptions, check_dataset

    options = CheckOptions(
        path, models, images, cache, samples, seed, fit_limit, sheet, shown, tuple(set_ or ())
    )  # fmt: skip
    return check_dataset(options, say, warn)
