"""Landmarks: their number, their positions on the skin by name, mirror symmetry."""

from __future__ import annotations

import torch

from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.landmarks import MIRROR, MIRROR_PAIRS, NAMES, landmark_regressor, landmark_vertices
from pose2mesh.baselines.observation import LANDMARKS
from pose2mesh.skeletons import COCO17


def test_the_regressor_gives_as_many_points_as_there_are_names_and_moves_with_the_body(fitter: Fitter) -> None:
    regressor = landmark_regressor(fitter.body)
    assert regressor.shape == (LANDMARKS, len(fitter.body.template))
    assert len(NAMES) == len(set(NAMES)) == LANDMARKS
    torch.testing.assert_close(regressor.sum(1), torch.ones(LANDMARKS))
    assert (regressor[len(COCO17) :].count_nonzero(1) == 1).all()


def test_no_vertex_is_chosen_twice(fitter: Fitter) -> None:
    vertices = landmark_vertices(fitter.body)
    assert tuple(vertices) == NAMES[len(COCO17) :]
    assert len(set(vertices.values())) == len(vertices)


def test_left_and_right_are_mirror_images(fitter: Fitter) -> None:
    points = landmark_regressor(fitter.body) @ fitter.body.template
    middle = (fitter.body.template[:, 0].amax() + fitter.body.template[:, 0].amin()) / 2
    left, right = torch.tensor(MIRROR_PAIRS).T
    assert (points[left, 0] > middle).all()
    image = points[list(MIRROR)] * torch.tensor([-1.0, 1, 1]) + torch.tensor([2.0, 0, 0]) * middle
    torch.testing.assert_close(image, points, atol=1e-4, rtol=0)
    assert [MIRROR[index] for index in left] == right.tolist()
    assert [MIRROR[index] for index in MIRROR] == list(range(LANDMARKS))


def test_points_lie_where_their_names_say(fitter: Fitter) -> None:
    template = fitter.body.template
    points = dict(zip(NAMES, landmark_regressor(fitter.body) @ template, strict=True))
    for name, point in points.items():
        if name.endswith("_front"):  # the body faces −y
            assert point[1] < points[name.removesuffix("_front") + "_back"][1] - 0.03, name
        if name.endswith("_outer"):
            assert point[0].abs() > points[name.removesuffix("_outer") + "_inner"][0].abs() + 0.03, name
    assert points["crown"][2] == template[:, 2].amax()
    for side in ("left", "right"):
        heights = [f"{side}_{part}" for part in ("shoulder", "chest", "waist", "hips", "knee", "heel")]
        assert sorted(heights, key=lambda name: -points[name][2]) == heights
        assert (points[f"{side}_toe_tip"][1] == template[template[:, 2] < -0.9, 1].amin()) or side == "right"
