"""Steps: what they draw, however they are divided, and the gradients that come of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.batch import slice_batch
from pose2mesh.training import loop, pose2mesh_task
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pose2mesh_task import Pose2MeshTask

Tiny = Callable[..., TrainConfig]
ONE_STEP = {"samples_per_epoch": 64, "validation_samples": 64, "synthetic": {"poses": {"procedural": 1.0}}}


@pytest.fixture
def first_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[TrainConfig], dict[str, Tensor]]:
    """The gradients of a run's only step, with BatchNorm and dropout as in evaluation."""

    def result(config: TrainConfig) -> dict[str, Tensor]:
        gradients: dict[str, Tensor] = {}
        start, check = Pose2MeshModule.begin_training, Pose2MeshModule.check_and_clip_gradient

        def fixed(self: Pose2MeshModule) -> None:
            start(self)
            for module in self.network.modules():
                if isinstance(module, (nn.BatchNorm1d, nn.Dropout)):
                    module.eval()

        def note(self: Pose2MeshModule, step: int) -> None:
            for name, value in self.network.named_parameters():
                if value.grad is not None:
                    gradients[name] = value.grad.clone()
            check(self, step)

        with monkeypatch.context() as patch:
            patch.setattr(Pose2MeshModule, "begin_training", fixed)
            patch.setattr(Pose2MeshModule, "check_and_clip_gradient", note)
            patch.setattr(pose2mesh_task, "finish", lambda *_: None)
            loop.train(config, tmp_path / f"{config.batch_size}")
        return gradients

    return result


@pytest.mark.thorough
@pytest.mark.parametrize("stage", ["posenet", "pose2mesh"])
def test_accumulated_batches_are_the_large_batch(
    stage: str, first_step: Callable[[TrainConfig], dict[str, Tensor]], tiny: Tiny
) -> None:
    """Four of 16 people have the gradient of one of 64: the same people, weighed the same."""
    large = first_step(tiny(stage=stage, epochs=1, batch_size=64, data=ONE_STEP))
    parts = first_step(tiny(stage=stage, epochs=1, batch_size=16, accumulate=4, data=ONE_STEP))
    assert large.keys() == parts.keys()
    assert all(name.startswith("posenet.") for name in large) == (stage == "posenet")
    for name, value in large.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-6 * float(value.abs().max() + 1))


def test_the_people_of_a_step_do_not_depend_on_what_is_drawn_before(tiny: Tiny) -> None:
    module = Pose2MeshTask(tiny()).module
    batch = module.training_batch(5, 12)
    module.training_batch(6, 12)
    again = module.training_batch(5, 12)
    assert torch.equal(batch.joints_px, again.joints_px)
    part = slice_batch(batch, slice(4, 8))
    assert torch.equal(part.joints_px, batch.joints_px[4:8])
    assert torch.equal(part.surface_valid, batch.surface_valid[4:8])
    assert part.points is None


def test_the_mean_body_is_a_bar_to_beat(tiny: Tiny) -> None:
    """Learned from training people, it is as close to others as their own mean, and closer than any of them."""
    module = Pose2MeshTask(tiny(stage="pose2mesh")).module
    batches = [module.validation_batch(index).points for index in range(3)]
    points = torch.cat([part for part in batches if part is not None])

    def error(answer: Tensor) -> float:
        return float((points - answer).norm(dim=-1).mean())

    assert error(module.mean_body) < 1.05 * error(points.mean(0))
    assert all(error(module.mean_body) < 0.95 * error(person) for person in points[:8])
