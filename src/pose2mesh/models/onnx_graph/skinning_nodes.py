"""ONNX nodes of a skinned body (`models.skinned_body`): pose from points, then linear blend skinning."""

from __future__ import annotations

import numpy as np

from pose2mesh.body_models.interface import AGE
from pose2mesh.models.onnx_graph.graph_builder import OnnxGraph
from pose2mesh.models.skinned_body import SkinnedBody

_SMALLEST = 1e-12  # least length that a vector is divided by, as in PyTorch


def write_skinning(graph: OnnxGraph, points: str, shape: str, body: SkinnedBody, regressor: np.ndarray) -> None:
    """Add the outputs `joints`, `vertices`, `rotations` and `shape`; see `pose2mesh.Skinning`.

    Args:
        graph: To add to.
        points: Name of the points (B, R, 3).
        shape: Name of the shape coefficients (B, S).
        body: The body.
        regressor: (J, V) of the joints.
    """
    op = graph.op
    B, V = len(body.parents), len(body.vertices)
    rotations = _rotations(graph, points, body)
    heads = op("Reshape", op("MatMul", shape, _flat(body.head_shapes)), [-1, B, 3])
    heads = op("Add", heads, body.heads.astype(np.float32))
    above = body.parents.clip(0).tolist()
    offsets = op("Sub", heads, op("Gather", heads, above, axis=1))
    offsets = _turned(graph, op("Gather", rotations, above, axis=1), offsets)
    shift = op("Sub", op("MatMul", body.chains(), offsets), _turned(graph, rotations, heads))
    affine = op("Concat", op("Reshape", rotations, [-1, B, 9]), shift, axis=2)
    blended = op("MatMul", body.weights.astype(np.float32), affine)
    rest = op("Reshape", op("MatMul", shape, _flat(body.vertex_shapes)), [-1, V, 3])
    rest = op("Add", rest, body.vertices.astype(np.float32))
    turns = op("Reshape", op("Slice", blended, [0], [9], [2]), [-1, V, 3, 3])
    vertices = op("Add", _turned(graph, turns, rest), op("Slice", blended, [9], [12], [2]))
    op("Identity", vertices, output="vertices")
    op("MatMul", regressor.astype(np.float32), vertices, output="joints")
    op("Identity", shape, output="shape")
    graph.results["rotations"] = ["B", B, 3, 3]
    graph.results["shape"] = ["B", len(body.vertex_shapes)]


def write_aging(graph: OnnxGraph, shape: str, body: SkinnedBody, least: float) -> str:
    """Name of the shapes (B, S) of at least the age `least`; see `Skinning.aged`."""
    if not least:
        return shape
    weights = body.phenotypes[:-1, [AGE]].astype(np.float32)  # (S, 1)
    missing = graph.op("Sub", float(least - body.phenotypes[-1, AGE]), graph.op("MatMul", shape, weights))
    change = weights.T / max(float(np.square(weights).sum()), 1e-9)
    return graph.op("Add", shape, graph.op("MatMul", graph.op("Relu", missing), change.astype(np.float32)))


def _rotations(graph: OnnxGraph, points: str, body: SkinnedBody) -> str:
    """Add the output `rotations` (B, 22, 3, 3)."""
    op, B = graph.op, len(body.parents)
    estimates = op("MatMul", body.readout.astype(np.float32), points)
    along, across = op("Slice", estimates, [0], [B], [1]), op("Slice", estimates, [B], [2 * B], [1])

    def normalise(x: str) -> str:
        return op("Div", x, op("Max", op("ReduceL2", x, axes=[2], keepdims=1), _SMALLEST))

    x = normalise(along)
    y = normalise(op("Sub", across, op("Mul", x, op("ReduceSum", op("Mul", across, x), [2]))))

    def shifted(name: str, places: list[int]) -> str:
        return op("Gather", name, places, axis=2)

    left = op("Mul", shifted(x, [1, 2, 0]), shifted(y, [2, 0, 1]))
    z = op("Sub", left, op("Mul", shifted(x, [2, 0, 1]), shifted(y, [1, 2, 0])))
    columns = op("Concat", *(op("Unsqueeze", axis, [3]) for axis in (x, y, z)), axis=3)
    return op("MatMul", columns, np.ascontiguousarray(body.axes.swapaxes(1, 2), np.float32), output="rotations")


def _turned(graph: OnnxGraph, matrices: str, vectors: str) -> str:
    """Matrices (B, N, 3, 3) times vectors (B, N, 3)."""
    return graph.op("ReduceSum", graph.op("Mul", matrices, graph.op("Unsqueeze", vectors, [2])), [3], keepdims=0)


def _flat(shapes: np.ndarray) -> np.ndarray:
    """(S, N, 3) → (S, 3 N)."""
    return shapes.reshape(len(shapes), -1).astype(np.float32)
