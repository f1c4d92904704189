"""Bundles: round trips, and the files that are refused."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import DEFAULT, BundleInfo, find_bundle
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO

Change = Callable[[dict[str, Tensor], dict[str, str]], object]


@pytest.fixture
def bundle(network: Pose2Mesh, small_surface: MeshTopology) -> Bundle:
    """A small network whose statistics are not those of a fresh one."""
    for seed in range(3):
        network(*sample(seed))
    info = BundleInfo(
        name="tiny",
        joint_set="coco",
        body="ellipsoid",
        config={"network": network.config.as_dict(), "seed": 3},
        data="nothing",
        licence="CC0 — frei",
        errors={"validation": {"mpjpe_mm": 12.5}},
        stature_features=[0.5, -1.25],
    )
    return Bundle(network.eval(), small_surface, info)


@pytest.fixture
def file(bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_bundle(path, bundle)
    return path


def sample(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 60 * torch.randn(4, len(COCO), 2, generator=generator) + 400, torch.ones(4, len(COCO))


def vertices(model: Pose2Mesh) -> Tensor:
    with torch.inference_mode():
        return model.vertices(model(*sample(9)).points)


def rewrite(path: Path, change: Change) -> None:
    """Change a bundle's tensors and metadata in place."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = safetensors.torch.load_file(path)
    change(tensors, metadata)
    safetensors.torch.save_file(tensors, path, metadata)


# Round trip


