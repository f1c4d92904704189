"""Pose2Mesh as the task of a run: people, surface and network as a config says, and the bundle made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from pose2mesh.body_models.default_body import default_body
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.dataset_source import open_dataset_source
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.models.mesh_topology import MeshTopology, build_surface
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.disk import surface_bytes
from pose2mesh.training.finalize import finish
from pose2mesh.training.pose2mesh_module import Pose2MeshModule
from pose2mesh.training.pretrained import load_pretrained
from pose2mesh.training.task import Task

SAMPLE_BODIES = 200  # posed bodies that a coarse surface's linear step is fitted to


class Pose2MeshTask(Task):
    """See `training.task.Task`: everything is decided by the config and its seed.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """

    config: TrainConfig
    module: Pose2MeshModule

    def __init__(self, config: TrainConfig) -> None:
        L.seed_everything(config.seed, verbose=False)
        self.config = config
        self.supply = open_supply(config)
        self.surface, network = build_network(config, self.supply)
        self.supply.prepare(wanted_points(self.surface, config.stage))
        self.module = Pose2MeshModule(config, network, self.supply, torch.from_numpy(self.surface.point_faces))
        self.people, self.validation_batches = self.supply.samples_per_epoch, self.supply.validation_batches
        # The surface in stage two: its joints follow the lifter's from the first epochs on, while it still improves.
        self.monitored = "val/surface_mm" if config.stage == "pose2mesh" else "val/lifted_mpjpe_mm"

    def start(self, say: Callable[[str], None]) -> None:
        whole = self.config.stage == "pose2mesh"
        if self.config.pretrained is not None:
            load_pretrained(self.module.network, Path(self.config.pretrained), whole, say)

    def bundle_bytes(self) -> int:
        return surface_bytes(self.surface)

    def finish(self, bundle: Path) -> None:
        finish(bundle, self.config, self.module.network, self.surface, self.supply)


def wanted_points(surface: MeshTopology, stage: str) -> Tensor | None:
    """Which vertices a stage learns from: all points of the surface, the landmarks of a lifter, or none."""
    if stage == "pose2mesh":
        return torch.from_numpy(surface.points)
    return None if surface.landmarks is None else torch.from_numpy(surface.points[surface.landmarks])


def open_supply(config: TrainConfig) -> DataSource:
    """Where a config's people come from.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    data, joint_set = config.data, JOINT_SETS[config.joint_set]
    if data.sets:
        return open_dataset_source(data, joint_set, config.seed)
    people, validation = data.samples_per_epoch, data.validation_samples
    body, poses = default_body(), pose_sources(data)
    return SyntheticSource(body, joint_set, poses, data.synthetic, people, validation, data.motions)


def build_network(config: TrainConfig, supply: DataSource) -> tuple[MeshTopology, Pose2Mesh]:
    """The surface and a fresh network on it, both decided by the config and its seed."""
    joint_set = JOINT_SETS[config.joint_set]
    posed = None
    if config.network.finest > 0:
        posed = supply.posed_bodies(SAMPLE_BODIES, torch.Generator().manual_seed(config.seed))
    surface = build_surface(supply.body, joint_set, config.network, posed)
    return surface, Pose2Mesh(config.network, joint_set, surface)
