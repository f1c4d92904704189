"""Options of `pose2mesh data check`: the flags and their help, so this file imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pose2mesh.errors import InputError


@dataclass(frozen=True)
class CheckOptions:
    """Options of the checks of a data set.

    Attributes:
        models: The folder of the SMPL and MANO files, to pose the fitted bodies; a config names its own. Without it
            fits are not checked.
        images: The folder that image names are relative to; by default where the data set usually has it.
        cache: Where the index of a data set is kept; the user's cache folder by default.
        samples: Number of fitted bodies of each split that are posed, chosen at random.
        seed: Seed of that choice, and of the samples on the contact sheet.
        fit_limit_mm: Distance from labelled joints in millimetres beyond which a fit is bad; by default the limit of
            training.
        sheet: PNG file of the contact sheet.
        shown: Number of samples of each split on the contact sheet.
        overrides: key=value that overrides the config; several may follow.
    """

    models: Path | None = None
    images: Path | None = None
    cache: Path | None = None
    samples: int = 1000
    seed: int = 7
    fit_limit_mm: Annotated[float | None, Parameter(name="--fit-limit")] = None
    sheet: Path | None = Path("data_check.png")
    shown: int = 12
    overrides: Annotated[tuple[str, ...], Parameter(name="--set")] = ()

    def check(self) -> None:
        """Check the options before any work is done.

        Raises:
            InputError: an option is invalid; the message names it, its value and the expected one.
        """
        for name, value in (("--samples", self.samples), ("--shown", self.shown)):
            if value < 1:
                raise InputError(f"{name} {value}: expected at least 1")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed {self.seed}: expected a number from 0 to 2^63")
        if self.fit_limit_mm is not None and not self.fit_limit_mm > 0:
            raise InputError(f"--fit-limit {self.fit_limit_mm}: expected millimetres")
        for name, folder in (("--models", self.models), ("--images", self.images)):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{name} {folder}: no such folder")
        if self.sheet is not None and (self.sheet.suffix.lower() != ".png" or not self.sheet.parent.is_dir()):
            raise InputError(f"--sheet {self.sheet}: expected the name of a .png file in a folder that exists")