def test_round_trip_in_full_precision(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    save_bundle(path, bundle, half=False)
    loaded = load_bundle(path)
    assert not loaded.model.training
    assert loaded.info == dataclasses.replace(bundle.info, config=json.loads(json.dumps(bundle.info.config)))
    own, read = bundle.model.state_dict(), loaded.model.state_dict()
    assert list(own) == list(read)
    assert all(torch.equal(own[name], read[name]) for name in own)
    # the linear step is kept in float16 all the same
    assert (vertices(loaded.model) - vertices(bundle.model)).abs().max() < 1e-3


def test_surface_comes_back(bundle: Bundle, file: Path) -> None:
    before, after = bundle.surface, load_bundle(file).surface
    for name in ("faces", "template", "nodes", "points", "point_faces", "upsample_index"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert np.allclose(before.joint_regressor, after.joint_regressor, atol=1e-7)
    assert len(before.adjacency) == len(after.adjacency)
    for own, read in zip(before.adjacency, after.adjacency, strict=True):
        assert own.shape == read.shape
        assert (own != read).nnz == 0
    assert before.upsample_weight is not None
    assert after.upsample_weight is not None
    assert np.abs(before.upsample_weight - after.upsample_weight).max() < 2e-3
    assert np.abs(after.upsample_weight.sum(1) - 1).max() < 1e-6  # float16's rounding must not move whole bodies


def test_half_precision_is_near_and_half_the_size(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    exact, close = vertices(bundle.model), vertices(load_bundle(file).model)
    assert not torch.equal(exact, close)
    assert (exact - close).norm(dim=-1).mean() < 0.002 * exact.norm(dim=-1).mean()
    save_bundle(tmp_path / "full.safetensors", bundle, half=False)
    assert file.stat().st_size < 0.75 * (tmp_path / "full.safetensors").stat().st_size
    state = load_bundle(file).model.state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_statistics_beyond_float16_survive(bundle: Bundle, tmp_path: Path) -> None:
    norm = bundle.model.posenet.blocks[0].layers[0]
    norm.running_var.fill_(1e6)
    save_bundle(tmp_path / "b.safetensors", bundle)
    assert load_bundle(tmp_path / "b.safetensors").model.posenet.blocks[0].layers[0].running_var.eq(1e6).all()


def test_saved_again_it_is_the_same(file: Path, tmp_path: Path) -> None:
    first = load_bundle(file)
    save_bundle(tmp_path / "again.safetensors", first)
    second = load_bundle(tmp_path / "again.safetensors")
    assert torch.allclose(vertices(first.model), vertices(second.model), atol=1e-4)
    assert first.info == second.info


def test_network_without_linear_step(body: BodyMesh, tmp_path: Path) -> None:
    config = NetworkConfig(posenet_width=16, coarsenings=2, joint_widths=(8,), block_widths=((8, 8),) * 3, head_width=8)
    surface = build_topology(body, COCO, config, None)
    info = BundleInfo("full", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "CC0")
    model = Pose2Mesh(config, COCO, surface).eval()
    save_bundle(tmp_path / "full.safetensors", Bundle(model, surface, info), half=False)
    loaded = load_bundle(tmp_path / "full.safetensors")
    assert loaded.surface.upsample_index is None
    assert loaded.surface.upsample_weight is None
    assert torch.allclose(vertices(loaded.model), vertices(model), atol=1e-5)


def test_more_points_than_int16_counts(bundle: Bundle, tmp_path: Path) -> None:
    """Indices of a large mesh's points must not wrap."""
    count = 40_000
    surface = dataclasses.replace(
        bundle.surface,
        points=np.arange(count),
        upsample_index=np.full_like(bundle.surface.upsample_index, count - 1),
    )
    save_bundle(tmp_path / "b.safetensors", Bundle(bundle.model, surface, bundle.info))
    index = safetensors.torch.load_file(tmp_path / "b.safetensors")["surface.upsample_index"]
    assert index.min().item() == index.max().item() == count - 1


# The file itself


def test_file_is_a_header_and_numbers(file: Path) -> None:
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "pose2mesh-bundle"
    assert json.loads(metadata["info"])["licence"] == "CC0 — frei"
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(data) - 8 - size
    assert {entry["dtype"] for entry in header.values()} <= {"F16", "F32", "I16", "I32", "I64"}


def test_loading_unpickles_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    assert load_bundle(file).info.name == "tiny"


@pytest.mark.thorough
def test_loading_needs_neither_the_body_model_nor_the_training_stack(file: Path) -> None:
    code = (
        "import sys; from pose2mesh.models.bundle.bundle import load_bundle; load_bundle(sys.argv[1]);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "safetensors" in loaded
    assert not loaded & {"anny", "lightning", "pytorch_lightning", "jsonargparse", "yaml", "matplotlib", "trimesh"}


@pytest.mark.parametrize("broken", ["writing", "replacing"])
def test_write_is_atomic(bundle: Bundle, file: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    before = file.read_bytes()

    def stop(*arguments: Any, **_: object) -> None:
        if broken == "writing":
            Path(arguments[1]).write_bytes(b"half of it")
        raise OSError("no space left on device")

    owner, name = (safetensors.torch, "save_file") if broken == "writing" else (os, "replace")
    monkeypatch.setattr(owner, name, stop)
    bundle.info.name = "other"
    with pytest.raises(OSError, match="no space left"):
        save_bundle(file, bundle)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_write_replaces_what_was_there(bundle: Bundle, file: Path) -> None:
    bundle.info.name = "other"
    save_bundle(file, bundle)
    assert load_bundle(file).info.name == "other"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


# What is refused


def refused(path: Path) -> str:
    """The one line that says why a bundle is refused, less the file's name, which it must begin with."""
    with pytest.raises(InputError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.safetensors") == "no such bundle; expected 'default' or a .safetensors file"
    with pytest.raises(InputError, match=r"bundle\.safetensors: no such bundle"):
        load_bundle(tmp_path)  # a folder that is no run's


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_file_cut_short(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    assert refused(file).startswith("cannot be read as a bundle (")


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("not a bundle at all, but long enough to have a header")
    assert refused(path).startswith("cannot be read as a bundle (")
    safetensors.torch.save_file({"weight": torch.ones(2)}, path)
    assert refused(path) == "not a pose2mesh bundle (no 'pose2mesh-bundle' in its metadata)"


def test_other_version(file: Path) -> None:
    rewrite(file, lambda tensors, metadata: metadata.update(version="2"))
    assert refused(file) == "bundle version 2, expected 1"


def change_info(**changes: object) -> Change:
    def change(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["info"] = json.dumps(json.loads(metadata["info"]) | changes)

    return change


def change_network(**changes: object) -> Change:
    def change(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
        info = json.loads(metadata["info"])
        info["config"]["network"] |= changes
        metadata["info"] = json.dumps(info)

    return change


MISFITS: dict[str, tuple[Change, str]] = {
    "a tensor is missing": (
        lambda tensors, _: tensors.pop("weights.posenet.lift.weight"), "Missing key(s)"),
    "a tensor too many": (
        lambda tensors, _: tensors.update({"weights.more": torch.ones(1)}), "Unexpected key(s)"),
    "a tensor of another shape": (
        lambda tensors, _: tensors.update({"weights.posenet.lift.bias": torch.ones(7)}), "size mismatch"),
    "no template": (lambda tensors, _: tensors.pop("surface.template"), "'template' is missing"),
    "no graph": (lambda tensors, _: tensors.pop("surface.adjacency1.row"), "'adjacency1.row' is missing"),
    "a graph too small": (
        lambda tensors, _: tensors["surface.adjacency1.shape"].fill_(1), "exceeds matrix dimension"),
    "no info": (lambda _, metadata: metadata.pop("info"), "'info' is missing"),
    "info is not JSON": (lambda _, metadata: metadata.update(info="{"), "Expecting property name"),
    "info is a list": (lambda _, metadata: metadata.update(info="[]"), "must be a mapping"),
    "unknown joint set": (change_info(joint_set="hands"), "'hands' is missing or unknown"),
    "unknown key": (change_info(colour="red"), "unexpected keyword argument 'colour'"),
    "no network": (change_info(config={}), "'network' is missing"),
    "network is not a group": (change_info(config=[]), "list indices"),
    "no widths": (change_network(joint_widths=[]), "index out of range"),
    "other widths": (change_network(head_width=4), "size mismatch"),
    "too few blocks": (change_network(block_widths=[[8, 8]]), "block_widths has 1 blocks, expected 3"),
    "unknown network key": (change_network(depth=3), "unexpected keyword argument 'depth'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), MISFITS.values(), ids=MISFITS.keys())
def test_bundle_that_does_not_fit_its_own_description(file: Path, change: Change, reason: str) -> None:
    rewrite(file, change)
    message = refused(file)
    assert message.startswith("the bundle does not fit its own description: ")
    assert reason in message


def test_default_is_the_bundle_that_ships() -> None:
    path = find_bundle(DEFAULT)
    assert path.parts[-3:] == ("pose2mesh", "weights", "default.safetensors")
