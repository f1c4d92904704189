"""ONNX nodes of PoseNet (`models.posenet`)."""

from __future__ import annotations

from pose2mesh.models.network_config import LIFTER_PREFIX, NetworkConfig
from pose2mesh.models.onnx_graph.graph_builder import LiftedNames, OnnxGraph


def write_posenet(graph: OnnxGraph, x: str, config: NetworkConfig, joints: int) -> LiftedNames:
    """Add PoseNet's nodes; see `models.lifter_registry.OnnxWriter` for the arguments and the result.

    Raises:
        KeyError: a weight is missing.
    """

    def linear(x: str, name: str, norm: str = "") -> str:
        weight, bias = graph.linear(LIFTER_PREFIX + name)
        if not norm:
            return graph.op("Gemm", x, weight, bias, transB=1)
        scale, shift = graph.batchnorm(LIFTER_PREFIX + norm)
        # Multiplied when the file is loaded, so that the weight in the file stays exactly representable in float16.
        return graph.op("Gemm", x, graph.op("Mul", weight, scale[:, None]), bias * scale + shift, transB=1)

    x = linear(graph.op("Flatten", x), "lift")
    for block in range(config.posenet_blocks):
        layers = f"blocks.{block}.layers"
        scale, shift = graph.batchnorm(f"{LIFTER_PREFIX}{layers}.0")
        y = graph.op("Relu", graph.op("Add", graph.op("Mul", x, scale), shift))
        y = graph.op("Relu", linear(y, f"{layers}.3", f"{layers}.4"))
        x = graph.op("Add", x, linear(y, f"{layers}.7"))

    def metres(name: str, count: int, output: str = "") -> str:
        points = graph.op("Mul", linear(x, name), config.posenet_unit_m)
        return graph.op("Reshape", points, [-1, count, 3], output=output)

    log_errors = None
    if config.expected_errors:
        scale, shift = graph.batchnorm(f"{LIFTER_PREFIX}error_head.0")
        y = graph.op("Relu", graph.op("Add", graph.op("Mul", x, scale), shift))
        log_errors = linear(graph.op("Relu", linear(y, "error_head.2")), "error_head.4")
    return LiftedNames(
        metres("head", joints, "lifted"),
        metres("landmark_head", config.landmarks) if config.landmarks else None,
        linear(x, "shape_head") if config.shape_components else None,
        log_errors,
    )
