"""Bundles: one `.safetensors` file that holds a trained model and all that inference needs beside it.

Tensors: the weights (in float16 where that is asked for), the body's faces, template, graphs, upsampling and joint
regressor. Metadata, as JSON text: the resolved config, the joint set, the training data and its licence, the measured
errors. Nothing in it is pickled, and loading needs neither the body model nor the training stack.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from pose2mesh.errors import InputError, one_line
from pose2mesh.files import replacing
from pose2mesh.models.pose2mesh import NetworkConfig, Pose2Mesh, Surface
from pose2mesh.skeletons import JOINT_SETS

FORMAT = "pose2mesh-bundle"
VERSION = 1
DEFAULT = "default"


@dataclass
class BundleInfo:
    """What a bundle says of itself.

    Attributes:
        name: Of the model.
        joint_set: The input joints.
        body: The body model whose mesh it gives.
        config: The resolved training config.
        data: What it was trained on.
        licence: Of the weights, as the data's licences allow.
        errors: Measured errors: name of the test to its metrics, in millimetres.
        stature_features: A weight for the logarithm of each predicted bone's length, and an offset: together the
            logarithm of the standing height they belong to; see `Recovery.stature`. Empty in a lifter's bundle.
    """

    name: str
    joint_set: str
    body: str
    config: dict[str, Any]
    data: str
    licence: str
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    stature_features: list[float] = field(default_factory=list)


@dataclass
class Bundle:
    """A model ready for use: the network in evaluation mode, its surface and what is known of it."""

    model: Pose2Mesh
    surface: Surface
    info: BundleInfo


def save_bundle(path: Path, bundle: Bundle, half: bool = True) -> None:
    """Write a bundle; `half` stores weights in float16. The write is atomic: the file is there whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, value in bundle.model.state_dict().items():
        # BatchNorm's running variance can exceed float16's range; the statistics are few.
        keep = not value.is_floating_point() or "running" in name
        tensors[f"weights.{name}"] = value if keep or not half else value.half()
    tensors |= {f"surface.{name}": torch.from_numpy(array) for name, array in _surface_arrays(bundle.surface).items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "info": json.dumps(vars(bundle.info))}
    with replacing(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
        partial.chmod(0o644)


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Load `default` (the bundle that ships) or a file.

    Raises:
        InputError: no such file, cut short, not a bundle, of another version, or its tensors do not fit its config.
    """
    path = resolve(name_or_path)
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: not a pose2mesh bundle (no {FORMAT!r} in its metadata)")
    if metadata.get("version") != str(VERSION):
        raise InputError(f"{path}: bundle version {metadata.get('version')}, expected {VERSION}")
    try:
        info = BundleInfo(**json.loads(metadata["info"]))
        surface = _surface(_part("surface.", tensors))
        model = Pose2Mesh(NetworkConfig(**info.config["network"]), JOINT_SETS[info.joint_set], surface)
        weights = _part("weights.", tensors)
        model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in weights.items()})
    except KeyError as error:
        raise InputError(
            f"{path}: the bundle does not fit its own description: {error} is missing or unknown"
        ) from error
    except (AttributeError, IndexError, TypeError, ValueError, RuntimeError) as error:
        what = one_line(error)
        raise InputError(f"{path}: the bundle does not fit its own description: {what}") from error
    return Bundle(model.eval(), surface, info)


def _part(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def resolve(name_or_path: str | Path) -> Path:
    """The file of a bundle: the one that ships for `default`, else the path itself.

    Raises:
        InputError: there is no such file.
    """
    if str(name_or_path) == DEFAULT:
        return Path(str(files("pose2mesh").joinpath("weights", "default.safetensors")))
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(f"{path}: no such bundle; expected {DEFAULT!r} or a .safetensors file")
    return path


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a bundle ({one_line(error)})") from error


def _surface_arrays(surface: Surface) -> dict[str, np.ndarray]:
    """A surface as arrays by name, sparse ones as row, column, value and shape; `_surface` is the way back."""
    arrays = {
        "faces": surface.faces.astype(np.int32),
        "template": surface.template.astype(np.float32),
        "nodes": surface.nodes.astype(np.int32),
        "points": surface.points.astype(np.int32),
        "point_faces": surface.point_faces.astype(np.int32),
    }
    if surface.upsample_index is not None and surface.upsample_weight is not None:
        small = len(surface.points) <= np.iinfo(np.int16).max
        arrays["upsample_index"] = surface.upsample_index.astype(np.int16 if small else np.int32)
        arrays["upsample_weight"] = surface.upsample_weight.astype(np.float16)
    if surface.joint_base is not None:
        arrays["joint_base"] = surface.joint_base.astype(np.float32)
    sparse = {f"adjacency{level}": graph for level, graph in enumerate(surface.adjacency)}
    for name, matrix in {**sparse, "joint_regressor": sp.csr_array(surface.joint_regressor)}.items():
        edges = matrix.tocoo()
        arrays[f"{name}.row"] = edges.row.astype(np.int32)
        arrays[f"{name}.column"] = edges.col.astype(np.int32)
        arrays[f"{name}.value"] = edges.data.astype(np.float32)
        arrays[f"{name}.shape"] = np.array(matrix.shape, np.int32)
    return arrays


def _surface(tensors: dict[str, Tensor]) -> Surface:
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}

    def sparse(name: str) -> sp.csr_array:
        entries = (arrays[f"{name}.value"].astype(np.float64), (arrays[f"{name}.row"], arrays[f"{name}.column"]))
        return sp.csr_array(entries, shape=tuple(arrays[f"{name}.shape"].tolist()))

    levels = sum(name.startswith("adjacency") and name.endswith(".row") for name in arrays)
    upsample = arrays.get("upsample_weight")
    if upsample is not None:
        upsample = upsample.astype(np.float32)
        upsample[:, 0] += 1 - upsample.sum(1)  # float16 rounded them: without this, vertices far from the root move
    return Surface(
        faces=arrays["faces"],
        template=arrays["template"],
        adjacency=[sparse(f"adjacency{level}") for level in range(levels)],
        nodes=arrays["nodes"].astype(np.int64),
        points=arrays["points"].astype(np.int64),
        point_faces=arrays["point_faces"].astype(np.int64),
        upsample_index=arrays.get("upsample_index"),
        upsample_weight=upsample,
        joint_regressor=sparse("joint_regressor").toarray().astype(np.float32),
        joint_base=arrays.get("joint_base"),
    )
