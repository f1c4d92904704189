"""The lifters by name. Importing this module does not import PyTorch, so that ONNX inference can use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pose2mesh.errors import InputError
from pose2mesh.io.names import nearest

if TYPE_CHECKING:
    from pose2mesh.models.lifter import Lifter
    from pose2mesh.models.network_config import NetworkConfig
    from pose2mesh.models.onnx_graph.graph_builder import LiftedNames, OnnxGraph


# Arguments: the graph, the name of the input (B, J, C), the config, J. Adds the lifter's nodes.
# The weights are named as in the lifter's state dict, after `network_config.LIFTER_PREFIX`.
OnnxWriter: TypeAlias = "Callable[[OnnxGraph, str, NetworkConfig, int], LiftedNames]"


class LifterEntry(NamedTuple):
    """A lifter; both functions import its code on first use.

    Attributes:
        network: Returns the class.
        onnx_writer: Returns the function that writes its ONNX nodes; None for a lifter that only runs in PyTorch. Where
            that function's module does not import PyTorch, bundles run in ONNX Runtime without PyTorch; exported files
            always do.
    """

    network: Callable[[], type[Lifter]]
    onnx_writer: Callable[[], OnnxWriter] | None = None


def _posenet() -> type[Lifter]:
    from pose2mesh.models.posenet import PoseNet

    return PoseNet


def _posenet_onnx() -> OnnxWriter:
    from pose2mesh.models.onnx_graph.posenet_nodes import write_posenet

    return write_posenet


LIFTERS: dict[str, LifterEntry] = {
    "posenet": LifterEntry(_posenet, _posenet_onnx),
}


def find_lifter(name: str, source: str = "") -> LifterEntry:
    """A lifter by name; `source` stands before `network.lifter` in the error.

    Raises:
        InputError: there is none of that name; the nearest is named.
    """
    if name not in LIFTERS:
        raise InputError(f"{source}network.lifter {name!r} is not known; the nearest is {nearest(name, LIFTERS)!r}")
    return LIFTERS[name]


def find_onnx_writer(name: str, source: str = "") -> OnnxWriter:
    """The function that writes a lifter's ONNX nodes; arguments as for `find_lifter`.

    Raises:
        InputError: there is no lifter of that name, or it only runs in PyTorch.
    """
    writer = find_lifter(name, source).onnx_writer
    if writer is None:
        raise InputError(f"{source}network.lifter {name!r} has no ONNX form; expected --backend torch")
    return writer()
