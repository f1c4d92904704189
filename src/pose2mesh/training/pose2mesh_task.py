"""Pose2Mesh as a training task: data, mesh topology and network of a config, and the bundle at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.shape_basis import fit_shape_basis
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.dataset_source import open_dataset_source
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.disk import surface_bytes
from pose2mesh.training.finalize import finish
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pretrained import load_pretrained
from pose2mesh.training.task import Task, seed_generators

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
        self.surface, network = build_network(config, self.data_source)
        basis = None
        if config.network.shape_components:
            basis = fit_shape_basis(default_body(), config.network.shape_components)
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


def build_network(config: TrainConfig, data_source: DataSource) -> tuple[MeshTopology, Pose2Mesh]:
    """Build the mesh topology and an untrained network on it, both determined by the config and its seed."""
    joint_set = JOINT_SETS[config.joint_set]
    posed = None
    if config.network.finest > 0:
        posed = data_source.posed_bodies(SAMPLE_BODIES, torch.Generator().manual_seed(config.seed))
    surface = build_topology(data_source.body, joint_set, config.network, posed)
    return surface, Pose2Mesh(config.network, joint_set, surface)
