"""SMPL or MANO in several variants as one body: each sample is posed with the model of its gender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.body_models.smpl import SmplBody, Variant, find_regressors, find_smpl
from pose2mesh.body_models.smpl_points import SmplPoints
from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet


@dataclass
class BodyConfig:
    """The body whose mesh the network predicts.

    Attributes:
        model: `anny`, which is open and needs no file, or `smpl` or `mano` from the user's files.
        folder: The folder of these files, laid out as in `docs/body_models.md`.
        variant: `neutral`, `male` or `female` of SMPL, `right` or `left` of MANO: the model whose template and
            regressors the network is built on.
        regressors: Files of joint regressors by joint set, in addition to those found in the folder.
    """

    model: Literal["anny", "smpl", "mano"] = DEFAULT_BODY
    folder: str | None = None
    variant: Variant | None = None
    regressors: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the body in bundles."""
        return self.model if self.model == DEFAULT_BODY else f"{self.model}-{self.main}"

    @property
    def main(self) -> Variant:
        """The variant; `neutral` (SMPL) or `right` (MANO) where none is given."""
        return self.variant or ("right" if self.model == "mano" else "neutral")


class GenderedBody:
    """Bodies with one mesh topology, selected by the number of a sample's gender: `main` and `others`.

    Args:
        main: The body whose faces, template and joint regressors are used for all.
        genders: Bodies by gender number; samples of any other gender are posed with `main`.

    Raises:
        InputError: the faces of a file are not those of `main`.
    """

    def __init__(self, main: SmplBody, genders: Mapping[int, SmplBody] | None = None) -> None:
        self.main, self.others = main, dict(genders or {})
        for body in self.others.values():
            if body.model != main.model or not torch.equal(body.faces, main.faces):
                raise InputError(
                    f"{body.path}: its faces are not those of {main.path}, expected one mesh for all genders"
                )

    @property
    def faces(self) -> Tensor:
        """(F, 3) triangles."""
        return self.main.faces

    @property
    def template(self) -> Tensor:
        """(V, 3) the main body without pose, metres."""
        return self.main.template

    def regressor(self, joint_set: JointSet) -> Tensor:
        """Joint regressor (J, V) on the CPU, that of the main body; see `SmplBody.regressor`."""
        return self.main.regressor(joint_set)


class GenderedPoints(nn.Module):
    """`SmplPoints` of several genders: each sample is posed with the body of its gender.

    Args:
        body: The bodies by gender.
        vertices, rows: See `SmplPoints`.
    """

    def __init__(self, body: GenderedBody, vertices: Tensor, rows: Tensor) -> None:
        super().__init__()
        self.main = SmplPoints(body.main, vertices, rows)
        others = {str(number): SmplPoints(other, vertices, rows) for number, other in body.others.items()}
        self.others = nn.ModuleDict(others)

    def forward(self, pose: Tensor, shape: Tensor, gender: Tensor) -> Tensor:
        """(B, R + N, 3) points of samples with gender numbers (B,); otherwise as `SmplPoints.forward`."""
        points = self.main(pose, shape)
        for number, other in self.others.items():
            if (chosen := gender == int(number)).any():
                points[chosen] = other(pose[chosen], shape[chosen])
        return points


def open_body(config: BodyConfig, genders: Mapping[int, Variant] | None = None) -> GenderedBody:
    """Load the body of a config from the user's files.

    Args:
        config: Of SMPL or MANO.
        genders: The variants needed besides the main one, by gender number of the records.

    Raises:
        InputError: a file is missing or cannot be used.
    """
    if config.model == DEFAULT_BODY or config.folder is None:
        raise InputError(f"data.body.folder is missing; the files of {config.model} are the user's own")
    folder, model = Path(config.folder), config.model
    regressors = {} if model == "mano" else find_regressors(folder)
    regressors |= {name: Path(file) for name, file in config.regressors.items()}

    def load(variant: Variant) -> SmplBody:
        return SmplBody(find_smpl(folder, model, variant), model, regressors)

    others = {number: load(variant) for number, variant in (genders or {}).items() if variant != config.main}
    return GenderedBody(load(config.main), others)
