"""The Anny body laid on recovered people: one shape for a person, a rotation for every bone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body.anny import AnnyBody
from pose2mesh.body.fit import ADULTS, BodyFitter
from pose2mesh.skeletons import JointSet

_ROUNDS = 3  # of Gauss–Newton from the closed-form start; more change nothing at a tenth of a millimetre


class Rig:
    """The Anny body and what lays it on meshes; building it takes some seconds.

    Args:
        joint_set: Of the joints that are regressed from fitted bodies.
        height_m: Everyone's standing height, where known: children's shapes are allowed where it is less than 1.5 m.
    """

    def __init__(self, joint_set: JointSet, height_m: float | None = None) -> None:
        self.body = AnnyBody()
        self.fitter = BodyFitter(self.body, bounds=ADULTS)
        self.regressor = self.body.regressor(joint_set)
        self.root = joint_set.root_index

    def shape(self, meshes: NDArray[np.floating]) -> NDArray[np.float32]:
        """(6,) the phenotypes of one person's meshes (T, V, 3)."""
        points = torch.from_numpy(meshes).float()
        return self.fitter(points, torch.zeros(len(points), dtype=torch.long)).phenotypes[0].numpy()

    def fit(
        self, meshes: NDArray[np.floating], phenotypes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Lay the body of a shape (6,) on meshes (T, V, 3).

        Returns:
            (T, 22, 3, 3) orientations, (T, 3) where the hips are, (T,) residuals in mm, (T, J + V, 3) joints and
            vertices, all but the first and third in the frame of the meshes.
        """
        points = torch.from_numpy(meshes).float()
        person = torch.zeros(len(points), dtype=torch.long)
        fit = self.fitter(points, person, phenotypes=torch.from_numpy(phenotypes)[None], rounds=_ROUNDS)
        with torch.no_grad():
            vertices = fit.vertices(self.body)
            both = torch.cat([self.regressor @ vertices, vertices], dim=1)
        return fit.orientations.numpy(), fit.translation_m.numpy(), fit.residual_mm.numpy(), both.numpy()
