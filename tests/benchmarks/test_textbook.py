"""The network against its textbook formulation: the same function, the same gradients."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from textbook import TextbookPose2Mesh
from torch import Tensor

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO

VARIANTS: dict[str, dict[str, Any]] = {
    "light": {"joint_base": True, "landmarks": 6},
    "faithful": {"confidence_input": False, "isotropic": False, "finest": 0,
                 "block_widths": ((8, 16), (16, 16), (16, 12), (12, 12), (8, 8))},
    "four terms": {"chebyshev_order": 4},
    "two terms": {"chebyshev_order": 2},
    "published spectrum": {"spectrum": "published"},
}  # fmt: skip


@pytest.fixture(scope="module", params=VARIANTS)
def pair(
    request: pytest.FixtureRequest, body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig
) -> tuple[Pose2Mesh, TextbookPose2Mesh, MeshTopology]:
    """A network and the textbook with its weights; BatchNorm's statistics and weights differ from the initial ones."""
    config = dataclasses.replace(small_config, **VARIANTS[request.param])
    surface = build_topology(body, COCO, config, posed_bodies[:40])
    torch.manual_seed(0)
    network = Pose2Mesh(config, COCO, surface).train()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if ".norm." in name or name.endswith("bias"):
                value += 0.3 * torch.randn_like(value)
        for _ in range(3):
            network(*inputs(8, torch.float32))
    textbook = TextbookPose2Mesh(config, COCO, surface)
    textbook.load_state_dict(network.state_dict())
    return network, textbook, surface


def inputs(batch: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    confidence = torch.rand(batch, len(COCO), dtype=dtype).clamp_min(0.1)
    return 300 * torch.rand(batch, len(COCO), 2, dtype=dtype), confidence


# In single precision BatchNorm's backward pass subtracts sums that nearly cancel.
PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 2e-4)]


@pytest.mark.thorough
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_same_output_and_same_gradients(
    pair: tuple[Pose2Mesh, TextbookPose2Mesh, MeshTopology], dtype: torch.dtype, tolerance: float, training: bool
) -> None:
    network, textbook, surface = pair
    if dtype == torch.float64 and network.config.joint_base:
        pytest.skip("the joint base is added in float32")
    pixels, confidence = inputs(5, dtype)
    direction = torch.randn(5, len(surface.points), 3, dtype=dtype)
    results = []
    for module in (network, textbook):
        module.to(dtype).train(training).zero_grad()
        prediction = module(pixels, confidence)
        (prediction.points * direction).mean().backward()
        gradients = {name: value.grad for name, value in module.meshnet.named_parameters()}
        results.append((prediction, gradients, module.state_dict()))
    (ours, our_gradients, our_state), (theirs, their_gradients, their_state) = results
    assert ours.points.dtype == theirs.points.dtype == dtype
    assert theirs.points.std() > 0.05
    assert_close(ours.points, theirs.points, tolerance)
    assert_close(network.vertices(ours.points), textbook.vertices(theirs.points), tolerance)
    assert our_gradients.keys() == their_gradients.keys()
    largest = max(float(value.abs().max()) for value in their_gradients.values())
    for name, value in their_gradients.items():
        # Next to the largest gradient of all: a bias before BatchNorm has a gradient of rounding errors alone.
        assert_close(our_gradients[name] / largest, value / largest, tolerance, name)
    assert our_state.keys() == their_state.keys()
    for name, value in their_state.items():
        assert_close(our_state[name].to(dtype), value.to(dtype), tolerance, name)


def test_a_wrong_weight_is_detected(pair: tuple[Pose2Mesh, TextbookPose2Mesh, MeshTopology]) -> None:
    """The comparison covers every convolution: changing one of its weights in the textbook changes the output."""
    network, textbook, _ = pair
    pixels, confidence = inputs(2, torch.float32)
    network.float().eval(), textbook.float().eval()
    with torch.no_grad():
        expected = network(pixels, confidence).points
        for name, value in textbook.meshnet.named_parameters():
            if name.endswith("linear.weight"):
                kept = value.clone()
                value += 0.1 * torch.randn_like(value)
                assert (textbook(pixels, confidence).points - expected).abs().max() > 1e-3, name
                value.copy_(kept)


def assert_close(found: Tensor, expected: Tensor, tolerance: float, what: str = "") -> None:
    torch.testing.assert_close(
        found, expected, atol=tolerance, rtol=tolerance, msg=lambda text: f"{what}: {text}" if what else text
    )
