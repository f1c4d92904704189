"""Reads a bundle file into NumPy arrays, without PyTorch; see `models.bundle.bundle` for the format."""

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
from pose2mesh.models.skinned_body import read_skinned_body, skinned_arrays

FORMAT = "pose2mesh-bundle"
VERSION = 1


@dataclass
class BundleFile:
    """Content of a bundle file.

    Attributes:
        path: The file.
        info: Description of the model.
        network: Sizes and inputs of the network.
        surface: The mesh topology that the network is built on.
        weights: Weights by their names in the state dict of `Pose2Mesh`; floats are converted to float32.
    """

    path: Path
    info: BundleInfo
    network: NetworkConfig
    surface: MeshTopology
    weights: dict[str, np.ndarray]


def read_bundle(name_or_path: str | Path) -> BundleFile:
    """Read `default` (the bundle that ships) or a file.

    Raises:
        InputError: the file does not exist, is truncated, is not a bundle, is of another version, or lacks tensors that
            its description requires.
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
    """Context in which failures are reported as faults of a bundle file that does not fit its own description.

    Raises:
        InputError: the block raised one of the usual errors of missing or misshapen tensors and settings.
    """
    where = f"{path}: the bundle does not fit its own description"
    try:
        yield
    except KeyError as error:
        raise InputError(f"{where}: {error} is missing or unknown") from error
    except (AttributeError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {one_line(error)}") from error


def _single(array: np.ndarray) -> np.ndarray:
    """Floats as float32."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _part(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a data type that NumPy lacks
        raise InputError(f"{path}: cannot be read as a bundle ({one_line(error)})") from error


def surface_arrays(surface: MeshTopology) -> dict[str, np.ndarray]:
    """A surface as named arrays, sparse matrices as row, column, value and shape; `_surface` is the inverse."""
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
    if surface.skinned is not None:
        arrays |= {f"skinned.{name}": array for name, array in skinned_arrays(surface.skinned).items()}
    sparse = {f"adjacency{level}": graph for level, graph in enumerate(surface.adjacency)}
    for name, matrix in {**sparse, "joint_regressor": sp.csr_array(surface.joint_regressor)}.items():
        edges = matrix.tocoo()
        arrays[f"{name}.row"] = edges.row.astype(np.int32)
        arrays[f"{name}.column"] = edges.col.astype(np.int32)
        arrays[f"{name}.value"] = edges.data.astype(np.float32)
        arrays[f"{name}.shape"] = np.array(matrix.shape, np.int32)
    return arrays


def _surface(arrays: dict[str, np.ndarray]) -> MeshTopology:
    """The inverse of `surface_arrays`."""

    def sparse(name: str) -> sp.csr_array:
        entries = (arrays[f"{name}.value"].astype(np.float64), (arrays[f"{name}.row"], arrays[f"{name}.column"]))
        return sp.csr_array(entries, shape=tuple(arrays[f"{name}.shape"].tolist()))

    levels = sum(name.startswith("adjacency") and name.endswith(".row") for name in arrays)
    upsample = arrays.get("upsample_weight")
    if upsample is not None:
        upsample = upsample.astype(np.float32)
        # Rounding to float16 changed the sums of the weights, which would move vertices far from the root.
        upsample[:, 0] += 1 - upsample.sum(1)
    landmarks = arrays.get("landmarks")
    skinned = _part("skinned.", arrays)
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
        skinned=read_skinned_body(skinned) if skinned else None,
    )
