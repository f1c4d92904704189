"""Every published experiment on made-up data sets: it loads, trains, and ends in a bundle that predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose2mesh.config import TrainConfig, load_config
from pose2mesh.models.bundle_file import read_bundle
from pose2mesh.predict import Recovery
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.training import run
from tests.body.smpl_fixtures import VERTICES
from tests.data.sets.literature import write_data_sets, write_models

CONFIGS = Path(__file__).parents[2] / "configs" / "published"
EXPERIMENTS = ("human36", "coco", "coco_amass", "smpl", "hand")
SMALL = [
    "network.posenet_width=16", "network.posenet_blocks=1", "network.coarsenings=2", "network.joint_widths=[8]",
    "network.block_widths=[[8,8],[8,8],[8,8]]", "network.head_width=8", "batch_size=4", "epochs=1",
    "data.samples_per_epoch=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets and the body models, made up."""
    folder = tmp_path_factory.mktemp("literature")
    write_models(folder / "models")
    write_data_sets(folder / "data")
    return folder


def small(name: str, disk: Path, *changes: str) -> TrainConfig:
    """A published config with a small network and two steps, on the made-up data."""
    places = [f"data.{key}={disk / place}" for key, place in (("folder", "data"), ("cache", "cache"))]
    return load_config(CONFIGS / f"{name}.yaml", [*SMALL, *places, f"data.body.folder={disk / 'models'}", *changes])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_both_stages_end_in_a_bundle_that_predicts(name: str, disk: Path, tmp_path: Path) -> None:
    run.train(small(f"{name}_posenet", disk), tmp_path / "lifter")
    config = small(name, disk, f"pretrained={tmp_path / 'lifter'}", "losses.edge_from_epoch=0")
    bundle = run.train(config, tmp_path / "whole")

    info = read_bundle(bundle).info
    body = "mano-right" if name == "hand" else "smpl-neutral"
    assert (info.joint_set, info.body) == (config.joint_set, body)
    assert "non-commercial" in info.licence
    (measured,) = info.errors.values()
    assert set(measured) == {"mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm"}
    assert all(0 < value < 5000 for value in measured.values())
    assert str(disk) not in str(info.config)
    assert (tmp_path / "whole" / "samples" / "sample_0.obj").is_file()

    recovery = Recovery.load(bundle)
    keypoints = 500 + 100 * np.random.default_rng(0).normal(size=(2, len(INPUT_ORDERS[config.joint_set]), 2))
    people = recovery.recover(keypoints, config.joint_set)
    assert [person.vertices.shape for person in people] == [(VERTICES["mano" if name == "hand" else "smpl"], 3)] * 2
    assert all(np.isfinite(person.joints).all() for person in people)
