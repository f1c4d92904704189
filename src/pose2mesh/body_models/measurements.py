"""Measurements of a fitted body: height, waist, volume and mass, each with the residual of the fit.

The values are those of the fitted shape, standing at rest. A residual is the measurement of the posed input mesh minus
that of the fitted body in the same pose: the part that the body model could not fit. It does not include errors of the
input mesh itself, such as its size, which a single image does not determine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.body_fitting import BodyFit
from pose2mesh.body_models.fit_equations import BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.skeletons import COCO

# Bones from the ankles up to the head, both sides: their summed length replaces the height for a posed body.
_CHAIN = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("pelvis", "neck"), ("pelvis", "neck"), ("neck", "nose"), ("neck", "nose"),
)  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One measurement of `P` people, in the unit of its name.

    Attributes:
        value: (P,) of the fitted body at rest.
        residual: (P,) of the input mesh minus the fitted body, both posed; the median over the person's frames.
    """

    value: Tensor
    residual: Tensor


def measure(body: BodyModel, fit: BodyFit, vertices: Tensor) -> dict[str, Measurement]:
    """Measure `height_m`, `waist_m` (girth), `volume_m3` and `mass_kg`; the last three as the body model defines them.

    Args:
        body: The body that was fitted.
        fit: The fit to `vertices`.
        vertices: (B, V, 3) the input meshes.
    """
    anthropometry = body.anthropometry()
    identity = torch.eye(3, device=vertices.device).expand(len(fit.phenotypes), BONES, 3, 3)
    with torch.no_grad():
        rest = body(fit.phenotypes, identity)
        fitted, given = (mesh - fit.translation_m[:, None] for mesh in (fit.vertices(body), vertices))
        height = body.stature(fit.phenotypes)
        ratio = _chain_length(body, given) / _chain_length(body, fitted) - 1
        out = {"height_m": Measurement(height, _by_person(ratio * height[fit.person], fit))}
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
