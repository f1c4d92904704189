"""The ONNX graph against the network in PyTorch, for every kind of network and any number of people."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.models.bundle.bundle_file import BundleFile
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.onnx_graph.meshnet_nodes import interpolation
from pose2mesh.models.onnx_graph.network_graph import build
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS
from tests.conftest import add_skinned_body

FULL: dict[str, Any] = {"finest": 0, "coarsenings": 2}  # every vertex is predicted
VARIANTS: dict[str, dict[str, Any]] = {
    "small": {},
    "no confidences": {"confidence_input": False, "isotropic": False},
    "points from joints": {"joint_base": True},
    "points from landmarks": {"joint_base": True, "landmarks": 6},
    "every vertex": FULL,
    "published spectrum": {"spectrum": "published"},
    "one term": {"chebyshev_order": 1},
    "two terms": {"chebyshev_order": 2},
    "four terms": {"chebyshev_order": 4},
    "two blocks": {"posenet_blocks": 2},
    "lifter in metres": {"posenet_unit_m": 1.0},
    "odd widths": {"block_widths": ((12, 10), (24, 7), (5, 9)), "joint_widths": (8, 12)},
    "other joints": {"joint_set": "human36"},
    "expected errors": {"expected_errors": True},
    "skinned": {"joint_base": True, "shape_components": 3, "expected_errors": True, "skinned": True},
}


def trained(body: BodyMesh, posed: np.ndarray, config: NetworkConfig, **changes: Any) -> tuple[Pose2Mesh, BundleFile]:
    """A network whose BatchNorms have statistics of their own, and what its bundle holds."""
    joint_set = JOINT_SETS[changes.pop("joint_set", "coco")]
    config = dataclasses.replace(config, **changes)
    surface = build_topology(body, joint_set, config, posed[:40])
    if config.skinned:
        surface = add_skinned_body(surface, config.shape_components)
    torch.manual_seed(0)
    model = Pose2Mesh(config, joint_set, surface)
    for name, parameter in model.posenet.named_parameters():
        if "shape_head" in name or "error_head" in name:  # zero at first
            nn.init.normal_(parameter, 0, 0.02)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    info = BundleInfo("tiny", joint_set.name, "ellipsoid", {"network": config.as_dict()}, "nothing", "CC0")
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    return model.eval(), BundleFile(Path("tiny"), info, config, surface, weights)


def people(count: int, J: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, J, 2), some of them no numbers, and confidences (P, J), 0 for those and others."""
    rng = np.random.default_rng(count)
    pixels = rng.normal(400, 80, (count, J, 2)).astype(np.float32)
    confidence = rng.uniform(0.1, 1, (count, J)).astype(np.float32)
    missing = rng.random((count, J)) < 0.2
    confidence[missing] = 0
    pixels[missing & (rng.random((count, J)) < 0.5)] = np.nan
    return pixels, confidence


def outputs(model: onnx.ModelProto, pixels: np.ndarray, confidence: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels, "confidence": confidence}), strict=True))


def expected(model: Pose2Mesh, pixels: np.ndarray, confidence: np.ndarray) -> dict[str, Tensor]:
    with torch.inference_mode():
        prediction = model(torch.from_numpy(pixels), torch.from_numpy(confidence))
        if not model.config.skinned:
            joints, vertices = model.joints(prediction.points), model.vertices(prediction.points)
            values = {"joints": joints, "vertices": vertices, "lifted": prediction.lifted}
        else:
            mesh = model.mesh(prediction)
            values = {"lifted": prediction.lifted, "shape": prediction.shape, "rotations": mesh.rotations}
        errors = model.expected_errors(prediction)
    return values if errors is None else values | {"expected_errors_m": errors}


@pytest.mark.parametrize("least_age", [0.0, 0.5])
def test_skinned_body_is_that_of_pytorch(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig, least_age: float
) -> None:
    model, bundle = trained(body, posed_bodies, small_config, **VARIANTS["skinned"], least_age=least_age)
    given = people(7, 19)
    found = outputs(build(bundle), *given)
    with torch.inference_mode():
        mesh = model.mesh(model(*map(torch.from_numpy, given)))
    root = found["joints"][:, [model.root_index]]
    np.testing.assert_allclose(found["joints"] - root, mesh.joints, atol=2e-5)
    np.testing.assert_allclose(found["vertices"] - root, mesh.vertices, atol=2e-5)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_outputs_are_those_of_pytorch(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig, changes: dict[str, Any]
) -> None:
    model, bundle = trained(body, posed_bodies, small_config, **changes)
    graph = build(bundle)
    onnx.checker.check_model(graph, full_check=True)
    given = people(7, len(model.joint_set))
    found = outputs(graph, *given)
    for name, value in expected(model, *given).items():
        size = float(value.abs().max())
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5 * max(1, size), err_msg=name)
    np.testing.assert_array_equal(found["faces"], bundle.surface.faces)
    np.testing.assert_array_equal(found["template"], bundle.surface.template)
    assert found["faces"].dtype == np.int32


