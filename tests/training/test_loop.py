"""Training runs: from config to bundle, killed and resumed, and what they refuse."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig, load_config, parse_config
from pose2mesh.datasets.synthetic import pose_sources
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.skeletons import COCO
from pose2mesh.training import checkpoints, loop
from pose2mesh.training.resume import resume_config

Tiny = Callable[..., TrainConfig]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def column(folder: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(folder) if row.get(name)]


@pytest.fixture(scope="module")
def checkpoints_seen() -> Iterator[list[set[str]]]:
    """The checkpoints in the run folder after each one that is written."""
    seen: list[set[str]] = []
    save = checkpoints.save_checkpoint

    def spy(path: Path, content: dict[str, Any]) -> None:
        save(path, content)
        seen.append({file.name for file in path.parent.rglob("*.ckpt*")})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save_checkpoint", spy)
        yield seen


@pytest.fixture(scope="module")
def whole(tiny: Tiny, lifter: Path, checkpoints_seen: list[set[str]]) -> Path:
    """The run folder of the whole network, from that lifter."""
    folder = lifter.parent / "whole"
    config = tiny(stage="pose2mesh", pretrained=str(lifter), epochs=3, losses={"edge_from_epoch": 2})
    loop.train(config, folder)
    return folder


def test_a_run_folder_holds_what_it_should(tiny: Tiny, lifter: Path, whole: Path) -> None:
    for folder in (lifter, whole):
        there = {file.name for file in folder.iterdir() if file.suffix != ".png" and file.is_file()}
        assert there == {"best.ckpt", "bundle.safetensors", "config.yaml", "metrics.csv", "run.yaml"}
    assert dump_config(load_config(lifter / "config.yaml")) == dump_config(tiny())


def test_a_run_keeps_two_checkpoints_at_most(whole: Path, checkpoints_seen: list[set[str]]) -> None:
    assert len(checkpoints_seen) >= 6
    assert set.union(*checkpoints_seen) == {"last.ckpt", "best.ckpt"}


@pytest.mark.parametrize("there", [True, False])
def test_bf16_where_the_processor_has_none_is_said(
    there: bool, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": there})
    lines: list[str] = []
    loop.train(tiny(precision="bf16", epochs=1), tmp_path / "run", say=lines.append)
    assert [line for line in lines if line.startswith("precision: bf16")] == ([] if there else lines[:1])


def test_losses_and_errors_fall(lifter: Path, whole: Path) -> None:
    for folder, loss, error in (
        (lifter, "train/lifted_joint", "val/lifted_mpjpe_mm"),
        (whole, "train/vertex", "val/mesh_mpjpe_mm"),
    ):
        for name in (loss, error):
            values = column(folder, name)
            assert len(values) == 3
            assert values[-1] < 0.9 * values[0]


def test_every_loss_is_logged_and_the_edges_from_their_epoch(whole: Path) -> None:
    for name in ("vertex", "mesh_joint", "normal", "lifted_joint"):
        assert len(column(whole, f"train/{name}")) == 3
    assert len(column(whole, "train/edge")) == 1


def test_the_bundle_loads_and_predicts(whole: Path) -> None:
    bundle = load_bundle(whole / "bundle.safetensors")
    joints_px = torch.rand(2, len(COCO), 2) * 300
    prediction = bundle.model(joints_px, torch.ones(2, len(COCO)))
    vertices = bundle.model.vertices(prediction.points)
    assert vertices.shape == (2, len(bundle.surface.template), 3)
    assert torch.isfinite(vertices).all()
    assert bundle.info.joint_set == "coco"
    assert bundle.info.config["stage"] == "pose2mesh"
    assert set(bundle.info.errors) == {"validation clips, gt 2D", "validation clips, noisy 2D"}
    state = torch.load(whole / "best.ckpt", weights_only=True)["state_dict"]
    for name, value in bundle.model.state_dict().items():
        torch.testing.assert_close(value.float(), state[f"network.{name}"].float(), atol=1e-3, rtol=1e-3)


def test_stage_two_starts_from_the_lifter(lifter: Path, whole: Path) -> None:
    """It begins where stage one ended, far below where stage one began."""
    assert column(whole, "val/lifted_mpjpe_mm")[0] < 0.9 * column(lifter, "val/lifted_mpjpe_mm")[0]


def test_a_finished_run_is_not_overwritten(tiny: Tiny, lifter: Path) -> None:
    with pytest.raises(InputError, match="holds a finished run; give another --out"):
        loop.train(tiny(), lifter)
    with pytest.raises(InputError, match="nothing to resume; the run is finished"):
        resume_config(lifter)


def test_bad_input_leaves_no_run_folder(tiny: Tiny, tmp_path: Path) -> None:
    split = tmp_path / "split.yaml"
    split.write_text("train: [a]\nvalidation: [b]\n")
    data = {"motions": str(tmp_path / "none"), "split": str(split)}
    with pytest.raises(InputError, match="none: no such folder of BVH files"):
        loop.train(tiny(data=data), tmp_path / "out")
    with pytest.raises(InputError, match=r"missing\.safetensors: no such bundle"):
        loop.train(tiny(pretrained=str(tmp_path / "missing.safetensors")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_folder_that_cannot_be_made_is_named(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/out: cannot make the run folder"):
        loop.train(tiny(), tmp_path / "file" / "out")


def test_a_write_that_fails_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.save_checkpoint(path, {"epoch": 1})

    def fail(_: Any, stream: Any) -> None:
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save_checkpoint(path, {"epoch": 2})
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_clips_are_split_and_validation_is_not_augmented(shared_data: Path, tmp_path: Path) -> None:
    for name in ("deepmimic/walk", "deepmimic/jog"):
        source = shared_data / "mocap" / f"{name}.bvh"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "split.yaml").write_text("train: [walk]\nvalidation: [jog]\n")
    config = parse_config({"data": {"motions": str(tmp_path), "split": str(tmp_path / "split.yaml")}}, "test")
    train, validation = pose_sources.pose_sources(config.data)
    assert train.frames is not None
    assert validation.frames is not None
    drawn = validation.sample(20, torch.Generator().manual_seed(0))
    distance = (drawn[:, None] - validation.frames).abs().amax((2, 3, 4)).amin(1)
    assert distance.max() < 1e-6
    drawn = train.sample(20, torch.Generator().manual_seed(0))
    assert ((drawn[:, None] - train.frames).abs().amax((2, 3, 4)).amin(1) > 0.01).any()


def test_a_clip_counts_with_the_root_of_its_length() -> None:
    class Clip(list):  # a clip is as long as its frames
        pass

    weights = pose_sources.clip_weights([Clip(range(100)), Clip(range(25))])  # type: ignore[list-item]
    assert len(weights) == 125
    np.testing.assert_allclose([float(weights[:100].sum()), float(weights[100:].sum())], [10, 5], rtol=1e-5)


@pytest.mark.thorough
def test_a_lifter_at_rate_zero_stays_as_it_was(tiny: Tiny, lifter: Path) -> None:
    """Weights and BatchNorm's statistics, also after the validation in between."""
    optimiser = {"name": "adamw", "learning_rate": 3e-3, "posenet_factor": 0.0, "weight_decay": 0.1}
    config = tiny(stage="pose2mesh", pretrained=str(lifter), epochs=2, optimiser=optimiser)
    folder = lifter.parent / "frozen"
    loop.train(config, folder)
    before = load_bundle(lifter / "bundle.safetensors").model.posenet.state_dict()
    after = load_bundle(folder / "bundle.safetensors").model.posenet.state_dict()
    for name, value in before.items():
        if "num_batches" not in name:
            assert torch.equal(after[name], value), name
