"""Published checkpoints: conversion keeps the function, no pickled code is executed, and misfits are named.

The reference network of these tests is written from its formulation, in dense algebra, with the names and layouts of
the reference's checkpoints.
"""

from __future__ import annotations

import pickle
import re
from collections import Counter, OrderedDict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import yaml
from torch import Tensor, nn

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.models.bundle import reference_checkpoint
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO

JOINT_WIDTHS, BLOCK_WIDTHS, HEAD = (8, 12), ((16, 20), (20, 20), (10, 10)), 6
SIZES: dict[str, Any] = {
    "posenet_width": 48,
    "posenet_dropout": 0.0,
    "coarsenings": 2,
    "joint_widths": JOINT_WIDTHS,
    "block_widths": BLOCK_WIDTHS,
    "head_width": HEAD,
    "spectrum": "published",
}


class Stage(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.batch_norm1 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.w2, self.batch_norm2 = nn.Linear(width, width), nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w2(self.batch_norm2(self.w1(self.batch_norm1(x).relu())).relu())


class Lifter(nn.Module):
    """(B, 2J) → (B, 3J) in millimetres; `batch_norm1` is in the checkpoints and used by nothing."""

    def __init__(self, joints: int, width: int) -> None:
        super().__init__()
        self.w1, self.batch_norm1 = nn.Linear(2 * joints, width), nn.BatchNorm1d(width)
        self.linear_stages = nn.ModuleList(Stage(width) for _ in range(2))
        self.w2 = nn.Linear(width, 3 * joints)

    def forward(self, x: Tensor) -> Tensor:
        x = self.w1(x)
        for stage in self.linear_stages:
            x = stage(x)
        return self.w2(x)


def normalised(adjacency: np.ndarray) -> np.ndarray:
    degree = adjacency.sum(0)
    root = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    return np.eye(len(adjacency)) - root[:, None] * adjacency * root


class Mesh(nn.Module):
    """Mesh graphs coarsest first, dense; the joint graph as it is, the others L / (2 λmax) − I."""

    def __init__(self, joints: int, graphs: list[np.ndarray]) -> None:
        super().__init__()
        bones = torch.zeros(joints, joints)
        for a, b in [*COCO.edges, *COCO.flip_pairs]:
            bones[a, b] = bones[b, a] = 1
        self.joint_graph = torch.from_numpy(normalised(bones.numpy() + np.eye(joints))).float()
        self.graphs = []
        for graph in graphs:
            laplacian = normalised(graph)
            largest = np.linalg.eigvalsh(laplacian)[-1]
            self.graphs.append(torch.from_numpy(laplacian / (2 * largest) - np.eye(len(graph))).float())
        widths = [(5, *JOINT_WIDTHS)]
        for block in BLOCK_WIDTHS:
            widths.append((widths[-1][-1], *block))
        widths.append((widths[-1][-1], HEAD, 3))
        pairs = [pair for group in widths for pair in pairwise(group)]
        self.cl = nn.ModuleList(nn.Linear(3 * a, b) for a, b in pairs)
        self.bn = nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs[:-1])
        self.fc = nn.Linear(joints * JOINT_WIDTHS[-1], len(graphs[0]) * JOINT_WIDTHS[-1])

    def layer(self, index: int, x: Tensor, laplacian: Tensor) -> Tensor:
        terms = [x, laplacian @ x]
        terms.append(2 * laplacian @ terms[1] - x)
        x = self.cl[index](torch.stack(terms, -1).flatten(2))  # (B, N, C, K): channel-major
        return x if index == len(self.bn) else self.bn[index](x.flatten(0, 1)).reshape(x.shape).relu()

    def forward(self, x: Tensor) -> Tensor:
        index = 0
        for _ in JOINT_WIDTHS:
            x, index = self.layer(index, x, self.joint_graph), index + 1
        x = self.fc(x.flatten(1)).reshape(len(x), -1, JOINT_WIDTHS[-1])
        for level, graph in enumerate(self.graphs):
            x = x.repeat_interleave(2, 1) if level else x
            skip = x
            for _ in BLOCK_WIDTHS[level]:
                x, index = self.layer(index, x, graph), index + 1
            x = x + nn.functional.interpolate(skip, size=x.shape[2], mode="linear")
        for _ in range(2):
            x, index = self.layer(index, x, self.graphs[-1]), index + 1
        return x


