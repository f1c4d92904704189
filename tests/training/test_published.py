"""Every published experiment on made-up data sets: it loads, trains, and ends in a bundle that predicts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.cli.main import main
from pose2mesh.config.train_config import TrainConfig, load_config
from pose2mesh.datasets.batch import Batch
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.interrupts import Interrupted
from pose2mesh.models.bundle.bundle_file import read_bundle
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.training import loop
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pose2mesh_task import Pose2MeshTask
from tests.body_models.smpl_fixtures import VERTICES
from tests.datasets.literature import write_data_sets, write_models, write_own

Weights = dict[str, Tensor]
CONFIGS = Path(__file__).parents[2] / "configs" / "published"
MEASURED_ON = {
    "human36": "Human3.6M test, detected 2D", "coco": "3DPW validation, detected 2D",
    "coco_amass": "3DPW validation, detected 2D", "smpl": "SURREAL val, detected 2D",
    "hand": "FreiHAND evaluation, gt 2D",
}  # fmt: skip

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


# By what each experiment is tested, as published, and from which 2D joints.
TESTS = {
    "human36": ("human36m-p2", "detected"),
    "coco": ("3dpw", "detected"),
    "coco_amass": ("3dpw", "gt"),
    "smpl": ("surreal", "detected"),
    "hand": ("freihand", "gt"),
}  # fmt: skip


def check_and_evaluate(name: str, run_folder: Path, disk: Path, tmp_path: Path) -> dict[str, Any]:
    """What `data check` and `evaluate` say of an experiment's config; the report of the second."""
    places = [
        "--set",
        f"data.folder={disk / 'data'}",
        f"data.body.folder={disk / 'models'}",
        f"data.cache={disk / 'cache'}",
    ]
    config, report = str(CONFIGS / f"{name}.yaml"), tmp_path / "report.json"
    status = main(["data", "check", config, "--sheet", str(tmp_path / "sheet.png"), "--shown", "1", *places])
    # MuCo's images are missing; the made-up hand has a body's size.
    assert status == (1 if name in ("coco", "hand") else 0)
    assert (tmp_path / "sheet.png").is_file()
    arguments = ["--protocol", TESTS[name][0], "--input", TESTS[name][1], "--report", str(report)]
    assert main(["evaluate", str(run_folder), "--data", config, *arguments, *places]) == 0
    return dict(json.loads(report.read_text()))


