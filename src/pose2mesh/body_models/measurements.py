"""What a tailor would ask of a fitted body: height, waist, volume and mass, and how well each is borne out.

The values are those of the fitted shape, standing at rest. A residual says what the same measure of the mesh that was
fitted, as it was posed, has more than that of the fit in the same pose: what the body model could not follow. It says
nothing about errors of the mesh itself, such as the size that a single picture does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.body_fitting import BodyFit
from pose2mesh.body_models.fit_equations import BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.skeletons import COCO

# From the soles up as straight as joints go, both sides: their summed length stands for the height of a posed body.
_CHAIN = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("pelvis", "neck"), ("pelvis", "neck"), ("neck", "nose"), ("neck", "nose"),
)  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """Of `P` people, in the unit that its name says.

    Attributes:
        value: (P,) of the fitted body at rest.
        residual: (P,) given less fitted, posed; the median over the person's frames.
    """

    value: Tensor
    residual: Tensor


def measure(body: BodyModel, fit: BodyFit, vertices: Tensor) -> dict[str, Measurement]:
    """`height_m`, `waist_m` (girth), `volume_m3` and `mass_kg` of fitted people; the last three as Anny defines them.

    Args:
        body: The body that was fitted.
        fit: To `vertices`.
        vertices: (B, V, 3) the meshes that were fitted.
    """
    anthropometry = body.anthropometry()
    unturned = torch.eye(3, device=vertices.device).expand(len(fit.phenotypes), BONES, 3, 3)
    with torch.no_grad():
        rest = body(fit.phenotypes, unturned)
        fitted, given = (mesh - fit.translation_m[:, None] for mesh in (fit.vertices(body), vertices))
        height = body.stature(fit.phenotypes)
        longer = _chain_length(body, given) / _chain_length(body, fitted) - 1
        out = {"height_m": Measurement(height, _by_person(longer * height[fit.person], fit))}
        for name, measured in (
            ("waist_m", anthropometry.waist_circumference),
            ("volume_m3", anthropometry.volume),
            ("mass_kg", anthropometry.mass),
        ):
            out[name] = Measurement(measured(rest), _by_person(measured(given) - measured(fitted), fit))
    return out


def _chain_length(body: BodyModel, vertices: Tensor) -> Tensor:
    joints = body.regressor(COCO).to(vertices.device) @ vertices
    a, b = ([COCO.index(bone[end]) for bone in _CHAIN] for end in (0, 1))
    return (joints[:, a] - joints[:, b]).norm(dim=-1).sum(1)


def _by_person(values: Tensor, fit: BodyFit) -> Tensor:
    return torch.stack([values[fit.person == person].median() for person in range(len(fit.phenotypes))])
