"""Starting from another run's PoseNet."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO, HUMAN36, JointSet
from pose2mesh.training.pretrained import load_meshnet, load_pretrained, pretrained_landmarks


def fresh(lifter: Path, joint_set: JointSet = COCO, **changes: Any) -> Pose2Mesh:
    """A network like the lifter's, with weights of its own."""
    bundle = load_bundle(lifter / "bundle.safetensors")
    surface = bundle.surface
    if joint_set is not COCO:
        J = len(joint_set)
        surface = replace(surface, joint_regressor=surface.joint_regressor[:J])
        changes["joint_base"] = False
    return Pose2Mesh(replace(bundle.model.config, **changes), joint_set, surface)


@pytest.mark.parametrize("part", ["", "best.ckpt", "bundle.safetensors"])
def test_weights_are_loaded_from_any_of_three(part: str, lifter: Path) -> None:
    network, said = fresh(lifter), list[str]()
    before = {name: value.clone() for name, value in network.meshnet.state_dict().items()}
    load_pretrained(network, lifter / part, True, said.append)
    for name, value in load_bundle(lifter / "bundle.safetensors").model.posenet.state_dict().items():
        torch.testing.assert_close(network.posenet.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    for name, value in network.meshnet.state_dict().items():
        assert torch.equal(value, before[name])
    assert said[0].endswith("PoseNet starts from it")


@pytest.mark.parametrize("part", ["best.ckpt", "bundle.safetensors"])
def test_a_lifter_that_counts_otherwise_gives_the_same_joints(part: str, lifter: Path) -> None:
    metres, millimetres = fresh(lifter), fresh(lifter, posenet_unit_m=0.001)
    for network in (metres, millimetres):
        load_pretrained(network, lifter / part, True, lambda line: None)
    x = torch.randn(3, len(COCO), 3)
    found, expected = (network.eval().posenet(x).joints for network in (millimetres, metres))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_layers_that_fit_are_reused_for_another_joint_set(lifter: Path) -> None:
    network, said = fresh(lifter, HUMAN36), list[str]()
    first = network.posenet.lift.weight.clone()
    load_pretrained(network, lifter, False, said.append)
    learnt = load_bundle(lifter / "bundle.safetensors").model.posenet
    for own, value in zip(network.posenet.blocks.parameters(), learnt.blocks.parameters(), strict=True):
        torch.testing.assert_close(own, value, atol=1e-3, rtol=1e-3)
    assert torch.equal(network.posenet.lift.weight, first)
    assert said[0].endswith("but for posenet.head, posenet.lift, which start fresh")


def test_a_lifter_of_another_width_has_nothing_to_give(lifter: Path) -> None:
    with pytest.raises(InputError, match="no layer of its PoseNet fits this network's; expected the same width"):
        load_pretrained(fresh(lifter, posenet_width=48), lifter, False, lambda line: None)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"posenet_width": 48}, r"posenet\.lift\.weight is \(32, 57\), expected \(48, 57\)"),
        ({"posenet_blocks": 2}, r"posenet\.blocks\.1\S+ is none, expected \(32,\)"),
        ({"confidence_input": False}, r"posenet\.lift\.weight is \(32, 57\), expected \(32, 38\)"),
    ],
)
def test_stage_two_needs_all_of_it(change: dict[str, Any], fault: str, lifter: Path) -> None:
    with pytest.raises(InputError, match=fault):
        load_pretrained(fresh(lifter, **change), lifter / "bundle.safetensors", True, lambda line: None)


def test_files_that_are_none(lifter: Path, tmp_path: Path) -> None:
    network = fresh(lifter)
    with pytest.raises(InputError, match="no bundle or checkpoint in this run folder"):
        load_pretrained(network, tmp_path, True, lambda line: None)
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"bad\.ckpt: cannot be read as a checkpoint"):
        load_pretrained(network, tmp_path / "bad.ckpt", True, lambda line: None)
    shutil.copyfile(lifter / "best.ckpt", tmp_path / "alone.ckpt")
    with pytest.raises(InputError, match=r"config\.yaml: No such file"):
        load_pretrained(network, tmp_path / "alone.ckpt", True, lambda line: None)


def test_landmarks_of_a_lifter_are_kept_where_the_points_are_the_same(
    skinned_network: Pose2Mesh, skinned_surface: MeshTopology, tmp_path: Path
) -> None:
    path, config = tmp_path / "lifter.safetensors", skinned_network.config
    info = BundleInfo("lifter", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "CC0")
    save_bundle(path, Bundle(skinned_network, skinned_surface, info))
    landmarks = pretrained_landmarks(path, config)
    assert landmarks is not None
    assert skinned_surface.landmarks is not None
    assert landmarks.tolist() == skinned_surface.landmarks.tolist()
    assert pretrained_landmarks(path, replace(config, landmarks=5)) is None
    assert pretrained_landmarks(path, replace(config, landmarks=0)) is None
    assert pretrained_landmarks(path, replace(config, finest=1)) is None
    assert pretrained_landmarks(tmp_path / "missing", config) is None


def test_meshnet_of_another_run(skinned_network: Pose2Mesh, skinned_surface: MeshTopology, tmp_path: Path) -> None:
    path, config = tmp_path / "trained.safetensors", skinned_network.config
    info = BundleInfo("trained", "coco", "ellipsoid", {"network": config.as_dict()}, "nothing", "CC0")
    save_bundle(path, Bundle(skinned_network, skinned_surface, info), half=False)
    torch.manual_seed(5)
    network, said = Pose2Mesh(config, COCO, skinned_surface), list[str]()
    lifter = network.posenet.lift.weight.clone()  # type: ignore[union-attr]
    load_meshnet(network, path, said.append)
    for name, value in skinned_network.meshnet.state_dict().items():
        assert torch.equal(network.meshnet.state_dict()[name], value)
    assert torch.equal(network.posenet.lift.weight, lifter)  # type: ignore[union-attr]
    assert said == [f"{path}: MeshNet starts from it"]
    wider = Pose2Mesh(replace(config, head_width=24), COCO, skinned_surface)
    with pytest.raises(InputError, match="its MeshNet"):
        load_meshnet(wider, path, said.append)
