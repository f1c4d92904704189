"""Reads published checkpoints of the reference implementation of Pose2Mesh, without executing pickled code.

The networks of the reference compute the same functions as ours, with other names and layouts:

- The unit of PoseNet's last layer is the millimetre; ours is `network.posenet_unit_m`.
- The linear layer of a Chebyshev convolution takes all K polynomials of the first channel, then of the second; ours
  takes all channels of the first polynomial, then of the second.
- The joint graph has an edge from each joint to itself, and its Laplacian is not rescaled, as here with
  `network.spectrum: published` (`graph.laplacian.joint_laplacian`).

The layout of the checkpoints is taken from the public source, github.com/hongsukchoi/Pose2Mesh_RELEASE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh

_LIFTER, _MESH = "pose_lifter.", "pose2mesh."
# A layer of the reference's PoseNet that its forward pass does not use.
_UNUSED = "batch_norm1."


@dataclass(frozen=True)
class ReferenceCheckpoint:
    """Content of a checkpoint.

    Attributes:
        source: The file, for messages.
        posenet: Parameters of its PoseNet, by the reference's names.
        meshnet: Parameters of its MeshNet, likewise; empty in the checkpoint of a PoseNet alone.
        epoch: The epoch after which it was written, or None.
    """

    source: str
    posenet: dict[str, Tensor]
    meshnet: dict[str, Tensor]
    epoch: int | None


def read_reference(path: Path) -> ReferenceCheckpoint:
    """Read a `.pth.tar` file: tensors, plain containers and the numbers of its logs. No code in it is executed.

    Raises:
        InputError: the file does not exist, is truncated, has other pickled objects, or is no such checkpoint.
    """
    content = _load(path)
    state = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(state, Mapping):
        found = f"keys {', '.join(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: model_state_dict is missing; found {found}")
    # Training on several GPUs adds the prefix of `DataParallel`.
    state = {str(name).removeprefix("module."): value for name, value in state.items()}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{path}: model_state_dict.{name} is {type(value).__name__}, expected a tensor")
    epoch = content.get("epoch")
    parts = [
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for prefix in (_LIFTER, _MESH)
    ]
    if not parts[0] and "linear_stages.0.w1.weight" in state:  # of its first stage
        parts = [state, {}]
    if not parts[0]:
        raise InputError(
            f"{path}: model_state_dict is not of the reference's PoseNet or whole network; expected names that begin "
            f"with linear_stages. or {_LIFTER}, found {', '.join(list(state)[:3]) or 'none'}"
        )
    return ReferenceCheckpoint(str(path), parts[0], parts[1], int(epoch) if isinstance(epoch, int | float) else None)


class _Dtype:
    """Replaces `numpy.dtype` while unpickling; it only keeps the name."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass


def _number(dtype: _Dtype, data: bytes) -> float:
    """Replaces the constructor of NumPy scalars, which the reference's error logs contain, while unpickling."""
    if not re.fullmatch(r"[fiub][1248]", dtype.name):
        raise ValueError(f"a NumPy scalar of type {dtype.name}")
    return float(np.frombuffer(data, np.dtype(dtype.name).newbyteorder("<"))[0])