class Whole(nn.Module):
    def __init__(self, joints: int, graphs: list[np.ndarray]) -> None:
        super().__init__()
        self.pose_lifter, self.pose2mesh = Lifter(joints, SIZES["posenet_width"]), Mesh(joints, graphs)

    def forward(self, pose2d: Tensor) -> tuple[Tensor, Tensor]:
        pose3d = self.pose_lifter(pose2d.flatten(1)).reshape(len(pose2d), -1, 3)
        return self.pose2mesh(torch.cat((pose2d, pose3d / 1000), -1)), pose3d


@pytest.fixture(scope="module")
def surface(body: BodyMesh) -> MeshTopology:
    return build_topology(body, COCO, NetworkConfig(**SIZES), None)


@pytest.fixture(scope="module")
def whole(surface: MeshTopology) -> Whole:
    """The reference on the surface's graphs, with weights and statistics at random."""
    torch.manual_seed(1)
    model = Whole(len(COCO), [graph.toarray() for graph in surface.adjacency]).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    with torch.no_grad():
        model.pose_lifter.w2.weight *= 1000  # millimetres
    return model


@pytest.fixture
def network(surface: MeshTopology) -> Pose2Mesh:
    torch.manual_seed(2)
    return Pose2Mesh(NetworkConfig(**SIZES), COCO, surface).eval()


def content(model: nn.Module) -> dict[str, Any]:
    """What the reference writes, optimiser, schedule and logs with NumPy's scalars included."""
    optimiser = torch.optim.RMSprop(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [12], 0.1)
    return {
        "epoch": 15,
        "model_state_dict": OrderedDict(model.state_dict()),
        "optim_state_dict": optimiser.state_dict(),
        "scheduler_state_dict": {**schedule.state_dict(), "milestones": Counter([12])},
        "train_log": [0.5, 0.25],
        "test_log": {"surface": [9999.9, np.float64(106.25)], "joint": [np.float32(88.5)]},
    }


def save(path: Path, saved: Any, legacy: bool = False) -> Path:
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.fixture
def checkpoint(whole: Whole, tmp_path: Path) -> Path:
    return save(tmp_path / "final.pth.tar", content(whole))


@pytest.mark.parametrize("legacy", [False, True])
def test_the_whole_network_is_the_same_function(
    legacy: bool, whole: Whole, network: Pose2Mesh, surface: MeshTopology, tmp_path: Path
) -> None:
    found = reference_checkpoint.read_reference(save(tmp_path / "final.pth.tar", content(whole), legacy))
    assert found.epoch == 15
    reference_checkpoint.load_posenet(network, found)
    reference_checkpoint.load_meshnet(network, found)
    pixels = torch.rand(4, len(COCO), 2) * torch.tensor([200.0, 500.0]) + 50
    pose2d = (pixels - pixels.mean(1, keepdim=True)) / pixels.std(1, keepdim=True, correction=0)
    with torch.no_grad():
        nodes, lifted_mm = whole(pose2d)
        prediction = network(pixels, torch.ones(4, len(COCO)))
    torch.testing.assert_close(prediction.lifted, lifted_mm / 1000, atol=1e-5, rtol=1e-5)
    # Padding nodes are left out: the reference's Laplacian is not empty there, but does not connect them to others.
    torch.testing.assert_close(prediction.points, nodes[:, surface.nodes], atol=1e-5, rtol=1e-5)
    assert prediction.points.std() > 0.1


