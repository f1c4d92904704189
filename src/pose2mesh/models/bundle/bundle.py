"""Saves and loads bundles: one `.safetensors` file with a trained model and all other data that inference needs.

Tensors: the weights (by default in float16), and the body's faces, template, graphs, upsampling and joint regressor.
Metadata, as JSON text: the resolved config, the joint set, the training data and its licence, the measured errors.
Nothing in it is pickled, and loading needs neither the body model nor the training code.

This module converts between a file and a network; `models.bundle.bundle_file` reads the same files without PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pose2mesh.io.atomic_write import replacing
from pose2mesh.models.bundle.bundle_file import FORMAT, VERSION, fitting, read_bundle, surface_arrays
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS


@dataclass
class Bundle:
    """A trained model: the network in evaluation mode, the surface that it is built on, and its description."""

    model: Pose2Mesh
    surface: MeshTopology
    info: BundleInfo


def save_bundle(path: Path, bundle: Bundle, half: bool = True) -> None:
    """Write a bundle atomically; `half` stores the weights in float16."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, value in bundle.model.state_dict().items():
        # BatchNorm's running variance can exceed the range of float16, and takes little space.
        keep = not value.is_floating_point() or "running" in name
        tensors[f"weights.{name}"] = value if keep or not half else value.half()
    tensors |= {f"surface.{name}": torch.from_numpy(array) for name, array in surface_arrays(bundle.surface).items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "info": json.dumps(vars(bundle.info))}
    with replacing(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
        partial.chmod(0o644)


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Load `default` (the bundle that ships) or a file.

    Raises:
        InputError: as `read_bundle`, or the tensors do not fit the config.
    """
    read = read_bundle(name_or_path)
    with fitting(read.path):
        model = Pose2Mesh(read.network, JOINT_SETS[read.info.joint_set], read.surface)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in read.weights.items()})
    return Bundle(model.eval(), read.surface, read.info)
