"""Writes a TFLite model as an ONNX model; the part that the scripts which convert MediaPipe's networks share.

Nothing is changed but the layout: tensors become channels first, as ONNX has them, weights stay in float16, and sparse
weights are written out. The images that the ONNX files take are bytes, which they scale to the networks' range.
Needs `pip install tflite`, which reads the format; TensorFlow is not needed.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8


class Network(NamedTuple):
    """A network of a wheel: its file there and its SHA-256, the range of its input, names for its outputs."""

    member: str
    sha256: str
    scale: tuple[float, float]
    outputs: list[str]


def convert_wheel(wheel_path: Path, networks: dict[str, Network], folder: Path) -> None:
    """Write the networks of a wheel as ONNX files, and print their sizes and digests.

    Args:
        wheel_path: The wheel.
        networks: The networks by the names of the ONNX files.
        folder: The folder of these files, made if need be.

    Raises:
        SystemExit: a network of the wheel has another digest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel_path) as wheel:
        for name, network in networks.items():
            data = wheel.read(network.member)
            if (found := hashlib.sha256(data).hexdigest()) != network.sha256:
                sys.exit(f"{wheel_path}: {network.member} has SHA-256 {found}; expected {network.sha256}")
            model = Converter(data).convert(name.removesuffix(".onnx"), network.scale, network.outputs)
            content = model.SerializeToString()
            (folder / name).write_bytes(content)
            print(f"{name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


class Converter:
    """Writes the graph of a TFLite model as an ONNX model, channels first, for any number of images.

    Args:
        data: The TFLite file.
    """

    def __init__(self, data: bytes) -> None:
        import tflite

        self.tflite = tflite
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.operators = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.arrays: dict[int, NDArray[Any]] = {}  # constants, also those that operators make of constants
        self.names: dict[int, str] = {}  # ONNX name of each tensor that an image flows through

    def convert(self, name: str, scale: tuple[float, float], outputs: list[str]) -> onnx.ModelProto:
        """The ONNX model; see the file's headline.

        Raises:
            ValueError: an operator, activation or layout that these networks do not have.
        """
        start = int(self.graph.InputsAsNumpy()[0])
        size = self.shape(start)[1]
        low, high = scale
        pixels = self.add("Cast", "image", to=TensorProto.FLOAT)
        scaled = self.add("Mul", pixels, self.constant(np.float32((high - low) / 255)))
        shifted = self.add("Add", scaled, self.constant(np.float32(low))) if low else scaled
        self.names[start] = self.add("Transpose", shifted, perm=[0, 3, 1, 2])
        for index in range(self.graph.OperatorsLength()):
            self.operator(self.graph.Operators(index))
        results = []
        for tensor, output in zip(self.graph.OutputsAsNumpy(), outputs, strict=True):
            self.nodes.append(helper.make_node("Identity", [self.names[int(tensor)]], [output]))
            shape = self.shape(int(tensor))
            ranks = [shape[0], shape[3], *shape[1:3]] if len(shape) == 4 else shape
            results.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["B", *map(int, ranks[1:])]))
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", int(size), int(size), 3])
        graph = helper.make_graph(self.nodes, name, [image], results, self.initialisers)
        model = helper.make_model(
            graph, producer_name="pose2mesh", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def operator(self, operator: Any) -> None:
        """Write one operator."""
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = self.operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, output = [int(each) for each in operator.InputsAsNumpy()], int(operator.OutputsAsNumpy()[0])
        if kind == "DEQUANTIZE":
            self.arrays[output] = self.array(inputs[0])  # stays float16, cast where it is used
        elif kind == "DENSIFY":
            self.arrays[output] = self.dense(inputs[0])
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.convolution(kind, operator, inputs, output)
        elif kind == "ADD":
            options = self.options(operator, self.tflite.AddOptions())
            total = self.add("Add", *(self.names[each] for each in inputs))
            self.names[output] = self.activated(total, options.FusedActivationFunction())
        elif kind == "PAD":
            self.names[output] = self.padded(inputs, self.array(inputs[1]))
        elif kind == "MAX_POOL_2D":
            options = self.options(operator, self.tflite.Pool2DOptions())
            window, step = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
            pads = self.same_pads(inputs[0], window, step, options.Padding())
            pooled = self.add("MaxPool", self.names[inputs[0]], kernel_shape=window, strides=step, pads=pads)
            self.names[output] = self.activated(pooled, options.FusedActivationFunction())
        elif kind == "RESIZE_BILINEAR":
            self.names[output] = self.resized(operator, inputs[0], output)
        elif kind == "DEPTH_TO_SPACE":
            block = self.options(operator, self.tflite.DepthToSpaceOptions()).BlockSize()
            self.names[output] = self.add("DepthToSpace", self.names[inputs[0]], blocksize=block, mode="DCR")
        elif kind == "RESHAPE":
            channels_last = self.add("Transpose", self.names[inputs[0]], perm=[0, 2, 3, 1])
            shape = np.array([0, -1, *self.shape(output)[2:]] if len(self.shape(output)) > 2 else [0, -1], np.int64)
            self.names[output] = self.add("Reshape", channels_last, self.constant(shape))
        elif kind == "CONCATENATION":
            axis = self.options(operator, self.tflite.ConcatenationOptions()).Axis()
            self.names[output] = self.add("Concat", *(self.names[each] for each in inputs), axis=axis)
        elif kind == "LOGISTIC":
            self.names[output] = self.add("Sigmoid", self.names[inputs[0]])
        elif kind == "PRELU":
            slope = self.array(inputs[1]).reshape(-1, 1, 1)
            self.names[output] = self.add("PRelu", self.names[inputs[0]], self.weight(slope))
        elif kind == "MEAN" and sorted(self.array(inputs[1]).ravel()) == [1, 2]:
            kept = int(self.options(operator, self.tflite.ReducerOptions()).KeepDims())
            self.names[output] = self.add("ReduceMean", self.names[inputs[0]], axes=[2, 3], keepdims=kept)
        elif kind == "FULLY_CONNECTED":
            options = self.options(operator, self.tflite.FullyConnectedOptions())
            weight, bias = (self.weight(self.array(each)) for each in inputs[1:])
            product = self.add("Gemm", self.names[inputs[0]], weight, bias, transB=1)
            self.names[output] = self.activated(product, options.FusedActivationFunction())
        else:
            raise ValueError(f"operator {kind} is not among those of MediaPipe's networks")

    def convolution(self, kind: str, operator: Any, inputs: list[int], output: int) -> None:
        depthwise = kind == "DEPTHWISE_CONV_2D"
        table = self.tflite.DepthwiseConv2DOptions() if depthwise else self.tflite.Conv2DOptions()
        options = self.options(operator, table)
        weight, bias = self.array(inputs[1]), self.array(inputs[2])
        # TFLite: (out, h, w, in), depthwise (1, h, w, out); ONNX: (out, in, h, w), depthwise (out, 1, h, w).
        weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
        step = options.StrideH(), options.StrideW()
        self.names[output] = self.activated(
            self.add(
                "Conv",
                self.names[inputs[0]],
                self.weight(weight),
                self.weight(bias),
                strides=step,
                pads=self.same_pads(inputs[0], weight.shape[2:], step, options.Padding()),
                group=len(weight) if depthwise else 1,
            ),
            options.FusedActivationFunction(),
        )

    def padded(self, inputs: list[int], amounts: NDArray[Any]) -> str:
        order = [0, 3, 1, 2]
        pads = np.concatenate([amounts[order, 0], amounts[order, 1]]).astype(np.int64)
        return self.add("Pad", self.names[inputs[0]], self.constant(pads))

    def resized(self, operator: Any, source: int, output: int) -> str:
        options = self.options(operator, self.tflite.ResizeBilinearOptions())
        if options.AlignCorners():
            mode = "align_corners"
        else:
            mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        factors = np.array(self.shape(output)[1:3]) / self.shape(source)[1:3]
        scales = self.constant(np.array([1, 1, *factors], np.float32))
        return self.add("Resize", self.names[source], "", scales, mode="linear", coordinate_transformation_mode=mode)

    def same_pads(self, source: int, window: Any, step: tuple[int, int], padding: int) -> list[int]:
        """ONNX pads (top, left, bottom, right) of TFLite's SAME padding, which puts the odd pixel last; 0 for VALID."""
        if padding == self.tflite.Padding.VALID:
            return [0, 0, 0, 0]
        sizes = self.shape(source)[1:3]
        totals = [max((-(-n // s) - 1) * s + int(k) - n, 0) for n, k, s in zip(sizes, window, step, strict=True)]
        before = [total // 2 for total in totals]
        return [*map(int, before), *(int(total - first) for total, first in zip(totals, before, strict=True))]

    def activated(self, name: str, function: int) -> str:
        functions = self.tflite.ActivationFunctionType
        if function == functions.NONE:
            return name
        if function == functions.RELU:
            return self.add("Relu", name)
        if function == functions.RELU6:
            return self.add("Clip", name, self.constant(np.float32(0)), self.constant(np.float32(6)))
        raise ValueError(f"activation {function} is not among those of MediaPipe's networks")

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, array: Any) -> str:
        name = f"constant_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, array: NDArray[Any]) -> str:
        """A weight, in float16 where it was; the runtime casts it once, when the file is loaded."""
        name = self.constant(array)
        return name if array.dtype == np.float32 else self.add("Cast", name, to=TensorProto.FLOAT)

    def shape(self, tensor: int) -> list[int]:
        return [int(each) for each in self.graph.Tensors(tensor).ShapeAsNumpy()]

    def array(self, tensor: int) -> NDArray[Any]:
        """A constant tensor."""
        if tensor not in self.arrays:
            self.arrays[tensor] = self.values(tensor).reshape(self.shape(tensor))
        return self.arrays[tensor]

    def values(self, tensor: int) -> NDArray[Any]:
        found = self.graph.Tensors(tensor)
        types = self.tflite.TensorType
        kinds: dict[int, Any] = {types.FLOAT32: np.float32, types.FLOAT16: np.float16, types.INT32: np.int32}
        return self.model.Buffers(found.Buffer()).DataAsNumpy().view(kinds[found.Type()])

    def dense(self, tensor: int) -> NDArray[Any]:
        """A sparse tensor, written out.

        TFLite stores it level by level, in the order of `TraversalOrder`: a dense level has every index of its
        dimension, a sparse one lists them per entry of the level above (CSR). Blocks are further levels at the end.
        """
        sparsity, shape = self.graph.Tensors(tensor).Sparsity(), self.shape(tensor)
        order = [int(each) for each in sparsity.TraversalOrderAsNumpy()]
        blocks = [int(each) for each in sparsity.BlockMapAsNumpy()] if sparsity.BlockMapLength() else []
        positions, coordinates = np.zeros(1, np.int64), np.zeros((1, 0), np.int64)
        block_sizes = dict.fromkeys(range(len(shape)), 1)
        for level in range(len(order)):
            metadata = sparsity.DimMetadata(level)
            if metadata.Format() == self.tflite.DimensionType.DENSE:
                size = metadata.DenseSize()
                counts, index = np.full(len(positions), size), np.tile(np.arange(size), len(positions))
                following = np.repeat(positions * size, size) + index
                if order[level] >= len(shape):
                    block_sizes[blocks[order[level] - len(shape)]] = size
            else:
                segments, indices = sparse_level(self.tflite, metadata)
                counts = segments[positions + 1] - segments[positions]
                starts = np.repeat(segments[positions] - np.cumsum(counts) + counts, counts)
                following = starts + np.arange(counts.sum())
                index = indices[following]
            coordinates = np.column_stack([np.repeat(coordinates, counts, axis=0), index])
            positions = following
        place = np.zeros((len(positions), len(shape)), np.int64)
        for level, dimension in enumerate(order):
            if dimension < len(shape):
                place[:, dimension] += coordinates[:, level] * block_sizes[dimension]
            else:
                place[:, blocks[dimension - len(shape)]] += coordinates[:, level]
        out = np.zeros(shape, np.float16)
        out[tuple(place.T)] = self.values(tensor)[positions]
        return out

    @staticmethod
    def options(operator: Any, table: Any) -> Any:
        """The operator's options, read into a table of their type."""
        found = operator.BuiltinOptions()
        table.Init(found.Bytes, found.Pos)
        return table


def sparse_level(tflite: Any, metadata: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Segments and indices of a sparse level, whose integers are of 1, 2 or 4 bytes."""
    tables = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}
    found = []
    kinds = (metadata.ArraySegmentsType(), metadata.ArrayIndicesType())
    for kind, stored in zip(kinds, (metadata.ArraySegments(), metadata.ArrayIndices()), strict=True):
        table = tables[kind]()
        table.Init(stored.Bytes, stored.Pos)
        found.append(table.ValuesAsNumpy().astype(np.int64))
    return found[0], found[1]