def test_graphs_with_self_loops_as_the_reference_coarsens_them(surface: MeshTopology, whole: Whole) -> None:
    """Its coarse graphs keep the edges within a cluster, on the diagonal: a surface made of such graphs agrees, too."""
    looped = [sp.csr_array(graph + sp.diags_array((np.asarray(graph.sum(1)).ravel() > 0) * 2.0))
              for graph in surface.adjacency]  # fmt: skip
    theirs = Whole(len(COCO), [graph.toarray() for graph in looped]).eval()
    theirs.load_state_dict(whole.state_dict())
    network = Pose2Mesh(NetworkConfig(**SIZES), COCO, MeshTopology(**{**vars(surface), "adjacency": looped})).eval()
    state = content(theirs)["model_state_dict"]
    parts = [
        {k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in ("pose_lifter.", "pose2mesh.")
    ]
    found = reference_checkpoint.ReferenceCheckpoint("made here", parts[0], parts[1], None)
    reference_checkpoint.load_posenet(network, found)
    reference_checkpoint.load_meshnet(network, found)
    x = torch.randn(3, len(COCO), 5)
    with torch.no_grad():
        torch.testing.assert_close(
            network.meshnet(x)[:, surface.nodes], theirs.pose2mesh(x)[:, surface.nodes], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_lifter_alone(prefix: str, whole: Whole, network: Pose2Mesh, tmp_path: Path) -> None:
    saved = content(whole.pose_lifter)
    saved["model_state_dict"] = {
        f"{prefix}{name}": value
        for name, value in saved["model_state_dict"].items()
        if not name.endswith("num_batches_tracked")  # older versions of PyTorch wrote none
    }
    found = reference_checkpoint.read_reference(save(tmp_path / "posenet.pth.tar", saved))
    assert found.meshnet == {}
    reference_checkpoint.load_posenet(network, found)
    x = torch.randn(5, len(COCO), 2)
    with torch.no_grad():
        lifted_mm = whole.pose_lifter(x.flatten(1))
        torch.testing.assert_close(network.posenet(x).joints.flatten(1), lifted_mm / 1000, atol=1e-6, rtol=1e-5)
    with pytest.raises(InputError, match="holds a PoseNet alone; expected a config of stage posenet"):
        reference_checkpoint.load_meshnet(network, found)


class Touch:
    """A pickle that would make a file."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.made = call, arguments

    def __reduce__(self) -> Any:
        return self.made


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda path: Touch(Path.touch, path), r"refused, for it asks to run (getattr|pathlib\.\S+)"),
        (lambda path: Touch(eval, f"open({str(path)!r}, 'w')"), "refused, for it asks to run eval"),
        (lambda path: Touch(__import__("os").system, f"touch {path}"), r"refused, for it asks to run posix\.system"),
        (lambda path: Touch(np.savetxt, str(path), [0]), r"refused, for it asks to run numpy\S*savetxt"),
    ],
)
def test_code_in_a_checkpoint_is_refused_and_not_executed(
    call: Any, fault: str, legacy: bool, whole: Whole, tmp_path: Path
) -> None:
    bait = tmp_path / "touched"
    path = save(tmp_path / "bad.pth.tar", {**content(whole.pose_lifter), "test_log": call(bait)}, legacy)
    with pytest.raises(InputError, match=rf"bad\.pth\.tar: {fault}"):
        reference_checkpoint.read_reference(path)
    assert not bait.exists()
    pickle.loads(pickle.dumps(call(bait)))
    assert bait.exists()  # where pickles are trusted it bites


def test_damaged_and_foreign_files_are_named(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    legacy = save(tmp_path / "legacy.pth.tar", {"model_state_dict": {"w1": torch.ones(1000)}}, legacy=True).read_bytes()
    for name, data in {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"epoch 15\n",
        "legacy": legacy[: len(legacy) // 2],
        "numbers": pickle.dumps([1, 2], protocol=2),
    }.items():
        path = tmp_path / f"{name}.pth.tar"
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}\.pth\.tar: cannot be read as a checkpoint \(.+\)$") as caught:
            reference_checkpoint.read_reference(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"none\.pth\.tar: no such file"):
        reference_checkpoint.read_reference(tmp_path / "none.pth.tar")


@pytest.mark.parametrize(
    ("saved", "fault"),
    [
        ({"epoch": 3, "state_dict": {}}, "model_state_dict is missing; found keys epoch, state_dict"),
        ([1.0], "model_state_dict is missing; found list"),
        ({"model_state_dict": {"w1": 3}}, r"model_state_dict\.w1 is int, expected a tensor"),
        ({"model_state_dict": {"conv1.weight": torch.ones(1)}}, r"not of the reference's .* found conv1\.weight"),
        ({"model_state_dict": {}}, "found none"),
    ],
)
def test_other_checkpoints_are_named(saved: Any, fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fault):
        reference_checkpoint.read_reference(save(tmp_path / "other.pth.tar", saved))


def changed(
    found: reference_checkpoint.ReferenceCheckpoint, part: str, name: str, value: Tensor | None
) -> reference_checkpoint.ReferenceCheckpoint:
    state = {key: kept for key, kept in getattr(found, part).items() if key != name}
    return replace(found, **{part: state if value is None else {**state, name: value}})


def test_shapes_that_do_not_fit_are_named(checkpoint: Path, network: Pose2Mesh) -> None:
    found = reference_checkpoint.read_reference(checkpoint)
    lifter, mesh = (
        (reference_checkpoint.load_posenet, "posenet", "pose_lifter"),
        (reference_checkpoint.load_meshnet, "meshnet", "pose2mesh"),
    )
    for (load, part, prefix), name, value, fault in (
        (lifter, "w1.weight", torch.ones(48, 34), r"is \(48, 34\), expected \(48, 38\) for joint set 'coco'"),
        (lifter, "w2.bias", None, r"is missing, expected \(57,\)"),
        (lifter, "linear_stages.2.w1.bias", torch.ones(48), "has no place in this network"),
        (mesh, "fc.weight", torch.ones(3, 4), r"is \(3, 4\), expected .* for a coarsest graph of \d+ nodes"),
        (mesh, "cl.2.weight", torch.ones(16, 30), r"is \(16, 30\), expected \(16, 36\)"),
        (mesh, "cl.10.bias", torch.ones(1), "has no place in this network"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=rf"final\.pth\.tar: {prefix}\.{re.escape(name)} {fault}"):
            load(network, changed(found, part, name, value))


def test_networks_of_another_definition_are_refused(checkpoint: Path, surface: MeshTopology) -> None:
    found = reference_checkpoint.read_reference(checkpoint)
    for key in ("confidence_input", "isotropic"):
        other = Pose2Mesh(NetworkConfig(**{**SIZES, key: True}), COCO, surface)
        with pytest.raises(InputError, match=f"network.{key} is true, expected false"):
            reference_checkpoint.load_posenet(other, found)
    other = Pose2Mesh(NetworkConfig(**{**SIZES, "spectrum": "unit"}), COCO, surface)
    with pytest.raises(InputError, match=r"network\.spectrum is 'unit', expected 'published'"):
        reference_checkpoint.load_meshnet(other, found)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    sizes = {
        "posenet_width": 48, "coarsenings": 7, "joint_widths": [8, 12], "block_widths": [[4, 4]] * 8, "head_width": 4,
    }  # fmt: skip
    path = tmp_path / "config.yaml"  # as a training config that leaves its clips to be named
    path.write_text(yaml.safe_dump({"network": sizes, "stage": "posenet", "joint_set": "coco", "name": "published"}))
    return path


def test_convert_makes_a_bundle(
    checkpoint: Path, config_file: Path, whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "published.safetensors"
    assert main(["convert", str(checkpoint), "--config", str(config_file), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    bundle = load_bundle(out)
    assert bundle.info.config["stage"] == "posenet"
    assert bundle.info.data == "as the reference implementation's checkpoint final.pth.tar, epoch 15"
    x = torch.randn(5, len(COCO), 2)
    with torch.no_grad():
        lifted = bundle.model.posenet(x).joints.flatten(1)
        torch.testing.assert_close(lifted, whole.pose_lifter(x.flatten(1)) / 1000, atol=1e-5, rtol=1e-5)

    assert bundle.info.config["network"]["posenet_width"] == 48

    settings = yaml.safe_load(config_file.read_text())
    refused = tmp_path / "refused.safetensors"
    for change, fault in (
        ({"network": {**settings["network"], "finest": 1, "coarsenings": 8}}, "network.finest is 1, expected 0"),
        ({"stage": "pose2mesh"}, "network.spectrum is 'unit'"),
        ({"joint_set": "human36"}, "pose_lifter.w1.weight is (48, 38), expected (48, 34)"),
    ):
        config_file.write_text(yaml.safe_dump({**settings, **change}))
        assert main(["convert", str(checkpoint), "--config", str(config_file), "--out", str(refused)]) == 2
        assert fault in capsys.readouterr().err
        assert not refused.exists()
    nowhere = tmp_path / "none" / "out.safetensors"
    config_file.write_text(yaml.safe_dump(settings))
    assert main(["convert", str(checkpoint), "--config", str(config_file), "--out", str(nowhere)]) == 2
    assert "expected the name of a file in a folder that exists" in capsys.readouterr().err
