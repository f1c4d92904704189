from __future__ import annotations

import pytest
import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.skinning import SkinnedPoints, skin
from pose2mesh.skeletons import BODY_JOINT_SETS
from tests.body_models.random_bodies import random_adults, random_poses


@pytest.mark.parametrize("name", BODY_JOINT_SETS)
def test_skinned_points_are_the_regressed_vertices(name: str, anny_body: BodyModel) -> None:
    """Compared in float64: a float32 product over thousands of vertices has an error of 1e-5 m itself."""
    regressor = anny_body.regressor(BODY_JOINT_SETS[name])
    points = SkinnedPoints(anny_body, regressor)
    phenotypes, poses = random_adults(5, 4), random_poses(5, 5)
    coefficients = anny_body.coefficients(phenotypes)
    transforms = anny_body.bone_transforms(coefficients, poses)
    shapes = (coefficients.double() @ anny_body.shapes.double()).reshape(5, -1, 3)
    vertices = skin(
        anny_body.rest_vertices.double() + shapes,
        anny_body.skin_weights.double(),
        *(transform.double() for transform in transforms),
    )
    found = points(coefficients, *transforms)
    torch.testing.assert_close(found.double(), regressor.double() @ vertices, atol=1e-6, rtol=0)
