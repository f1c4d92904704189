"""The whole network as an ONNX graph, built from the arrays of a bundle, without tracing and without PyTorch.

Inputs: `pixels` (B, J, 2), `confidence` (B, J) in [0, 1], and optionally `joints3d` (B, J, 3), joints estimated from
the image, metres, NaN where missing, which are merged with the lifted ones (`models.depth_fusion`). Outputs, in metres,
camera axes: `joints` (B, J, 3) regressed from the mesh, `vertices` (B, V, 3), and `lifted` (B, J, 3), the joints of the
lifter; where the network predicts them, `rotations` (B, 22, 3, 3), `shape` (B, S) and `expected_errors_m` (B, J, 2),
see `inference.backend.Bodies`; and two constants that make a file self-contained, `faces` (F, 3) and `template`
(V, 3). Joints and vertices are not yet relative to the root.
"""

from __future__ import annotations

import numpy as np
import onnx
import scipy.sparse as sp
from onnx import TensorProto

from pose2mesh.graph.row_blocks import cut_rows
from pose2mesh.models.bundle.bundle_file import BundleFile
from pose2mesh.models.depth_fusion import IMAGE_WEIGHT, SHORTEST_M, bone_matrices
from pose2mesh.models.lifter_registry import find_onnx_writer
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.onnx_graph.graph_builder import OnnxGraph
from pose2mesh.models.onnx_graph.meshnet_nodes import write_meshnet
from pose2mesh.models.onnx_graph.skinning_nodes import write_aging, write_skinning
from pose2mesh.skeletons import JOINT_SETS, JointSet

# Vertices in a block of the step to all vertices; see `meshnet_nodes.BLOCK_NODES`.
BLOCK_VERTICES = 64


def build(bundle: BundleFile, compact: bool = False) -> onnx.ModelProto:
    """The ONNX graph of a whole network.

    Args:
        bundle: As read.
        compact: Store weights in float16 where it represents them exactly: half the size, some 10 ms more to load.

    Raises:
        KeyError, ValueError, InputError: weights or surface do not fit the network that the bundle describes.
    """
    joint_set = JOINT_SETS[bundle.info.joint_set]
    graph = OnnxGraph(bundle.weights, compact)
    config, surface = bundle.network, bundle.surface
    x = _normalise(graph, config.confidence_input, config.isotropic)
    lifter = find_onnx_writer(config.lifter)(graph, x, config, len(joint_set))
    lifted = _fuse(graph, lifter.joints, joint_set)
    nodes = graph.op("Concat", x, lifted, axis=2)
    nodes = write_meshnet(graph, nodes, laplacians(surface, joint_set, config.spectrum), config.chebyshev_order)
    points = graph.op("Gather", nodes, surface.nodes, axis=1)
    if config.joint_base:
        points = graph.op("Add", points, _base(graph, lifted, lifter.landmark_offsets, surface, joint_set))
    if lifter.log_errors is not None:
        _expected_errors(graph, lifter.log_errors, len(joint_set))
    if not config.skinned:
        _outputs(graph, points, surface)
    elif surface.skinned is None or lifter.shape is None:
        raise ValueError("network.skinned is true, but the surface has no body or the lifter no shape")
    else:
        shape = write_aging(graph, lifter.shape, surface.skinned, config.least_age)
        write_skinning(graph, points, shape, surface.skinned, surface.joint_regressor)
    graph.op("Identity", surface.template.astype(np.float32), output="template")
    graph.op("Identity", surface.faces.astype(np.int32), output="faces")
    graph.refuse_unused()
    return graph.model(bundle, len(joint_set))


def _normalise(graph: OnnxGraph, confidence_input: bool, isotropic: bool) -> str:
    """Input (B, J, C) of the network; see `Pose2Mesh.normalise`."""
    op = graph.op
    confidence = op("Unsqueeze", "confidence", [2])
    present = op("Greater", confidence, 0.0)
    pixels = op("Where", present, "pixels", 0.0)
    weight = confidence if confidence_input else op("Cast", present, to=TensorProto.FLOAT)

    def weighted_mean(x: str) -> str:
        return op("Div", op("ReduceSum", op("Mul", weight, x), [1]), total)

    total = op("Max", op("ReduceSum", weight, [1]), 1e-6)
    centred = op("Sub", pixels, weighted_mean(pixels))
    variance = weighted_mean(op("Mul", centred, centred))
    if isotropic:
        variance = op("ReduceMean", variance, axes=[2])
    x = op("Where", present, op("Div", centred, op("Sqrt", op("Max", variance, 1e-6))), 0.0)
    return op("Concat", x, confidence, axis=2) if confidence_input else x