@pytest.mark.parametrize("count", [1, 3, 70])
def test_any_number_of_people(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig, count: int
) -> None:
    model, bundle = trained(body, posed_bodies, small_config, joint_base=True)
    graph = build(bundle)
    for value in (*graph.graph.input, *graph.graph.output):
        if value.name not in ("faces", "template"):
            assert value.type.tensor_type.shape.dim[0].dim_param in ("B", "B_joints3d")
    given = people(count, 19)
    found = outputs(graph, *given)
    for name, value in expected(model, *given).items():
        assert found[name].shape == (count, *value.shape[1:])
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5 * max(1, float(value.abs().max())))


@pytest.mark.parametrize("count", [1, 6])
def test_3d_joints_are_an_optional_input(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig, count: int
) -> None:
    model, bundle = trained(body, posed_bodies, small_config, joint_base=True)
    pixels, confidence = people(count, 19)
    joints3d = np.random.default_rng(0).normal(0, 0.3, (count, 19, 3)).astype(np.float32)
    joints3d[0, 7] = np.nan
    session = onnxruntime.InferenceSession(build(bundle).SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"pixels": pixels, "confidence": confidence}
    found, without = (session.run(["vertices"], each)[0] for each in (given | {"joints3d": joints3d}, given))
    with torch.inference_mode():
        points = model(*map(torch.from_numpy, (pixels, confidence, joints3d))).points
        vertices = model.vertices(points).numpy()
    np.testing.assert_allclose(found, vertices, atol=1e-5 * max(1, float(np.abs(vertices).max())))
    assert np.abs(found - without).max() > 1e-3


def test_compact_is_smaller_and_the_same(body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig) -> None:
    _, bundle = trained(body, posed_bodies, small_config, posenet_width=128)
    bundle.weights = {
        name: value if "running" in name or value.dtype != np.float32 else value.astype(np.float16).astype(np.float32)
        for name, value in bundle.weights.items()
    }
    plain, compact = build(bundle), build(bundle, compact=True)
    assert len(compact.SerializeToString()) < 0.75 * len(plain.SerializeToString())
    onnx.checker.check_model(compact, full_check=True)
    given = people(4, 19)
    before, after = outputs(plain, *given), outputs(compact, *given)
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_compact_keeps_what_float16_cannot_hold(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig
) -> None:
    model, bundle = trained(body, posed_bodies, small_config)
    given = people(4, 19)
    found = outputs(build(bundle, compact=True), *given)["vertices"]
    np.testing.assert_allclose(found, expected(model, *given)["vertices"].numpy(), atol=1e-5)


@pytest.mark.parametrize(("C_in", "C_out"), [(64, 32), (32, 64), (7, 5), (5, 7), (3, 1), (1, 4), (6, 6)])
def test_interpolation_is_that_of_pytorch(C_in: int, C_out: int) -> None:
    x = torch.randn(2, 3, C_in)
    wanted = nn.functional.interpolate(x, size=C_out, mode="linear")
    np.testing.assert_allclose(x.numpy() @ interpolation(C_in, C_out), wanted.numpy(), atol=1e-6)


def test_weights_that_do_not_fit(body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig) -> None:
    _, bundle = trained(body, posed_bodies, small_config)
    more = dataclasses.replace(bundle, weights={**bundle.weights, "more": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match=r"Unexpected key\(s\): more"):
        build(more)
    less = dict(bundle.weights)
    del less["meshnet.out.linear.bias"]
    with pytest.raises(KeyError, match=r"meshnet\.out\.linear\.bias"):
        build(dataclasses.replace(bundle, weights=less))
    with_base = dataclasses.replace(bundle.network, joint_base=True)
    with pytest.raises(ValueError, match="joint_base is true, but the surface has no weights for it"):
        build(dataclasses.replace(bundle, network=with_base))
    _, bundle = trained(body, posed_bodies, small_config, **VARIANTS["points from landmarks"])
    without = dataclasses.replace(bundle.surface, landmark_base=None)
    with pytest.raises(ValueError, match="landmarks is more than 0, but the surface has no weights for them"):
        build(dataclasses.replace(bundle, surface=without))
