"""MeshNet: shapes, un-pooling, and its convolutions against dense ones on tiny graphs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import trimesh
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy
from pose2mesh.graph.laplacian import joint_adjacency, rescaled_laplacian
from pose2mesh.models.layers.chebyshev_fused import FusedChebyshevConvolution, GraphLaplacian, values
from pose2mesh.models.meshnet import GraphBlock, GraphLayer, MeshNet
from pose2mesh.skeletons import HUMAN36


def laplacians(coarsenings: int, finest: int) -> list[GraphLaplacian]:
    """Of a sphere's hierarchy, coarsest first."""
    sphere = trimesh.creation.icosphere(2)
    hierarchy = build_hierarchy(np.array(sphere.vertices), np.array(sphere.faces), coarsenings)
    levels = range(coarsenings, finest - 1, -1)
    return [GraphLaplacian(rescaled_laplacian(hierarchy.adjacency[level])) for level in levels]


def joint_laplacian() -> GraphLaplacian:
    return GraphLaplacian(rescaled_laplacian(joint_adjacency(HUMAN36)))


def small(order: int = 3) -> MeshNet:
    torch.manual_seed(0)
    return MeshNet(joint_laplacian(), laplacians(4, 2), 5, (8, 16), ((16, 16), (32, 32), (32, 24)), 8, order)


def dense_forward(network: MeshNet, joints: Tensor) -> Tensor:
    """A forward pass in evaluation mode with dense matrices, one sample at a time, in float64."""

    def convolve(module: FusedChebyshevConvolution, x: Tensor, graph: GraphLaplacian) -> Tensor:
        laplacian = graph.dense().double()
        terms = [x, laplacian @ x]
        for _ in range(2, module.order):
            terms.append(2 * laplacian @ terms[-1] - terms[-2])
        return torch.cat(terms[: module.order], -1) @ module.linear.weight.double().T + module.linear.bias.double()

    def layer(module: GraphLayer, x: Tensor, graph: GraphLaplacian) -> Tensor:
        x, norm = convolve(module.convolution, x, graph), module.norm
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        return ((x - norm.running_mean.double()) * scale + norm.bias.double()).clamp_min(0)

    samples = []
    for sample in joints.double():
        x = sample
        for module in network.joint_layers:
            x = layer(module, x, network.joint_graph)
        x = network.to_mesh.weight.double() @ x.reshape(-1) + network.to_mesh.bias.double()
        x = x.reshape(network.coarse_size, -1)
        for level, (block, graph) in enumerate(zip(network.blocks, network.mesh_graphs, strict=True)):
            if level:
                x = x[torch.arange(2 * len(x)) // 2]
            skip = x
            for module in block.layers:
                x = layer(module, x, graph)
            x = x + torch.nn.functional.interpolate(skip[None], x.shape[-1], mode="linear")[0]
        finest = network.mesh_graphs[-1]
        samples.append(convolve(network.out, layer(network.head, x, finest), finest))
    return torch.stack(samples)


@pytest.mark.parametrize("batch", [1, 3])
def test_shape_and_dtype(batch: int) -> None:
    network = small().eval()
    points = network(torch.randn(batch, 17, 5))
    assert points.shape == (batch, network.mesh_graphs[-1].size, 3)
    assert points.dtype == torch.float32


@pytest.mark.parametrize("order", [2, 3])
def test_forward_is_the_dense_one(order: int) -> None:
    network, x = small(order), torch.randn(4, 17, 5)
    for _ in range(3):
        network(x)  # running statistics that are not 0 and 1
    network.eval()
    with torch.no_grad():
        expected = dense_forward(network, x)
        assert expected.abs().max() > 0.1
        assert (network(x) - expected).abs().max() < 2e-4


def test_samples_are_independent_in_evaluation() -> None:
    network, x = small().eval(), torch.randn(3, 17, 5)
    assert torch.allclose(network(x)[1], network(x[[1]])[0], atol=1e-5)


def test_fused_batch_norms_change_nothing() -> None:
    network, x = small(), torch.randn(4, 17, 5)
    for _ in range(3):
        network(x)
    expected = network.eval()(x)
    network.fuse()
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in network.modules())
    assert torch.allclose(network(x), expected, atol=1e-5)


def test_evaluation_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small().eval(), torch.randn(5, 17, 5)
    monkeypatch.setattr(MeshNet, "samples_in_cache", lambda self: 2)
    parts = network(x)
    monkeypatch.setattr(MeshNet, "samples_in_cache", lambda self: 5)
    assert torch.allclose(parts, network(x), atol=1e-6)


def test_block_interpolates_its_skip_along_the_channels() -> None:
    block = GraphBlock(2, (4,), 1).eval()
    torch.nn.init.zeros_(block.layers[0].norm.weight)  # the layer outputs 0, so that the skip remains
    graph = GraphLaplacian(sp.csr_array((3, 3)))
    x = torch.tensor([0.0, 4.0]).expand(1, 3, 2)
    assert torch.equal(block(x, graph), torch.tensor([0.0, 1, 3, 4]).expand(1, 3, 4))


def test_layers_normalise_over_nodes_and_batch() -> None:
    layer = GraphLayer(3, 6, 2)
    torch.nn.init.constant_(layer.norm.bias, 10)  # so that ReLU cuts nothing off
    graphs = laplacians(2, 2)
    out = values(layer(5 + 3 * torch.randn(4, graphs[0].size, 3), graphs[0]))
    assert torch.allclose(out.mean((0, 1)), torch.full((6,), 10.0), atol=1e-4)
    assert torch.allclose(out.std((0, 1), correction=0), torch.ones(6), atol=1e-3)


def test_published_parameters() -> None:
    network = MeshNet(
        joint_laplacian(), laplacians(7, 0), 5, (32, 64, 64),
        ((128, 256), *[(256, 256)] * 4, *[(128, 128)] * 3), 64,
    )  # fmt: skip
    channels = (
        [(5, 32), (32, 64), (64, 64)]
        + [(64, 128), (128, 256)] + [(256, 256)] * 8 + [(256, 128), (128, 128)] + [(128, 128)] * 4
        + [(128, 64), (64, 3)]
    )  # fmt: skip
    expected = [(out, 3 * into) for into, out in channels]
    coarsest = network.mesh_graphs[0].size
    weights = {name: tuple(value.shape) for name, value in network.named_parameters() if value.ndim == 2}
    assert weights.pop("to_mesh.weight") == (64 * coarsest, 64 * 17)
    assert list(weights.values()) == expected
    assert network.mesh_graphs[-1].size == 2**7 * coarsest


def test_blocks_must_match_the_graphs() -> None:
    with pytest.raises(InputError, match="block_widths has 2 blocks, expected 3, one per graph"):
        MeshNet(joint_laplacian(), laplacians(4, 2), 5, (8,), ((8, 8), (8, 8)), 8)


def test_every_parameter_gets_a_finite_gradient_in_bf16() -> None:
    network = small()
    with torch.autocast("cpu", torch.bfloat16):
        points = network(torch.randn(4, 17, 5))
    assert points.dtype == torch.bfloat16
    points.float().square().sum().backward()
    for name, value in network.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
