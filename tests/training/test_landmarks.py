"""A lifter that learns landmarks of the surface, goes on learning, and hands them to stage two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO
from pose2mesh.training.epoch_log import read_rows
from pose2mesh.training.loop import train
from pose2mesh.training.pose2mesh_task import Pose2MeshTask
from pose2mesh.training.pretrained import load_pretrained
from pose2mesh.training.resume import load_resumed

from .conftest import NETWORK

Tiny = Callable[..., TrainConfig]
WITH_LANDMARKS = {**NETWORK, "joint_base": True, "landmarks": 8}
ADAM = {"name": "adam", "learning_rate": 3e-3, "schedule": "cosine"}


def statistics(network: Pose2Mesh) -> dict[str, torch.Tensor]:
    norms = {name for name, module in network.posenet.named_modules() if isinstance(module, nn.BatchNorm1d)}
    state = network.posenet.state_dict()
    assert norms
    return {f"{name}.{kind}": state[f"{name}.{kind}"] for name in norms for kind in ("running_mean", "running_var")}


@pytest.fixture(scope="module")
def runs(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lifter with landmarks, and stage two on it."""
    folder = tmp_path_factory.mktemp("landmarks")
    first, second = folder / "first", folder / "second"
    train(tiny(network=WITH_LANDMARKS), first)
    stage = {"stage": "pose2mesh", "pretrained": str(first), "optimiser": {**ADAM, "posenet_factor": 0.0}}
    train(tiny(network=WITH_LANDMARKS, **stage), second)
    return first, second


@pytest.mark.thorough
def test_landmarks_are_learnt_beside_the_joints(runs: tuple[Path, Path]) -> None:
    rows = read_rows(runs[0] / "metrics.csv")
    for name in ("train/lifted_joint", "train/landmark", "val/landmarks_mm", "val/lifted_mpjpe_mm"):
        assert float(rows[-1][name]) < 0.9 * float(rows[0][name]), name
    learnt = load_bundle(runs[0] / "bundle.safetensors").model.posenet.landmark_head
    assert learnt is not None
    assert learnt.weight.abs().max() > 0


def test_stage_two_starts_from_the_landmarks(runs: tuple[Path, Path]) -> None:
    """And leaves them as they are."""
    first, second = (load_bundle(folder / "bundle.safetensors").model.posenet.state_dict() for folder in runs)
    assert all(torch.allclose(value, second[name], atol=1e-3) for name, value in first.items())
    one, two = (read_rows(folder / "metrics.csv")[-1] for folder in runs)
    assert float(two["val/landmarks_mm"]) == pytest.approx(float(one["val/landmarks_mm"]), rel=0.05)
    assert "train/landmark" in two


@pytest.mark.thorough
def test_a_lifter_gets_landmarks_later(lifter: Path, tiny: Tiny, tmp_path: Path) -> None:
    """The lifter that learnt none keeps what it knows."""
    said: list[str] = []
    train(tiny(network=WITH_LANDMARKS, pretrained=str(lifter), epochs=1), tmp_path / "on", say=said.append)
    assert any(line.endswith("but for posenet.landmark_head, which start fresh") for line in said)
    rows = [read_rows(folder / "metrics.csv")[-1] for folder in (lifter, tmp_path / "on")]
    before, after = (float(row["val/lifted_mpjpe_mm"]) for row in rows)
    assert after < 1.1 * before


@pytest.mark.parametrize("part", ["best.ckpt", "bundle.safetensors"])
def test_other_landmarks(part: str, runs: tuple[Path, Path]) -> None:
    """Stage two refuses a lifter of other landmarks; a lifter that goes on learns its own."""
    bundle = load_bundle(runs[0] / "bundle.safetensors")
    landmarks = bundle.surface.landmarks
    assert landmarks is not None
    others = np.setdiff1d(np.arange(len(bundle.surface.points)), landmarks)[: len(landmarks)]
    network = Pose2Mesh(bundle.model.config, COCO, dataclasses.replace(bundle.surface, landmarks=others))
    with pytest.raises(InputError, match="its landmarks are other points of the surface"):
        load_pretrained(network, runs[0] / part, True, lambda line: None)
    said: list[str] = []
    load_pretrained(network, runs[0] / part, False, said.append)
    assert said[0].endswith("but for posenet.landmark_head, which start fresh")
    assert network.posenet.landmark_head is not None
    assert not network.posenet.landmark_head.weight.any()
    same = Pose2Mesh(bundle.model.config, COCO, bundle.surface)
    load_pretrained(same, runs[0] / part, False, said.append)
    assert said[1].endswith("starts from it")


def test_a_run_does_not_go_on_with_other_landmarks(tiny: Tiny, runs: tuple[Path, Path], tmp_path: Path) -> None:
    network = Pose2MeshTask(tiny(network=WITH_LANDMARKS)).module.network
    load_resumed(runs[0] / "best.ckpt", network)
    assert network.landmarks is not None
    network.landmarks = network.landmarks.flip(0)
    with pytest.raises(InputError, match=r"best\.ckpt: its landmarks are other points of the surface"):
        load_resumed(runs[0] / "best.ckpt", network)


@pytest.mark.thorough
@pytest.mark.parametrize("keep", [True, False])
def test_statistics_that_are_kept(keep: bool, runs: tuple[Path, Path], tiny: Tiny, tmp_path: Path) -> None:
    """Weights and factors learn, over validation too, while means and variances stay those it started from."""
    changes: dict[str, Any] = {"pretrained": str(runs[0]), "optimiser": {**ADAM, "keep_statistics": keep}, "epochs": 2}
    train(tiny(network=WITH_LANDMARKS, **changes), tmp_path / "on")
    before, after = (load_bundle(folder / "bundle.safetensors").model for folder in (runs[0], tmp_path / "on"))
    pairs = [(value, statistics(after)[name]) for name, value in statistics(before).items()]
    # The bundle is of half precision, the checkpoint that is gone on from is not; statistics are whole in both.
    assert all(torch.equal(*pair) for pair in pairs) == keep
    assert not torch.allclose(before.posenet.lift.weight, after.posenet.lift.weight, atol=1e-3)
    factors = [name for name, value in before.posenet.named_parameters() if value.ndim == 1 and ".layers.0." in name]
    assert factors
    learnt = dict(after.posenet.named_parameters())
    assert any(not torch.allclose(dict(before.posenet.named_parameters())[name], learnt[name]) for name in factors)
