"""ONNX nodes of MeshNet (`models.meshnet`).

ONNX has no sparse matrix product. The Laplacians are fixed, so they are cut into blocks of rows, each a small dense
matrix over the columns that it touches; `docs/performance.md` has the measurements.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.polynomial.chebyshev import cheb2poly

from pose2mesh.graph.row_blocks import cut_rows
from pose2mesh.models.onnx_graph.graph_builder import OnnxGraph

# Nodes in a block: between 16 and 64 the time hardly changes; in larger blocks most entries are zero.
BLOCK_NODES = 32


def write_meshnet(graph: OnnxGraph, x: str, graphs: list[sp.csr_array], order: int) -> str:
    """Add MeshNet's nodes.

    Args:
        graph: To add to.
        x: Name of the input (B, J, C + 3): normalised 2D joints and lifted joints.
        graphs: Rescaled Laplacians: of the joints, then of the meshes, coarsest first.
        order: K of the Chebyshev polynomials.

    Returns:
        Name of the output (B, N, 3) at the nodes of the finest graph.

    Raises:
        KeyError: a weight is missing.
    """
    joints, *levels = (_Level(graph, laplacian, order) for laplacian in graphs)
    channels = 0
    for index in range(graph.count_layers("meshnet.joint_layers")):
        x, channels = joints.layer(x, f"meshnet.joint_layers.{index}")
    x = graph.op("Gemm", graph.op("Flatten", x), *graph.linear("meshnet.to_mesh"), transB=1)
    x = graph.op("Reshape", x, [-1, levels[0].size, channels])
    for block, level in enumerate(levels):
        skip, width = x, channels
        for index in range(graph.count_layers(f"meshnet.blocks.{block}.layers")):
            x, channels = level.layer(x, f"meshnet.blocks.{block}.layers.{index}", unpool=block > 0 and index == 0)
        if width != channels:
            skip = graph.op("MatMul", skip, interpolation(width, channels))
        x = level.unpooled_sum(x, skip, channels) if block else graph.op("Add", x, skip)
    x, _ = levels[-1].layer(x, "meshnet.head")
    return levels[-1].convolution(x, *graph.linear("meshnet.out.linear"))


class _Level:
    """Convolutions on one graph.

    Args:
        graph: To add to.
        laplacian: (N, N), rescaled.
        order: K.
    """

    def __init__(self, graph: OnnxGraph, laplacian: sp.csr_array, order: int) -> None:
        self.graph, self.laplacian, self.order, self.size = graph, laplacian, order, laplacian.shape[0]
        self.blocks: dict[bool, tuple[str, str, int]] = {}

    def layer(self, x: str, name: str, unpool: bool = False) -> tuple[str, int]:
        """Output of a `GraphLayer`, and its number of channels."""
        weight, bias = self.graph.linear(f"{name}.convolution.linear", f"{name}.norm")
        return self.convolution(x, weight, bias, unpool, relu=True), len(weight)

    def convolution(
        self, x: str, weight: np.ndarray, bias: np.ndarray, unpool: bool = False, relu: bool = False
    ) -> str:
        """Chebyshev convolution, (B, N, C_in) → (B, N, C_out); an input (B, N / 2, C_in) is un-pooled.

        Σ_k T_k(L) x W_k = Σ_p L^p x V_p: each power takes one more product with L, which has fewer entries than T_k,
        and the coefficients of the polynomials are multiplied into the weights.

        Args:
            x: Name of the input.
            weight: (C_out, K · C_in).
            bias: (C_out,).
            unpool: Whether the input is to be un-pooled.
            relu: Whether to add a ReLU.
        """
        op, N, C_out, C_in = self.graph.op, self.size, len(weight), weight.shape[1] // self.order
        if unpool and self.order == 1:  # there is no product that could un-pool
            x, unpool = op("Gather", x, np.arange(N) // 2, axis=1), False
        # T_k = Σ_p powers[k, p] L^p
        powers = np.array([np.pad(cheb2poly([0] * k + [1]), (0, self.order - k - 1)) for k in range(self.order)])
        by_power = np.einsum("kp,okc->pco", powers.astype(np.float32), weight.reshape(C_out, self.order, C_in))
        own = op("Gemm", op("Reshape", x, [-1, C_in]), by_power[0], bias)
        y = [] if unpool else [own]
        for p in range(1, self.order):
            x = self.product(x, C_in, unpool and p == 1)
            y = [op("Gemm", op("Reshape", x, [-1, C_in]), by_power[p], *y)]
        if unpool:
            own = op("Reshape", own, [-1, N // 2, C_out])
            x = self.unpooled_sum(y[0], own, C_out)
            return op("Relu", x) if relu else x
        # Relu before Reshape, so that runtimes fuse it with the Gemm.
        return op("Reshape", op("Relu", *y) if relu else y[0], [-1, N, C_out])

    def product(self, x: str, C: int, unpool: bool) -> str:
        """L · x (B, N, C) for x (B, N, C), or (B, N / 2, C), where siblings share a column of L."""
        if unpool not in self.blocks:
            entries = self.laplacian.tocoo()
            columns, count = (entries.col // 2, self.size // 2) if unpool else (entries.col, self.size)
            blocks = cut_rows(sp.csr_array((entries.data, (entries.row, columns)), (self.size, count)), BLOCK_NODES)
            rows = blocks.weight.shape[0] * blocks.weight.shape[1]
            self.blocks[unpool] = self.graph.constant(blocks.columns), self.graph.constant(blocks.weight), rows
        index, weight, rows = self.blocks[unpool]
        x = self.graph.op("MatMul", weight, self.graph.op("Gather", x, index, axis=1))
        x = self.graph.op("Reshape", x, [-1, rows, C])
        return x if rows == self.size else self.graph.op("Slice", x, [0], [self.size], [1])

    def unpooled_sum(self, x: str, coarse: str, C: int) -> str:
        """x (B, N, C), in any shape, plus `coarse` (B, N / 2, C), each of whose nodes is added to both children."""
        pairs = self.graph.op("Reshape", x, [-1, self.size // 2, 2, C])
        total = self.graph.op("Add", pairs, self.graph.op("Unsqueeze", coarse, [2]))
        return self.graph.op("Reshape", total, [-1, self.size, C])


def interpolation(C_in: int, C_out: int) -> np.ndarray:
    """Matrix (C_in, C_out) of PyTorch's `interpolate` with mode `linear`, applied to a row of C_in values."""
    place = ((np.arange(C_out) + 0.5) * C_in / C_out - 0.5).clip(0, None)
    low = np.floor(place).astype(int)
    matrix = np.zeros((C_in, C_out), np.float32)
    np.add.at(matrix, (low, np.arange(C_out)), 1 - (place - low))
    np.add.at(matrix, (np.minimum(low + 1, C_in - 1), np.arange(C_out)), place - low)
    return matrix