def _load(path: Path) -> Any:
    """Content of a checkpoint file, restricted to tensors, containers and numbers."""
    stand_ins: list[Any] = [(_Dtype, "numpy.dtype")]
    stand_ins += [(_number, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # a damaged pickle can raise almost anything
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is not None:
            raise InputError(
                f"{path}: refused, for it asks to run {refused[1]}; expected tensors and numbers alone"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason})") from error


def load_posenet(network: Pose2Mesh, reference: ReferenceCheckpoint) -> None:
    """Load the reference's PoseNet into a network.

    Raises:
        InputError: the network has another lifter or other inputs, or a parameter is missing, left over or of another
            shape.
    """
    if network.config.lifter != "posenet":
        raise InputError(f"{reference.source}: network.lifter is {network.config.lifter!r}, expected 'posenet'")
    for key in ("confidence_input", "isotropic"):
        if getattr(network.config, key):
            raise InputError(f"{reference.source}: network.{key} is true, expected false for the reference's weights")
    names = posenet_names(network.config.posenet_blocks)
    state = {name: value for name, value in reference.posenet.items() if not name.startswith(_UNUSED)}
    prefix = _LIFTER if reference.meshnet else ""
    joints = f"joint set {network.joint_set.name!r} of {len(network.joint_set)} joints"
    converted = _converted(network.posenet, names, state, f"{reference.source}: {prefix}", joints)
    for name in ("head.weight", "head.bias"):
        converted[name] = converted[name] * (0.001 / network.config.posenet_unit_m)
    network.posenet.load_state_dict(converted)


def load_meshnet(network: Pose2Mesh, reference: ReferenceCheckpoint) -> None:
    """Load the reference's MeshNet into a network.

    The weights are only valid on the graphs they were trained on, which the file does not hold. Only the number of
    nodes and the definition of the Laplacians can be checked here.

    Raises:
        InputError: the file has no MeshNet, the network's Laplacians are defined otherwise, or a parameter is missing,
            left over or of another shape, for instance because the hierarchy has other sizes.
    """
    config, source = network.config, reference.source
    if not reference.meshnet:
        raise InputError(f"{source}: holds a PoseNet alone; expected a config of stage posenet")
    if config.spectrum != "published":
        raise InputError(f"{source}: network.spectrum is {config.spectrum!r}, expected 'published' for its MeshNet")
    if config.joint_base:
        raise InputError(f"{source}: network.joint_base is true, expected false for the reference's weights")
    names, sizes = meshnet_names(config), f"a coarsest graph of {network.meshnet.coarse_size} nodes"
    converted = _converted(network.meshnet, names, reference.meshnet, f"{source}: {_MESH}", sizes)
    for name, value in converted.items():
        if name.endswith("linear.weight"):
            converted[name] = _by_polynomial(value, config.chebyshev_order)
    network.meshnet.load_state_dict(converted)


def _by_polynomial(weight: Tensor, order: int) -> Tensor:
    """Columns c·K + k of a convolution's weight (C_out, C·K) → columns k·C + c."""
    out, columns = weight.shape
    return weight.reshape(out, columns // order, order).transpose(1, 2).reshape(out, columns)


def posenet_names(blocks: int) -> dict[str, str]:
    """Modules of our PoseNet → modules of the reference's."""
    names = {"lift": "w1", "head": "w2"}
    for index in range(blocks):
        for place, part in ((0, "batch_norm1"), (3, "w1"), (4, "batch_norm2"), (7, "w2")):
            names[f"blocks.{index}.layers.{place}"] = f"linear_stages.{index}.{part}"
    return names


def meshnet_names(config: NetworkConfig) -> dict[str, str]:
    """Modules of our MeshNet → modules of the reference's, which numbers all convolutions consecutively."""
    layers = [f"joint_layers.{index}" for index in range(len(config.joint_widths))]
    for block, widths in enumerate(config.block_widths):
        layers += [f"blocks.{block}.layers.{index}" for index in range(len(widths))]
    layers.append("head")
    names = {"to_mesh": "fc", "out.linear": f"cl.{len(layers)}"}
    for index, layer in enumerate(layers):
        names |= {f"{layer}.convolution.linear": f"cl.{index}", f"{layer}.norm": f"bn.{index}"}
    return names


def _converted(
    module: torch.nn.Module, names: dict[str, str], state: dict[str, Tensor], where: str, sizes: str
) -> dict[str, Tensor]:
    """The reference's parameters under our names, with checked shapes; `where` and `sizes` are for messages."""
    values, used = {}, set()
    for own, value in module.state_dict().items():
        layer, _, kind = own.rpartition(".")
        name = f"{names[layer]}.{kind}"
        if kind == "num_batches_tracked":  # not written by old versions of PyTorch, and not used
            values[own] = value
        elif name not in state:
            raise InputError(f"{where}{name} is missing, expected {tuple(value.shape)}")
        elif state[name].shape != value.shape:
            found, expected = tuple(state[name].shape), tuple(value.shape)
            raise InputError(f"{where}{name} is {found}, expected {expected} for {sizes}")
        else:
            values[own] = state[name].to(value.dtype)
        used.add(name)
    left = sorted(state.keys() - used)
    if left:
        raise InputError(f"{where}{left[0]} has no place in this network; expected a config with as many layers")
    return values
