"""Builder of an ONNX graph from a network's weights, with NumPy and the `onnx` package alone."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pose2mesh.models.bundle.bundle_file import BundleFile

OPSET, IR_VERSION = 17, 8  # of 2022; newer runtimes accept them
BATCHNORM_EPSILON = 1e-5  # PyTorch's default

Value: TypeAlias = "str | np.ndarray | list[int] | float"


class LiftedNames(NamedTuple):
    """Names of a lifter's outputs in an ONNX graph; see `models.lifter.Lifted`. That of the joints must be `lifted`."""

    joints: str
    landmark_offsets: str | None
    shape: str | None = None
    log_errors: str | None = None


class OnnxGraph:
    """An ONNX graph under construction. Tensors are referred to by their names.

    Args:
        weights: Weights of the network by name; each is to be used exactly once.
        compact: See `network_graph.build`.
    """

    def __init__(self, weights: dict[str, np.ndarray], compact: bool) -> None:
        self.compact = compact
        self.weights = {name: array for name, array in weights.items() if not name.endswith("num_batches_tracked")}
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.optional_inputs: dict[str, list[str | int]] = {}
        self.results: dict[str, list[str | int]] = {}  # outputs that not every network has, with their shapes

    def constant(self, value: Value) -> str:
        """Name of a new constant; a name is returned as it is. Lists become int64, numbers float32."""
        if isinstance(value, str):
            return value
        kind = np.int64 if isinstance(value, list) else np.float32 if isinstance(value, float) else None
        array = np.asarray(value, kind)
        half = array.astype(np.float16) if self.compact and array.dtype == np.float32 and array.size > 1024 else None
        exact = half is not None and np.array_equal(half, array)
        name = f"constant_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(half if exact else array), name))
        return self.op("Cast", name, to=TensorProto.FLOAT) if exact else name

    def optional_input(self, name: str, default: np.ndarray) -> str:
        """Add an input (B, …) that may be left out, with its value in that case (1, …); returns its name."""
        self.initialisers.append(numpy_helper.from_array(default, name))
        # A dimension of its own: the runtime reuses memory of tensors that are of one size by their names.
        self.optional_inputs[name] = [f"B_{name}", *default.shape[1:]]
        return name

    def op(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.constant(value) for value in inputs], [output], **attributes))
        return output

    def linear(self, name: str, norm: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Weight (out, in) and bias (out,) of a linear layer, with the BatchNorm `norm` that follows it folded in.

        Raises:
            KeyError: there are no such weights.
        """
        weight, bias = self.weights.pop(f"{name}.weight"), self.weights.pop(f"{name}.bias")
        if not norm:
            return weight, bias
        scale, shift = self.batchnorm(norm)
        return weight * scale[:, None], bias * scale + shift

    def batchnorm(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A trained BatchNorm as one factor and one shift per channel.

        Raises:
            KeyError: there are no such weights.
        """
        weight, bias, mean, variance = (
            self.weights.pop(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(variance + np.float32(BATCHNORM_EPSILON))
        return scale, bias - mean * scale

    def count_layers(self, prefix: str) -> int:
        """How many numbered layers have weights left whose names begin with `prefix` and a dot."""
        start = len(prefix) + 1
        return len({name[start:].partition(".")[0] for name in self.weights if name.startswith(f"{prefix}.")})

    def refuse_unused(self) -> None:
        """Refuse weights that are left over.

        Raises:
            ValueError: names them.
        """
        if self.weights:
            raise ValueError(f"Unexpected key(s): {', '.join(self.weights)}")

    def model(self, bundle: BundleFile, J: int) -> onnx.ModelProto:
        """The finished model for `J` joints, with the inputs and outputs of `network_graph`."""
        V, F = len(bundle.surface.template), len(bundle.surface.faces)
        given: dict[str, list[str | int]] = {"pixels": ["B", J, 2], "confidence": ["B", J]}
        given |= self.optional_inputs
        results: dict[str, list[str | int]] = {"joints": ["B", J, 3], "vertices": ["B", V, 3], "lifted": ["B", J, 3]}
        results |= self.results | {"template": [V, 3]}
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
