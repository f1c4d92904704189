"""Bounds on the speed of a network: needed multiply–accumulates and bytes, and the measured rates of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pose2mesh.models.layers.linear import linear
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.pose2mesh import Pose2Mesh

aten = torch.ops.aten


class ProductCount(TorchDispatchMode):
    """Counts the multiply–accumulates of matrix products while it is entered.

    Dense products count rows × inner × columns, sparse ones stored entries × columns, and embedding bags entries ×
    columns. Nothing else (norms, sums) is counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        packet = func.overloadpacket
        if packet in (aten.mm, aten._sparse_mm):
            self.total += product_entries(*args[:2])
        elif packet in (aten.addmm, aten.addmm_, aten._sparse_addmm):
            self.total += product_entries(*args[1:3])
        elif packet == torch.ops.mkldnn._linear_pointwise:
            self.total += args[0].numel() * len(args[1])
        elif packet in (aten.bmm, aten.baddbmm):
            left, right = args[-2:]
            self.total += left.numel() * right.shape[-1]
        elif packet in (aten._embedding_bag, aten._embedding_bag_forward_only):
            self.total += args[1].numel() * args[0].shape[1]
        return func(*args, **(kwargs or {}))


def product_entries(left: Tensor, right: Tensor) -> int:
    stored = left.numel() if left.layout == torch.strided else left._nnz()
    return stored * right.shape[1]


def multiply_accumulates(network: Pose2Mesh) -> int:
    """Multiply–accumulates a person that the network computes, from pixels to vertices."""
    J = len(network.joint_set)
    # Not inference mode, in which linear layers reach the dispatcher before they are decomposed into products.
    with torch.no_grad(), ProductCount() as count:
        network.vertices(network(torch.rand(1, J, 2), torch.ones(1, J)).points)
    return count.total


class Layer(NamedTuple):
    """A convolution of MeshNet.

    Attributes:
        nodes: Output nodes N.
        nodes_in: Input nodes; N / 2 if the layer un-pools.
        entries: Stored entries of the Laplacian.
        channels_in, channels_out: Channels.
    """

    nodes: int
    nodes_in: int
    entries: int
    channels_in: int
    channels_out: int


def layers(network: Pose2Mesh, surface: MeshTopology) -> list[Layer]:
    """MeshNet's convolutions, first to last."""
    config = network.config
    graphs = laplacians(surface, network.joint_set, config.spectrum)
    found, width = [], 5 + int(config.confidence_input)
    for level, (graph, widths) in enumerate(zip(graphs, (config.joint_widths, *config.block_widths), strict=True)):
        head = (config.head_width, 3) if level == len(graphs) - 1 else ()
        N = graph.shape[0]
        for index, (a, b) in enumerate(pairwise((width, *widths, *head))):
            unpooled = level > 1 and index == 0  # the input of the coarsest mesh graph, level 1, has all nodes
            found.append(Layer(N, N // 2 if unpooled else N, graph.nnz, a, b))
        width = widths[-1]
    return found


def needed_multiply_accumulates(network: Pose2Mesh, surface: MeshTopology) -> int:
    """Fewest known multiply–accumulates a person, from pixels to vertices, whatever the formulation.

    Counted are linear layers, entries of sparse products × channels, and the fixed steps to the vertices. T_k(L)
    commutes with W_k: the Laplacian need only be applied to the narrower of a layer's input and output, and W_k only
    to the nodes before un-pooling.
    """
    order, total = network.config.chebyshev_order, 0
    for layer in layers(network, surface):
        total += layer.nodes_in * order * layer.channels_in * layer.channels_out
        total += (order - 1) * layer.entries * min(layer.channels_in, layer.channels_out)
    state = network.state_dict()
    total += sum(state[name].numel() for name in state if name.startswith("posenet") and state[name].ndim == 2)
    total += state["meshnet.to_mesh.weight"].numel()
    base = (surface.joint_base, surface.landmark_base) if network.config.joint_base else ()
    fixed = (*base, surface.upsample_weight)
    return total + 3 * sum(weights.size for weights in fixed if weights is not None)


def least_values(network: Pose2Mesh, surface: MeshTopology) -> tuple[int, int]:
    """Least number of values a forward pass must move: per batch (the weights), and per person.

    Per person, each layer's input is read once and its output written once, as if a layer ran entirely in the cache.
    """
    total = 3 * (len(surface.points) + len(surface.template))
    for layer in layers(network, surface):
        total += layer.nodes_in * layer.channels_in + layer.nodes * layer.channels_out
    return sum(parameter.numel() for parameter in network.parameters()), total


def layer_shapes(network: Pose2Mesh, surface: MeshTopology, people: int) -> list[tuple[int, int, int]]:
    """Shapes of the matrix products of the widest layers on the coarsest, a middle and the finest graph."""
    sizes = [graph.shape[0] for graph in surface.adjacency]
    shapes = []
    for size in (sizes[0], sizes[len(sizes) // 2], sizes[-1]):
        widest = max(
            (layer for layer in layers(network, surface) if layer.nodes == size),
            key=lambda layer: layer.channels_in * layer.channels_out,
        )
        inner = network.config.chebyshev_order * widest.channels_in
        shapes.append((people * size, inner, widest.channels_out))
    return shapes


def machine_rates(shapes: list[tuple[int, int, int]], device: str, threads: int, budget_s: float) -> dict[str, Any]:
    """Measured multiply–accumulates a second by precision and shape, and bytes copied a second."""
    torch.set_num_threads(threads)
    return {
        "fp32": product_rates(shapes, torch.float32, device, budget_s),
        "bf16": product_rates(shapes, torch.bfloat16, device, budget_s),
        "copy_bytes_per_second": copy_rate(device, budget_s),
    }


def product_rates(
    shapes: list[tuple[int, int, int]], dtype: torch.dtype, device: str, budget_s: float
) -> dict[str, float]:
    """Multiply–accumulates a second of (rows, inner) × (inner, columns) by shape.

    The median of the rounds, for the faster of `torch.mm` and the product that the networks use.
    """
    rates = {}
    for rows, inner, columns in shapes:
        left, right = (torch.randn(a, b, device=device).to(dtype) for a, b in ((rows, inner), (inner, columns)))
        out = torch.empty(rows, columns, dtype=dtype, device=device)
        across = right.T.contiguous()
        ways = (lambda a=left, b=right, c=out: torch.mm(a, b, out=c), lambda a=left, b=across: linear(a, b))
        seconds = min(median_seconds(way, device, budget_s / 2) for way in ways)
        rates[f"{rows}x{inner}x{columns}"] = rows * inner * columns / seconds
    return rates


def copy_rate(device: str, budget_s: float, count: int = 2**26) -> float:
    """Bytes a second, read plus written, of copying 256 MiB."""
    source = torch.zeros(count, device=device) + 1
    target = torch.zeros_like(source)
    return 2 * 4 * count / median_seconds(lambda: target.copy_(source), device, budget_s)


def median_seconds(work: Callable[[], object], device: str, budget_s: float) -> float:
    """Median seconds of as many runs as fit into the budget, at least two, after a warm-up run."""
    work()
    times: list[float] = []
    end = time.perf_counter() + budget_s
    while len(times) < 2 or time.perf_counter() < end:
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