@pytest.mark.thorough
@pytest.mark.parametrize("name", MEASURED_ON)
def test_both_stages_end_in_a_bundle_that_predicts(name: str, disk: Path, tmp_path: Path) -> None:
    loop.train(small(f"{name}_posenet", disk), tmp_path / "lifter")
    config = small(name, disk, f"pretrained={tmp_path / 'lifter'}", "losses.edge_from_epoch=0")
    bundle = loop.train(config, tmp_path / "whole")

    info = read_bundle(bundle).info
    body = "mano-right" if name == "hand" else "smpl-neutral"
    assert (info.joint_set, info.body) == (config.joint_set, body)
    assert "non-commercial" in info.licence
    ((measured_on, measured),) = info.errors.items()
    assert measured_on == MEASURED_ON[name]
    assert set(measured) == {"mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm"}
    assert all(0 < value < 5000 for value in measured.values())
    assert str(disk) not in str(info.config)
    assert (tmp_path / "whole" / "samples" / "sample_0.obj").is_file()

    recovery = Predictor.load(bundle)
    keypoints = 500 + 100 * np.random.default_rng(0).normal(size=(2, len(INPUT_ORDERS[config.joint_set]), 2))
    people = recovery.recover(keypoints, config.joint_set)
    assert [person.vertices.shape for person in people] == [(VERTICES["mano" if name == "hand" else "smpl"], 3)] * 2
    assert all(np.isfinite(person.joints).all() for person in people)

    report = check_and_evaluate(name, tmp_path / "whole", disk, tmp_path)
    assert report["protocol"] == TESTS[name][0]
    assert all(0 < report[measure] < 5000 for measure in measured)
    assert report["samples"] + sum(report["left_out"].values()) == 6


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["coco_posenet", "coco"])
def test_an_interrupted_run_goes_on_with_the_same_people(
    name: str, disk: Path, tmp_path: Path, train_to_the_end: Callable[..., Weights], same_weights: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stopped within the second epoch, where the data sets are mixed anew, it ends in the same bits."""
    config = small(name, disk, "epochs=2", "pretrained=", "data.samples_per_epoch=20")
    straight = train_to_the_end(config, tmp_path / "straight")
    step, seen = Pose2MeshModule.training_step, []

    def stopping(self: Pose2MeshModule, batch: Batch, index: int) -> dict[str, Any]:
        seen.append(index)
        if len(seen) == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, index)

    folder = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        patch.setattr(Pose2MeshModule, "training_step", stopping)
        with pytest.raises(Interrupted):
            loop.train(config, folder)
    assert seen == [0, 1, 2, 3, 4, 0, 1, 2]
    same_weights(straight, train_to_the_end(config, folder, folder / "last.ckpt"))


def test_divided_steps_see_the_same_people(disk: Path) -> None:
    module = Pose2MeshTask(small("coco", disk, "pretrained=")).module
    whole = module.training_batch(3, 8, epoch=1)
    assert whole.points is not None
    assert whole.points.shape[0] == whole.joints_px.shape[0] == 8
    again = module.training_batch(3, 8, epoch=1)
    assert torch.equal(whole.points, again.points)
    assert not torch.equal(whole.joints_px, module.training_batch(3, 8, epoch=2).joints_px)
    assert all(torch.isfinite(getattr(whole, item.name)).all() for item in fields(whole) if item.name != "shape")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("data.folder=nowhere", r"nowhere/Human36M: no such folder, expected that of data set human36m"),
        ("data.body.folder=nowhere", r"nowhere: no file smpl/SMPL_NEUTRAL\.npz or \.pkl"),
        ("data.validation.protocol=1", None),
        (
            "data.sets.human36m.input=detected",
            r"data set human36m: none of its 15 records has both a ground truth and detected",
        ),
    ],
)
def test_what_is_missing_is_named(change: str, fault: str | None, disk: Path) -> None:
    config = small("human36_posenet", disk, change)
    if fault is None:
        assert Pose2MeshTask(config).data_source.validation_batches == 1
        return
    with pytest.raises(InputError, match=fault):
        Pose2MeshTask(config)


def test_weak_fits_are_masked_in_training_and_kept_in_validation(disk: Path) -> None:
    limits = [f"data.{where}.fit_limit_mm=1e-9" for where in ("sets.human36m", "validation")]
    module = Pose2MeshTask(small("human36", disk, "pretrained=", *limits)).module
    batch = module.training_batch(0, 8)
    assert not batch.surface_valid.any()
    assert batch.joints_valid.all()  # labelled, whatever the fit
    losses = module.loss_terms(module.predict_batch(batch), batch)
    assert losses["vertex"] == 0 < losses["mesh_joint"]
    assert module.validation_batch(0).surface_valid.all()


def test_own_data_with_gaps_beside_a_published_data_set(disk: Path, tmp_path: Path) -> None:
    """Who lacks a body is masked, who lacks joints has the body's, who lacks all is passed over; one's own terms."""
    place = write_own(tmp_path / "mine")
    sets = [
        f"data.sets.mine={{reader: own, folder: '{place}', licence: for this test}}",
        "data.sets.human36m.weight=0.5",
    ]
    held_out = [f"data.validation={{reader: own, folder: '{place}', input: gt}}"]
    removed = ["data.samples_per_epoch=24"]
    config = small("coco", disk, "pretrained=", *sets, *held_out, *removed)
    module = Pose2MeshTask(config).module
    batch = module.training_batch(0, 24)
    lacking_surface = ~batch.surface_valid
    assert batch.joints_valid.all()
    assert lacking_surface.any()
    assert not lacking_surface.all()
    assert batch.points is not None
    assert (batch.points[lacking_surface] == 0).all()
    assert len(module.validation_batch(0).joints) == 3  # who has a body
    bundle = loop.train(config, tmp_path / "run")
    info = read_bundle(bundle).info
    assert "own data: for this test" in info.licence
    assert str(tmp_path) not in str(info.config)
