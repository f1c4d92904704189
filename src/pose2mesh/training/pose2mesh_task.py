"""Pose2Mesh as a training task: data, mesh topology and network of a config, and the bundle at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.bones import PARENTS
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.shape_basis import ShapeBasis, fit_shape_basis
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.dataset_source import open_dataset_source
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.skinned_body import SkinnedBody, bone_axes, fit_readout
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.disk import surface_bytes
from pose2mesh.training.finalize import finish
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pretrained import load_meshnet, load_pretrained, pretrained_landmarks
from pose2mesh.training.task import Task, seed_generators

READOUT_BODIES = 2000  # posed bodies that the readout of the pose is fitted to
SAMPLE_BODIES = 200  # posed bodies that the upsampling of a coarse mesh is fitted to


class Pose2MeshTask(Task):
    """See `training.task.Task`; the config and its seed determine all of it.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """

    config: TrainConfig
    module: Pose2MeshModule

    def __init__(self, config: TrainConfig) -> None:
        seed_generators(config.seed)
        self.config = config
        self.data_source = open_data_source(config)
        basis = open_shape_basis(config)
        self.surface, network = build_network(config, self.data_source, basis)
        self.data_source.prepare(wanted_points(self.surface, config.stage), basis)
        point_faces = torch.from_numpy(self.surface.point_faces)
        shape_size_m = None if basis is None else basis.size_m
        self.module = Pose2MeshModule(config, network, self.data_source, point_faces, shape_size_m)
        self.samples_per_epoch = self.data_source.samples_per_epoch
        self.validation_batches = self.data_source.validation_batches
        # Stage two by its surface, which still improves after the mesh's joints match the lifter's (first epochs).
        self.monitored = "val/surface_mm" if config.stage == "pose2mesh" else "val/lifted_mpjpe_mm"

    def start(self, say: Callable[[str], None]) -> None:
        whole = self.config.stage == "pose2mesh"
        if self.config.pretrained is not None:
            load_pretrained(self.module.network, Path(self.config.pretrained), whole, say)
        if self.config.pretrained_meshnet is not None:
            load_meshnet(self.module.network, Path(self.config.pretrained_meshnet), say)

    def bundle_bytes(self) -> int:
        return surface_bytes(self.surface)

    def finish(self, bundle: Path) -> None:
        finish(bundle, self.config, self.module.network, self.surface, self.data_source)


def wanted_points(surface: MeshTopology, stage: str) -> Tensor | None:
    """Vertices that supervise a stage: all points of the surface, the landmarks of a lifter, or none."""
    if stage == "pose2mesh":
        return torch.from_numpy(surface.points)
    return None if surface.landmarks is None else torch.from_numpy(surface.points[surface.landmarks])


def open_data_source(config: TrainConfig) -> DataSource:
    """Open the data sets of a config, or synthetic samples if it names none.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    data, joint_set = config.data, JOINT_SETS[config.joint_set]
    if data.sets:
        return open_dataset_source(data, joint_set, config.seed)
    body, poses = default_body(), pose_sources(data)
    return SyntheticSource(
        body, joint_set, poses, data.synthetic, data.samples_per_epoch, data.validation_samples, data.motions
    )


def open_shape_basis(config: TrainConfig) -> ShapeBasis | None:
    """The basis of the shapes that the network of a config predicts, or None."""
    if not config.network.shape_components:
        return None
    return fit_shape_basis(default_body(), config.network.shape_components)


def build_network(
    config: TrainConfig, data_source: DataSource, basis: ShapeBasis | None = None
) -> tuple[MeshTopology, Pose2Mesh]:
    """Build the mesh topology and an untrained network on it, both determined by the config and its seed.

    Args:
        config: The config.
        data_source: Its data source, whose training bodies the upsampling and the readout of the pose are fitted to.
        basis: `open_shape_basis` of the config.
    """
    joint_set = JOINT_SETS[config.joint_set]
    posed = None
    if config.network.finest > 0:
        posed = data_source.posed_bodies(SAMPLE_BODIES, torch.Generator().manual_seed(config.seed))
    chosen = None if config.pretrained is None else pretrained_landmarks(Path(config.pretrained), config.network)
    surface = build_topology(data_source.body, joint_set, config.network, posed, chosen)
    if config.network.skinned and basis is not None and isinstance(data_source, SyntheticSource):
        surface = replace(surface, skinned=fit_skinned_body(basis, data_source, surface.points, config.seed))
    return surface, Pose2Mesh(config.network, joint_set, surface)


def fit_skinned_body(basis: ShapeBasis, data_source: SyntheticSource, points: np.ndarray, seed: int) -> SkinnedBody:
    """The body of a network that reads its pose off points (R,) of the surface, fitted to training bodies."""
    parents, weights = np.array(PARENTS), data_source.body.body_bone_weights().numpy()
    axes = bone_axes(parents, basis.heads.numpy(), basis.vertices.numpy(), weights)
    generator = torch.Generator().manual_seed(seed + 1)
    posed, rotations = data_source.posed_points(READOUT_BODIES, torch.from_numpy(points), generator)
    return SkinnedBody(
        parents,
        basis.vertices.numpy(),
        basis.vertex_shapes.numpy(),
        basis.heads.numpy(),
        basis.head_shapes.numpy(),
        weights,
        axes,
        fit_readout(posed.numpy(), rotations.numpy(), axes),
        basis.phenotypes.numpy(),
    )
