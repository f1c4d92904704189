"""The whole network as an ONNX graph, written out from a bundle's arrays: no tracing, no PyTorch.

ONNX has no sparse product. The Laplacians and the step to all vertices are fixed, so they are cut into blocks of rows,
each a small dense matrix over what it touches: `docs/performance.md` has the measurements.

Inputs: `pixels` (B, J, 2) and `confidence` (B, J) in [0, 1]. Outputs, in metres, camera axes: `joints` (B, J, 3)
regressed from the mesh, `vertices` (B, V, 3), `lifted` (B, J, 3), which are PoseNet's joints; and two that depend on no
input, so that a file can be used alone, `faces` (F, 3) and `template` (V, 3). As those of `models.pose2mesh`, joints
and vertices are not yet relative to the root.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
import scipy.sparse as sp
from numpy.polynomial.chebyshev import cheb2poly
from onnx import TensorProto, helper, numpy_helper

from pose2mesh.graph.row_blocks import cut_rows
from pose2mesh.models.bundle.bundle_file import BundleFile
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.skeletons import JOINT_SETS, JointSet

OPSET, IR_VERSION = 17, 8  # of 2022: newer runtimes take them, too
# Nodes and vertices in a block: between 16 and 64 it hardly matters, above that the blocks are mostly zeros.
BLOCK_NODES, BLOCK_VERTICES = 32, 64
BATCHNORM_EPSILON = 1e-5  # PyTorch's

Value: TypeAlias = "str | np.ndarray | list[int] | float"


def build(bundle: BundleFile, compact: bool = False) -> onnx.ModelProto:
    """The graph of a whole network.

    Args:
        bundle: As read.
        compact: Keep in float16 what that holds exactly: half the size, and some 10 ms more to load.

    Raises:
        KeyError, ValueError, InputError: weights or surface do not fit the network that the bundle describes.
    """
    joint_set = JOINT_SETS[bundle.info.joint_set]
    graph = _Graph(bundle.weights, compact)
    config, surface = bundle.network, bundle.surface
    x = _normalise(graph, config.confidence_input, config.isotropic)
    lifted, offsets = _posenet(graph, x, config, len(joint_set))
    nodes = graph.op("Concat", x, lifted, axis=2)
    nodes = _meshnet(graph, nodes, laplacians(surface, joint_set, config.spectrum), config.chebyshev_order)
    points = graph.op("Gather", nodes, surface.nodes, axis=1)
    if config.joint_base:
        points = graph.op("Add", points, _base(graph, lifted, offsets, surface, joint_set))
    _outputs(graph, points, surface)
    graph.refuse_unused()
    return graph.model(bundle, len(joint_set))


class _Graph:
    """An ONNX graph in the making. Tensors are told by their names.

    Args:
        weights: The network's, each to be used once.
        compact: See `build`.
    """

    def __init__(self, weights: dict[str, np.ndarray], compact: bool) -> None:
        self.compact = compact
        self.weights = {name: array for name, array in weights.items() if not name.endswith("num_batches_tracked")}
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, value: Value) -> str:
        """The name of a tensor as it is, or of a new fixed one: lists are int64, numbers float32."""
        if isinstance(value, str):
            return value
        kind = np.int64 if isinstance(value, list) else np.float32 if isinstance(value, float) else None
        array = np.asarray(value, kind)
        half = array.astype(np.float16) if self.compact and array.dtype == np.float32 and array.size > 1024 else None
        exact = half is not None and np.array_equal(half, array)
        name = f"constant_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(half if exact else array), name))
        return self.op("Cast", name, to=TensorProto.FLOAT) if exact else name

    def op(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.constant(value) for value in inputs], [output], **attributes))
        return output

    def linear(self, name: str, norm: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Weight (out, in) and bias (out,) of a linear layer, the BatchNorm that follows it folded in."""
        weight, bias = self.weights.pop(f"{name}.weight"), self.weights.pop(f"{name}.bias")
        if not norm:
            return weight, bias
        scale, shift = self.batchnorm(norm)
        return weight * scale[:, None], bias * scale + shift

    def batchnorm(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A trained BatchNorm as a factor and a shift for each channel."""
        weight, bias, mean, variance = (
            self.weights.pop(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(variance + np.float32(BATCHNORM_EPSILON))
        return scale, bias - mean * scale

    def refuse_unused(self) -> None:
        """Raises a ValueError where weights are left over."""
        if self.weights:
            raise ValueError(f"Unexpected key(s): {', '.join(self.weights)}")

    def model(self, bundle: BundleFile, J: int) -> onnx.ModelProto:
        """The finished model of `J` joints."""
        V, F = len(bundle.surface.template), len(bundle.surface.faces)
        given: dict[str, list[str | int]] = {"pixels": ["B", J, 2], "confidence": ["B", J]}
        results: dict[str, list[str | int]] = {"joints": ["B", J, 3], "vertices": ["B", V, 3], "lifted": ["B", J, 3]}
        results["template"] = [V, 3]
        inputs, outputs = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in group.items()]
            for group in (given, results)
        )
        outputs.append(helper.make_tensor_value_info("faces", TensorProto.INT32, [F, 3]))
        return helper.make_model(
            helper.make_graph(self.nodes, bundle.info.name, inputs, outputs, self.initialisers),
            producer_name="pose2mesh",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )


def _normalise(graph: _Graph, confidence_input: bool, isotropic: bool) -> str:
    """(B, J, 2 or 3) the networks' input; see `Pose2Mesh.normalise`."""
    op = graph.op
    confidence = op("Unsqueeze", "confidence", [2])
    there = op("Greater", confidence, 0.0)
    pixels = op("Where", there, "pixels", 0.0)
    weight = confidence if confidence_input else op("Cast", there, to=TensorProto.FLOAT)

    def weighted_mean(x: str) -> str:
        return op("Div", op("ReduceSum", op("Mul", weight, x), [1]), total)

    total = op("Max", op("ReduceSum", weight, [1]), 1e-6)
    centred = op("Sub", pixels, weighted_mean(pixels))
    variance = weighted_mean(op("Mul", centred, centred))
    if isotropic:
        variance = op("ReduceMean", variance, axes=[2])
    x = op("Where", there, op("Div", centred, op("Sqrt", op("Max", variance, 1e-6))), 0.0)
    return op("Concat", x, confidence, axis=2) if confidence_input else x


def _posenet(graph: _Graph, x: str, config: NetworkConfig, J: int) -> tuple[str, str | None]:
    """(B, J, 3) lifted joints from (B, J, C), and the offsets (B, L, 3) of landmarks where there are any."""

    def linear(x: str, name: str, norm: str = "") -> str:
        weight, bias = graph.linear(f"posenet.{name}")
        if not norm:
            return graph.op("Gemm", x, weight, bias, transB=1)
        scale, shift = graph.batchnorm(f"posenet.{norm}")
        # Multiplied when the file is loaded: in the file the weight stays what float16 holds exactly.
        return graph.op("Gemm", x, graph.op("Mul", weight, scale[:, None]), bias * scale + shift, transB=1)

    x = linear(graph.op("Flatten", x), "lift")
    for block in range(config.posenet_blocks):
        layers = f"blocks.{block}.layers"
        scale, shift = graph.batchnorm(f"posenet.{layers}.0")
        y = graph.op("Relu", graph.op("Add", graph.op("Mul", x, scale), shift))
        y = graph.op("Relu", linear(y, f"{layers}.3", f"{layers}.4"))
        x = graph.op("Add", x, linear(y, f"{layers}.7"))

    def metres(name: str, count: int, output: str = "") -> str:
        points = graph.op("Mul", linear(x, name), config.posenet_unit_m)
        return graph.op("Reshape", points, [-1, count, 3], output=output)

    return metres("head", J, "lifted"), metres("landmark_head", config.landmarks) if config.landmarks else None


def _meshnet(graph: _Graph, x: str, graphs: list[sp.csr_array], order: int) -> str:
    """(B, N, 3) at the nodes of the finest graph, from the joints (B, J, C)."""
    joints, *levels = (_Level(graph, laplacian, order) for laplacian in graphs)
    channels = 0
    for index in range(_count(graph, "meshnet.joint_layers")):
        x, channels = joints.layer(x, f"meshnet.joint_layers.{index}")
    x = graph.op("Gemm", graph.op("Flatten", x), *graph.linear("meshnet.to_mesh"), transB=1)
    x = graph.op("Reshape", x, [-1, levels[0].size, channels])
    for block, level in enumerate(levels):
        skip, width = x, channels
        for index in range(_count(graph, f"meshnet.blocks.{block}.layers")):
            x, channels = level.layer(x, f"meshnet.blocks.{block}.layers.{index}", unpool=block > 0 and index == 0)
        if width != channels:
            skip = graph.op("MatMul", skip, interpolation(width, channels))
        x = level.unpooled_sum(x, skip, channels) if block else graph.op("Add", x, skip)
    x, _ = levels[-1].layer(x, "meshnet.head")
    return levels[-1].convolution(x, *graph.linear("meshnet.out.linear"))


def _count(graph: _Graph, prefix: str) -> int:
    """How many numbered layers the weights have under a name."""
    return len({name[len(prefix) + 1 :].partition(".")[0] for name in graph.weights if name.startswith(f"{prefix}.")})


class _Level:
    """Convolutions on one graph.

    Args:
        graph: What is written to.
        laplacian: (N, N), rescaled.
        order: K.
    """

    def __init__(self, graph: _Graph, laplacian: sp.csr_array, order: int) -> None:
        self.graph, self.laplacian, self.order, self.size = graph, laplacian, order, laplacian.shape[0]
        self.blocks: dict[bool, tuple[str, str, int]] = {}

    def layer(self, x: str, name: str, unpool: bool = False) -> tuple[str, int]:
        """A `GraphLayer`'s output and its channels."""
        weight, bias = self.graph.linear(f"{name}.convolution.linear", f"{name}.norm")
        return self.convolution(x, weight, bias, unpool, relu=True), len(weight)

    def convolution(
        self, x: str, weight: np.ndarray, bias: np.ndarray, unpool: bool = False, relu: bool = False
    ) -> str:
        """(B, N, C_out) from (B, N, C_in), or from (B, N / 2, C_in) to be un-pooled; weight (C_out, K · C_in).

        Σ_k T_k(L) x W_k = Σ_p L^p x V_p: each power takes one more product with L, which touches fewer nodes than a
        product with T_k, and the polynomials' coefficients go into the weights.
        """
        op, N, C_out, C_in = self.graph.op, self.size, len(weight), weight.shape[1] // self.order
        if unpool and self.order == 1:  # no product to un-pool on the way
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
        # Relu before Reshape: runtimes make one of it and the Gemm.
        return op("Reshape", op("Relu", *y) if relu else y[0], [-1, N, C_out])

    def product(self, x: str, C: int, unpool: bool) -> str:
        """L · x, (B, N, C), for x (B, N, C) or (B, N / 2, C), where siblings share a column."""
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
        """x (B, N, C), in any shape, plus a term (B, N / 2, C), whose nodes count for both of their children."""
        pairs = self.graph.op("Reshape", x, [-1, self.size // 2, 2, C])
        total = self.graph.op("Add", pairs, self.graph.op("Unsqueeze", coarse, [2]))
        return self.graph.op("Reshape", total, [-1, self.size, C])


def interpolation(C_in: int, C_out: int) -> np.ndarray:
    """(C_in, C_out) what PyTorch's linear `interpolate` does to a row of C_in values."""
    place = ((np.arange(C_out) + 0.5) * C_in / C_out - 0.5).clip(0, None)
    low = np.floor(place).astype(int)
    matrix = np.zeros((C_in, C_out), np.float32)
    np.add.at(matrix, (low, np.arange(C_out)), 1 - (place - low))
    np.add.at(matrix, (np.minimum(low + 1, C_in - 1), np.arange(C_out)), place - low)
    return matrix


def _base(graph: _Graph, lifted: str, offsets: str | None, surface: MeshTopology, joint_set: JointSet) -> str:
    """(B, R, 3) points interpolated between what PoseNet lifts, which MeshNet's are added to."""
    if surface.joint_base is None:
        raise ValueError("network.joint_base is true, but the surface has no weights for it")
    root = graph.op("Gather", lifted, [joint_set.root_index], axis=1)
    base = graph.op("MatMul", surface.joint_base, graph.op("Sub", lifted, root))
    if offsets is None:
        return base
    if surface.landmark_base is None:
        raise ValueError("network.landmarks is more than 0, but the surface has no weights for them")
    return graph.op("Add", base, graph.op("MatMul", surface.landmark_base, offsets))


def _outputs(graph: _Graph, points: str, surface: MeshTopology) -> None:
    """Joints, vertices and constants from the points (B, R, 3)."""
    graph.op("MatMul", surface.point_regressor(), points, output="joints")
    if surface.upsample_index is None:
        graph.op("Identity", points, output="vertices")
    else:
        _upsample(graph, points, surface)
    graph.op("Identity", surface.template.astype(np.float32), output="template")
    graph.op("Identity", surface.faces.astype(np.int32), output="faces")


def _upsample(graph: _Graph, points: str, surface: MeshTopology) -> None:
    """`vertices` (B, V, 3) from points (B, R, 3), everyone's coordinates side by side in one product."""
    upsampling = surface.upsampling()
    assert upsampling is not None
    assert surface.upsample_index is not None
    V, R = upsampling.shape
    # The first of a vertex's points is the nearest, and points are in the order of the hierarchy's tree.
    by_place = np.argsort(surface.upsample_index[:, 0], kind="stable")
    blocks = cut_rows(sp.csr_array(upsampling[by_place]), BLOCK_VERTICES)
    back = np.empty(V, np.int64)
    back[by_place] = np.arange(V)
    x = graph.op("Reshape", graph.op("Transpose", points, perm=[1, 0, 2]), [R, -1])
    x = graph.op("MatMul", blocks.weight, graph.op("Gather", x, blocks.columns, axis=0))
    x = graph.op("Reshape", x, [blocks.weight.shape[0] * blocks.weight.shape[1], -1, 3])
    graph.op("Transpose", graph.op("Gather", x, back, axis=0), perm=[1, 0, 2], output="vertices")
