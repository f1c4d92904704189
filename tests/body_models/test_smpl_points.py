"""Points posed alone equal those of the whole body."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

from pose2mesh.body_models.smpl import SmplBody
from pose2mesh.body_models.smpl_files import JOINT_COUNTS, SmplModel
from pose2mesh.body_models.smpl_points import SmplPoints
from tests.body_models.smpl_fixtures import fake_model, save_npz


@pytest.mark.parametrize("flat_hand", [False, True])
@pytest.mark.parametrize("model", get_args(SmplModel))
def test_points_are_those_of_the_whole_body(model: SmplModel, flat_hand: bool, tmp_path: Path) -> None:
    body = SmplBody(save_npz(tmp_path / "model.npz", fake_model(model)), model, flat_hand=flat_hand)
    generator = torch.Generator().manual_seed(2)
    pose = 0.6 * torch.randn(4, JOINT_COUNTS[model], 3, generator=generator)
    pose[0] = 0
    shape = torch.randn(4, 10, generator=generator)
    chosen = torch.tensor([100, 3, 57])
    points = SmplPoints(body, chosen, body.joint_regressor)(pose, shape)
    whole = body(pose, shape)
    torch.testing.assert_close(points[:, :3], whole[:, chosen], atol=1e-5, rtol=0)
    regressed = (body.joint_regressor.double() @ whole.double()).float()
    torch.testing.assert_close(points[:, 3:], regressed, atol=1e-5, rtol=0)


def test_rows_need_not_sum_to_one(tmp_path: Path) -> None:
    body = SmplBody(save_npz(tmp_path / "model.npz", fake_model("smpl")))
    rows = torch.zeros(2, 162)
    rows[0, 5], rows[0, 9], rows[1, 7] = 0.5, -2.0, 3.0
    pose, shape = 0.4 * torch.ones(1, 24, 3), torch.ones(1, 10)
    points = SmplPoints(body, torch.zeros(0, dtype=torch.long), rows)(pose, shape)
    torch.testing.assert_close(points, rows @ body(pose, shape), atol=1e-5, rtol=0)


def test_the_device_is_followed_and_gradients_flow(tmp_path: Path) -> None:
    body = SmplBody(save_npz(tmp_path / "model.npz", fake_model("smpl")))
    points = SmplPoints(body, torch.arange(4), body.joint_regressor)
    assert points.to("meta")(torch.zeros(2, 24, 3, device="meta"), torch.zeros(2, 10, device="meta")).is_meta
    points = SmplPoints(body, torch.arange(4), body.joint_regressor)
    pose = torch.zeros(2, 24, 3, requires_grad=True)
    points(pose, torch.zeros(2, 10)).sum().backward()
    assert pose.grad is not None
    assert pose.grad.isfinite().all()
    assert pose.grad.abs().max() > 0
