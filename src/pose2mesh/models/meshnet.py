"""MeshNet: graph convolutions from the joints, over a hierarchy of mesh graphs, to points on the body's surface."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from pose2mesh.errors import InputError
from pose2mesh.models.layers.chebyshev_fused import (
    CACHE_BYTES,
    DeferredNorm,
    FusedChebyshevConvolution,
    GraphLaplacian,
    values,
)
from pose2mesh.models.layers.linear import Linear


class GraphLayer(nn.Module):
    """Chebyshev convolution, BatchNorm over batch and nodes (padding included, as published), and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, order: int) -> None:
        super().__init__()
        self.convolution = FusedChebyshevConvolution(in_channels, out_channels, order)
        self.norm: nn.BatchNorm1d | None = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor | DeferredNorm, laplacian: GraphLaplacian) -> Tensor | DeferredNorm:
        """(B, N, C_in) → (B, N, C_out); an input (B, N / 2, C_in) is un-pooled.

        In training, norm and ReLU are left to the layer that reads the output; see `DeferredNorm`.
        """
        if self.norm is None:
            return self.convolution(x, laplacian, relu=True)
        z = self.convolution(x, laplacian)
        if type(self.norm) is nn.BatchNorm1d and self.norm.training:
            return _normalise(z, self.norm)
        return self.norm(z.flatten(0, 1)).relu_().view(z.shape)

    def fuse(self) -> None:
        """Fold the trained BatchNorm into the convolution: the same function, for inference only."""
        if self.norm is not None:
            self.convolution.linear = fuse_linear_bn_eval(self.convolution.linear, self.norm)
            self.norm = None


def _normalise(z: Tensor, norm: nn.BatchNorm1d) -> DeferredNorm:
    """`norm` in training, and then ReLU, as a `DeferredNorm`; updates the running statistics."""
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    mean, variance = torch.batch_norm_update_stats(
        z.detach().flatten(0, 1), norm.running_mean, norm.running_var, norm.momentum
    )
    return DeferredNorm(z, norm.weight, norm.bias, mean, (variance + norm.eps).rsqrt())


class GraphBlock(nn.Module):
    """Graph layers with a skip connection; where the width changes, the input is interpolated along its channels."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], order: int) -> None:
        super().__init__()
        sizes = (in_channels, *widths)
        self.layers = nn.ModuleList(GraphLayer(a, b, order) for a, b in pairwise(sizes))

    def forward(self, x: Tensor, laplacian: GraphLaplacian) -> Tensor:
        """(B, N, C_in) → (B, N, C_out); an input (B, N / 2, C_in) is un-pooled by repeating each node twice."""
        skip = x
        y: Tensor | DeferredNorm = x
        for layer in self.layers:
            y = layer(y, laplacian)
        width = (y.source if isinstance(y, DeferredNorm) else y).shape[-1]
        if skip.shape[-1] != width:
            skip = nn.functional.interpolate(skip, size=width, mode="linear")
        return values(y, skip)


class MeshNet(nn.Module):
    """(B, J, C) joints → (B, N, 3) positions of the finest graph's nodes, in metres.

    Args:
        joint_graph: Laplacian of the joints.
        mesh_graphs: Laplacians of the mesh hierarchy, coarsest first, each twice the size of the one before.
        in_channels: C; 5 in the paper (2D and lifted 3D), 6 with a confidence.
        joint_widths: Channels of the layers on the joint graph; (32, 64, 64) in the published network.
        block_widths: Channels of the layers of each mesh graph's block.
        head_width: Channels before the last convolution, which gives x, y and z; 64 in the published network.
        order: K of the Chebyshev polynomials.

    Raises:
        InputError: there is not one block per mesh graph.
    """

    def __init__(
        self,
        joint_graph: GraphLaplacian,
        mesh_graphs: list[GraphLaplacian],
        in_channels: int,
        joint_widths: tuple[int, ...],
        block_widths: tuple[tuple[int, ...], ...],
        head_width: int,
        order: int = 3,
    ) -> None:
        super().__init__()
        if len(block_widths) != len(mesh_graphs):
            raise InputError(f"block_widths has {len(block_widths)} blocks, expected {len(mesh_graphs)}, one per graph")
        self.joint_graph = joint_graph
        self.mesh_graphs = nn.ModuleList(mesh_graphs)
        widths = (in_channels, *joint_widths)
        self.joint_layers = nn.ModuleList(GraphLayer(a, b, order) for a, b in pairwise(widths))
        self.coarse_size = mesh_graphs[0].size
        self.to_mesh = Linear(joint_graph.size * joint_widths[-1], self.coarse_size * joint_widths[-1])
        inputs = (joint_widths[-1], *(block[-1] for block in block_widths))
        self.blocks = nn.ModuleList(
            GraphBlock(width, block, order) for width, block in zip(inputs[:-1], block_widths, strict=True)
        )
        self.head = GraphLayer(inputs[-1], head_width, order)
        self.out = FusedChebyshevConvolution(head_width, 3, order)
        self.sample_bytes = 4 * order * inputs[-1] * mesh_graphs[-1].size  # terms of the last block

    def forward(self, joints: Tensor) -> Tensor:
        """(B, J, C) → (B, N, 3)."""
        y: Tensor | DeferredNorm = joints
        for layer in self.joint_layers:
            y = layer(y, self.joint_graph)
        x = self.to_mesh(values(y).flatten(1)).view(len(joints), self.coarse_size, -1)
        if self.training or x.device.type != "cpu":
            return self.grow(x)
        return torch.cat([self.grow(part) for part in x.split(self.samples_in_cache())])

    def grow(self, x: Tensor) -> Tensor:
        """From the coarsest graph (B, N₀, C) to the finest (B, N, 3)."""
        for block, graph in zip(self.blocks, self.mesh_graphs, strict=True):
            x = block(x, graph)
        finest = self.mesh_graphs[-1]
        return self.out(self.head(x, finest), finest)

    def samples_in_cache(self) -> int:
        """Number of samples per pass that is fastest in inference, where BatchNorm does not couple samples."""
        return max(1, CACHE_BYTES // self.sample_bytes)

    def fuse(self) -> None:
        """Fold every BatchNorm into the convolution before it: the same function, for inference only."""
        for module in self.modules():
            if isinstance(module, GraphLayer):
                module.fuse()
