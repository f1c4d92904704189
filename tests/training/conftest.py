"""Runs of a few seconds, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.shape_basis import ShapeBasis
from pose2mesh.config.train_config import TrainConfig, parse_config
from pose2mesh.datasets import synthetic_source
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS, JointSet
from pose2mesh.training import finalize, loop, pose2mesh_task
from pose2mesh.training.checkpoints import read_checkpoint

NETWORK = {
    "confidence_input": True,
    "isotropic": True,
    "posenet_width": 32,
    "posenet_unit_m": 1.0,
    "posenet_blocks": 1,
    "posenet_dropout": 0.1,  # its random numbers have to be resumed too
    "coarsenings": 7,
    "finest": 5,
    "joint_widths": [8],
    "block_widths": [[8, 8], [8, 8], [8, 8]],
    "head_width": 8,
}
Weights = dict[str, Tensor]


def tiny(**changes: Any) -> TrainConfig:
    """A few seconds of training on procedural poses."""
    values: dict[str, Any] = {
        "network": NETWORK,
        "data": {"samples_per_epoch": 640, "validation_samples": 64, "synthetic": {"poses": {"procedural": 1.0}}},
        "optimiser": {"name": "adam", "learning_rate": 3e-3, "schedule": "cosine"},
        "epochs": 3,
        "batch_size": 64,
        "name": "tiny",
    }
    return parse_config({**values, **changes}, "test")


@pytest.fixture(autouse=True, scope="session")
def parts_made_once() -> Iterator[None]:
    """What is the same in every run of a network, and takes longer to make than these take to train; and no graphs."""
    surfaces: dict[str, MeshTopology] = {}
    synthesisers: dict[str, BodySynthesiser] = {}
    build = pose2mesh_task.build_network

    def network_once(
        config: TrainConfig, data_source: DataSource, basis: ShapeBasis | None = None
    ) -> tuple[MeshTopology, Pose2Mesh]:
        key = f"{config.joint_set} {config.network} {data_source.body_name}"
        if key not in surfaces:
            state = torch.get_rng_state()
            surfaces[key] = build(config, data_source, basis)[0]
            torch.set_rng_state(state)
        return surfaces[key], Pose2Mesh(config.network, JOINT_SETS[config.joint_set], surfaces[key])

    def synthesiser_once(body: BodyModel, joint_set: JointSet, points: Tensor | None) -> BodySynthesiser:
        key = f"{joint_set.name} {None if points is None else points.tolist()}"
        if key not in synthesisers:
            synthesisers[key] = BodySynthesiser(body, joint_set, points)
        return synthesisers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose2mesh_task, "build_network", network_once)
        patch.setattr(synthetic_source, "BodySynthesiser", synthesiser_once)
        patch.setattr(loop, "refresh_graphs", lambda *_: None)
        patch.setattr(finalize, "MEASURED_SAMPLES", 40)
        yield


@pytest.fixture(name="tiny", scope="session")
def tiny_fixture() -> Callable[..., TrainConfig]:
    return tiny


@pytest.fixture(scope="session")
def lifter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a trained PoseNet."""
    folder = tmp_path_factory.mktemp("runs") / "lifter"
    loop.train(tiny(), folder)
    return folder


def train_to_the_end(config: TrainConfig, folder: Path, resume: Path | None = None) -> Weights:
    """Train, and return the weights after the last epoch, which a run does not keep; no bundle is made."""
    kept: Weights = {}

    def keep(bundle: Path, *_: Any) -> None:
        kept.update(read_checkpoint(bundle.parent / "last.ckpt")["state_dict"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose2mesh_task, "finish", keep)
        loop.train(config, folder, resume)
    return {name: value.clone() for name, value in kept.items()}


@pytest.fixture(name="train_to_the_end", scope="session")
def train_to_the_end_fixture() -> Callable[..., Weights]:
    return train_to_the_end


@pytest.fixture(scope="session")
def same_weights() -> Callable[[Weights, Weights], None]:
    def check(one: Weights, other: Weights) -> None:
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert torch.equal(value, other[name]), name

    return check