def _fuse(graph: OnnxGraph, lifted: str, joint_set: JointSet) -> str:
    """Lifted joints (B, J, 3) merged with the input `joints3d`; see `depth_fusion.DepthFusion`.

    Without that input they stay as they are: its default is NaN.
    """
    op = graph.op
    bones, paths = bone_matrices(joint_set)
    missing = op("IsNaN", graph.optional_input("joints3d", np.full((1, len(joint_set), 3), np.nan, np.float32)))
    ours = op("MatMul", bones, lifted)
    theirs = op("MatMul", bones, op("Where", missing, 0.0, "joints3d"))
    mean = op("Add", op("Mul", ours, 1 - IMAGE_WEIGHT), op("Mul", theirs, IMAGE_WEIGHT))

    def length(x: str) -> str:
        return op("ReduceL2", x, axes=[2], keepdims=1)

    size = length(mean)
    total = op("Add", op("Mul", length(ours), 1 - IMAGE_WEIGHT), op("Mul", length(theirs), IMAGE_WEIGHT))
    merged = op("Mul", mean, op("Div", total, op("Max", size, SHORTEST_M)))
    count = op("ReduceSum", op("MatMul", np.abs(bones), op("Cast", missing, to=TensorProto.FLOAT)), [2], keepdims=1)
    kept = op("Or", op("Greater", count, 0.0), op("Less", size, SHORTEST_M))
    fused = op("MatMul", paths, op("Where", kept, ours, merged))
    root = op("Gather", lifted, [joint_set.root_index], axis=1)
    return op("Add", fused, root, output="fused")


def _base(graph: OnnxGraph, lifted: str, offsets: str | None, surface: MeshTopology, joint_set: JointSet) -> str:
    """Points (B, R, 3) interpolated between lifted joints and landmarks, to which MeshNet's offsets are added."""
    if surface.joint_base is None:
        raise ValueError("network.joint_base is true, but the surface has no weights for it")
    root = graph.op("Gather", lifted, [joint_set.root_index], axis=1)
    base = graph.op("MatMul", surface.joint_base, graph.op("Sub", lifted, root))
    if offsets is None:
        return base
    if surface.landmark_base is None:
        raise ValueError("network.landmarks is more than 0, but the surface has no weights for them")
    return graph.op("Add", base, graph.op("MatMul", surface.landmark_base, offsets))


def _expected_errors(graph: OnnxGraph, log_errors: str, J: int) -> None:
    """Add the output `expected_errors_m` (B, J, 2) from the lifter's logarithms (B, 2 J + S)."""
    of_joints = graph.op("Slice", log_errors, [0], [2 * J], [1])
    graph.op("Reshape", graph.op("Exp", of_joints), [-1, J, 2], output="expected_errors_m")
    graph.results["expected_errors_m"] = ["B", J, 2]


def _outputs(graph: OnnxGraph, points: str, surface: MeshTopology) -> None:
    """Add the outputs `joints` and `vertices`, from the points (B, R, 3)."""
    graph.op("MatMul", surface.point_regressor(), points, output="joints")
    if surface.upsample_index is None:
        graph.op("Identity", points, output="vertices")
    else:
        _upsample(graph, points, surface)


def _upsample(graph: OnnxGraph, points: str, surface: MeshTopology) -> None:
    """Add `vertices` (B, V, 3) from points (B, R, 3); the coordinates of the whole batch are columns of one product."""
    upsampling = surface.upsampling()
    assert upsampling is not None
    assert surface.upsample_index is not None
    V, R = upsampling.shape
    # A vertex's first point is its nearest, and points are in the order of the hierarchy's tree: neighbouring rows of
    # the sorted matrix share columns.
    by_place = np.argsort(surface.upsample_index[:, 0], kind="stable")
    blocks = cut_rows(sp.csr_array(upsampling[by_place]), BLOCK_VERTICES)
    back = np.empty(V, np.int64)
    back[by_place] = np.arange(V)
    x = graph.op("Reshape", graph.op("Transpose", points, perm=[1, 0, 2]), [R, -1])
    x = graph.op("MatMul", blocks.weight, graph.op("Gather", x, blocks.columns, axis=0))
    x = graph.op("Reshape", x, [blocks.weight.shape[0] * blocks.weight.shape[1], -1, 3])
    graph.op("Transpose", graph.op("Gather", x, back, axis=0), perm=[1, 0, 2], output="vertices")
