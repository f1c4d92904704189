"""Run time by number of people and of vertices, and training throughput.

Each function is meant for its own process.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from limits import median_seconds
from torch import Tensor

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle_info import DEFAULT
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO, JointSet


def people_ms(counts: tuple[int, ...], device: str, threads: int, budget_s: float) -> dict[int, float]:
    """Milliseconds a person by number of people, with the bundle that ships: networks, cameras and statures."""
    torch.set_num_threads(threads)
    predictor = Predictor.load(DEFAULT, device)
    times = {}
    for count in counts:
        joints = 500 * torch.rand(count, len(predictor.joint_set), 2).numpy()
        confidence = torch.ones(count, len(predictor.joint_set)).numpy()
        seconds = median_seconds(lambda a=joints, b=confidence: predictor.recover_converted(a, b), device, budget_s)
        times[count] = 1000 * seconds / count
    return times


def vertices_ms(
    sizes: tuple[tuple[int, int], ...], config: NetworkConfig, batch: int, device: str, threads: int, budget_s: float
) -> dict[int, float]:
    """Milliseconds a person of a forward pass by number of vertices: one network on tori of increasing size."""
    torch.set_num_threads(threads)
    times = {}
    for rings, segments in sizes:
        surface = build_topology(Torus(rings, segments), COCO, config, None)
        network = Pose2Mesh(config, COCO, surface).to(device).eval()
        pixels = 500 * torch.rand(batch, len(COCO), 2, device=device)
        confidence = torch.ones(batch, len(COCO), device=device)
        with torch.inference_mode():
            seconds = median_seconds(lambda n=network, a=pixels, b=confidence: n(a, b), device, budget_s)
        times[rings * segments] = 1000 * seconds / batch
    return times


@dataclass(frozen=True)
class Torus:
    """A template mesh of any size for `build_topology`; a vertex has six neighbours, as nearly everywhere on a body."""

    rings: int
    segments: int

    @property
    def template(self) -> Tensor:
        u, v = torch.meshgrid(torch.arange(self.rings), torch.arange(self.segments), indexing="ij")
        u, v = 2 * torch.pi * u.flatten() / self.rings, 2 * torch.pi * v.flatten() / self.segments
        across = 1 + 0.4 * u.cos()
        return torch.stack([across * v.cos(), across * v.sin(), 0.4 * u.sin()], dim=1)

    @property
    def faces(self) -> Tensor:
        index = torch.arange(self.rings * self.segments).view(self.rings, self.segments)
        right, down = index.roll(-1, 1), index.roll(-1, 0)
        halves = (torch.stack([index, right, down], -1), torch.stack([right, right.roll(-1, 0), down], -1))
        return torch.stack(halves).reshape(-1, 3)

    def regressor(self, joint_set: JointSet) -> Tensor:
        V = self.rings * self.segments
        return torch.full((len(joint_set), V), 1 / V)


def training_rate(config: TrainConfig, device: str, threads: int, steps: int) -> dict[str, Any]:
    """Training throughput in samples a second, from data generation to the update of the weights, and its data share.

    Poses are sampled within joint limits, so that no motion clips are needed. Validation, checkpoints and log files are
    left out.
    """
    from pose2mesh.training.loop import take_step
    from pose2mesh.training.optimisers import build_optimiser
    from pose2mesh.training.pose2mesh_module import Pose2MeshModule
    from pose2mesh.training.pose2mesh_task import build_network, open_data_source

    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    config = replace(config, epochs=1)
    data_source = open_data_source(config)
    surface, network = build_network(config, data_source)
    data_source.prepare(torch.from_numpy(surface.points))
    module = Pose2MeshModule(config, network, data_source, torch.from_numpy(surface.point_faces))

    module.to(device)
    module.steps_per_epoch = steps + 1
    optimiser = build_optimiser(config.optimiser, module.trained)
    seconds = []
    for step in range(steps + 1):
        if step == 1:  # the first step is not measured
            drawing_s = module.data_wait_s
        began = time.perf_counter()
        take_step(module, module, optimiser, step)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    seconds = seconds[1:]
    drawing_s = module.data_wait_s - drawing_s
    return {
        "data_wait_share": drawing_s / sum(seconds),
        "samples_per_second": config.batch_size / statistics.median(seconds),
        "step_ms": 1000 * statistics.median(seconds),
        "step_ms_least": 1000 * min(seconds),
        "step_ms_most": 1000 * max(seconds),
        "batch": config.batch_size,
        "precision": config.precision,
    }
