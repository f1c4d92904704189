"""What a bundle file holds, in NumPy: the weights, the surface, what the model says of itself. See
`models.bundle.bundle`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from pose2mesh.errors import InputError, one_line
from pose2mesh.models.bundle.bundle_info import BundleInfo, find_bundle
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.network_config import NetworkConfig

FORMAT = "pose2mesh-bundle"
VERSION = 1


@dataclass
class BundleFile:
    """A bundle as read.

    Attributes:
        path: The file.
        info: What it says of itself.
        network: The network's sizes and inputs.
        surface: What the network is built on.
        weights: By their names in `Pose2Mesh`; floats are float32, whatever the file holds.
    """

    path: Path
    info: BundleInfo
    network: NetworkConfig
    surface: MeshTopology
    weights: dict[str, np.ndarray]


def read_bundle(name_or_path: str | Path) -> BundleFile:
    """Read `default` (the bundle that ships) or a file.

    Raises:
        InputError: no such file, cut short, not a bundle, of another version, or without what its description needs.
    """
    path = find_bundle(name_or_path)
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: not a pose2mesh bundle (no {FORMAT!r} in its metadata)")
    if metadata.get("version") != str(VERSION):
        raise InputError(f"{path}: bundle version {metadata.get('version')}, expected {VERSION}")
    with fitting(path):
        info = BundleInfo(**json.loads(metadata["info"]))
        network = NetworkConfig.from_bundle(info.config["network"])
        weights = {name: _single(array) for name, array in _part("weights.", tensors).items()}
        return BundleFile(path, info, network, _surface(_part("surface.", tensors)), weights)


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """A block that makes something of a bundle: what goes wrong in it is the file's fault.

    Raises:
        InputError: the block failed.
    """
    where = f"{path}: the bundle does not fit its own description"
    try:
        yield
    except KeyError as error:
        raise InputError(f"{where}: {error} is missing or unknown") from error
    except (AttributeError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {one_line(error)}") from error


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _part(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type of numbers that NumPy lacks
        raise InputError(f"{path}: cannot be read as a bundle ({one_line(error)})") from error


def surface_arrays(surface: MeshTopology) -> dict[str, np.ndarray]:
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
    if surface.landmarks is not None and surface.landmark_base is not None:
        arrays["landmarks"] = surface.landmarks.astype(np.int32)
        arrays["landmark_base"] = surface.landmark_base.astype(np.float32)
    sparse = {f"adjacency{level}": graph for level, graph in enumerate(surface.adjacency)}
    for name, matrix in {**sparse, "joint_regressor": sp.csr_array(surface.joint_regressor)}.items():
        edges = matrix.tocoo()
        arrays[f"{name}.row"] = edges.row.astype(np.int32)
        arrays[f"{name}.column"] = edges.col.astype(np.int32)
        arrays[f"{name}.value"] = edges.data.astype(np.float32)
        arrays[f"{name}.shape"] = np.array(matrix.shape, np.int32)
    return arrays


def _surface(arrays: dict[str, np.ndarray]) -> MeshTopology:
    def sparse(name: str) -> sp.csr_array:
        entries = (arrays[f"{name}.value"].astype(np.float64), (arrays[f"{name}.row"], arrays[f"{name}.column"]))
        return sp.csr_array(entries, shape=tuple(arrays[f"{name}.shape"].tolist()))

    levels = sum(name.startswith("adjacency") and name.endswith(".row") for name in arrays)
    upsample = arrays.get("upsample_weight")
    if upsample is not None:
        upsample = upsample.astype(np.float32)
        upsample[:, 0] += 1 - upsample.sum(1)  # float16 rounded them: without this, vertices far from the root move
    landmarks = arrays.get("landmarks")
    return MeshTopology(
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
        landmarks=None if landmarks is None else landmarks.astype(np.int64),
        landmark_base=arrays.get("landmark_base"),
    )
