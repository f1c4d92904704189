"""Fits the default body to predicted meshes: a shape per person, a rotation per bone, and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.body_fitting import BodyFitter
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.body_models.measurements import Measurement, measure
from pose2mesh.inference.person import Person
from pose2mesh.skeletons import JOINT_SETS

_ROUNDS = 3  # iterations of Gauss–Newton after the closed-form start; more change the result by < 0.1 mm


@dataclass(frozen=True)
class RigFit:
    """Bodies fitted to `P` people in `B` frames; each person has at least one frame.

    Attributes:
        phenotypes: (P, 6) in the order of `body_models.interface.PHENOTYPES`.
        orientations: (B, 22, 3, 3) of the bones, from the mean adult's rest pose to the axes of the meshes.
        hips_m: (B, 3) the hips' bone head, in the frame of the meshes.
        residual_mm: (B,) mean distance of the fitted points from those of the meshes.
        measurements: Name of each measurement to its P values and residuals.
    """

    phenotypes: NDArray[np.float32]
    orientations: NDArray[np.float32]
    hips_m: NDArray[np.float32]
    residual_mm: NDArray[np.float32]
    measurements: dict[str, Measurement]

    def shape_of(self, person: int) -> dict[str, Any]:
        """The JSON record of a person's shape."""
        values = {
            name: {
                "value": round(float(measured.value[person]), 5),
                "residual": round(float(measured.residual[person]), 5),
            }
            for name, measured in self.measurements.items()
        }
        phenotypes = dict(zip(PHENOTYPES, self.phenotypes[person].tolist(), strict=True))
        return {"body": DEFAULT_BODY, "phenotypes": phenotypes, "measurements": values}


class Rig:
    """The default body and its fitter to meshes; building it takes some seconds, so `load_rig` caches it.

    Args:
        joint_set: Name of the joint set whose joints are regressed from the fitted bodies.
    """

    def __init__(self, joint_set: str) -> None:
        self.body = default_body()
        self.fitter = BodyFitter(self.body)
        self.regressor = self.body.regressor(JOINT_SETS[joint_set])

    def fit(self, meshes: NDArray[np.floating], one_person: bool = False) -> RigFit:
        """Fit shapes and poses to meshes (B, V, 3), metres.

        Args:
            meshes: Meshes of one person, or one mesh per person.
            one_person: Whether all meshes are of one person and share one shape.
        """
        points = torch.from_numpy(meshes).float()
        person = torch.zeros(len(points), dtype=torch.long) if one_person else None
        fit = self.fitter(points, person)
        return RigFit(
            fit.phenotypes.numpy(),
            fit.orientations.numpy(),
            fit.translation_m.numpy(),
            fit.residual_mm.numpy(),
            measure(self.body, fit, points),
        )

    def pose(
        self, meshes: NDArray[np.floating], phenotypes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Fit poses of a body of a given shape (6,) to meshes (T, V, 3).

        Returns:
            (T, 22 · 9 + 4) orientations, position of the hips, residual in mm; and (T, J + V, 3) the joints and
            vertices of the fitted bodies; all in the frame of the meshes.
        """
        points = torch.from_numpy(meshes).float()
        person = torch.zeros(len(points), dtype=torch.long)
        fit = self.fitter(points, person, phenotypes=torch.from_numpy(phenotypes)[None], rounds=_ROUNDS)
        with torch.no_grad():
            vertices = fit.vertices(self.body)
            both = torch.cat([self.regressor @ vertices, vertices], dim=1)
        poses = torch.cat([fit.orientations.flatten(1), fit.translation_m, fit.residual_mm[:, None]], dim=1)
        return poses.numpy(), both.numpy()


@lru_cache(maxsize=1)
def load_rig(joint_set: str) -> Rig:
    """The `Rig` of a joint set; the last one is cached."""
    return Rig(joint_set)


def rig_people(people: list[Person], rig: Rig) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """Fit bodies to people, each separately: a JSON record per person, and the arrays of all people for NPZ."""
    fit = rig.fit(np.stack([person.vertices for person in people]))
    places = fit.hips_m + np.stack([person.camera.translation_m for person in people]).astype(np.float32)
    records = [
        fit.shape_of(index)
        | {
            "orientations": dict(zip(BODY_BONES, fit.orientations[index], strict=True)),
            "hips_m": places[index],
            "residual_mm": float(fit.residual_mm[index]),
        }
        for index in range(len(people))
    ]
    arrays = {
        "phenotypes": fit.phenotypes,
        "orientations": fit.orientations,
        "hips_m": places,
        "residual_mm": fit.residual_mm,
        "bone_names": np.array(BODY_BONES),
        "phenotype_names": np.array(PHENOTYPES),
    }
    return records, arrays
