"""Training and validation samples of the learned baselines, in numbered chunks of `CHUNK` samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.interface import Chunks, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.sample_store import SampleStore
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource

BENCHMARK_BACKGROUNDS = 1  # seed of background textures that are in no training image
_PRIOR_SEED = 11


def training_chunks(config: BaselineConfig, layer: BodyLayer, poses: PoseSource, network: LearnedBaseline) -> Chunks:
    """Chunks of a training run. With `pictures.distinct`, every pass over the images has another order of chunks."""
    rendering = replace(config.pictures, errors=config.pictures.errors and not network.exact_inputs)
    stream = SampleStream(layer.body, network.joint_set, poses, rendering, network.needs)
    source = stream if config.kept is None else SampleStore(stream, Path(config.kept))
    distinct = None if rendering.distinct is None else rendering.distinct // CHUNK

    def chunk(number: int) -> tuple[Observation, GroundTruth]:
        if distinct is not None:
            cycle, position = divmod(number, distinct)
            order = torch.Generator().manual_seed((config.seed << 24) + cycle)
            number = int(torch.randperm(distinct, generator=order)[position])
        return source.sample(number, config.seed)

    return chunk


def benchmark_rendering(input_: str, layer: BodyLayer, exact: bool = False) -> RenderingConfig:
    """How samples for evaluation are rendered: all have 3D labels.

    Args:
        input_: Whether 2D joints, maps and landmarks are ground truth (`gt`) or simulated detections (`noisy`).
        layer: Body layer, for its joint set.
        exact: Maps and landmarks are ground truth for `noisy`, too.
    """
    synthetic = SyntheticConfig(views=1, noise=measured_noise(input_, layer.joint_set))
    noisy = input_ == "noisy" and not exact
    return RenderingConfig(synthetic=synthetic, labelled=1.0, errors=noisy, backgrounds=BENCHMARK_BACKGROUNDS)


def validation_chunks(layer: BodyLayer, poses: PoseSource, network: LearnedBaseline, seed: int) -> Chunks:
    """Chunks of validation samples with noisy inputs."""
    rendering = benchmark_rendering("noisy", layer, network.exact_inputs)
    stream = SampleStream(layer.body, network.joint_set, poses, rendering, network.needs)
    return lambda number: stream.sample(number, seed)


def prior_bodies(config: BaselineConfig, poses: PoseSource, count: int) -> tuple[Tensor, Tensor]:
    """Orientations (count, 22, 3, 3) and phenotypes (count, 6) for `LearnedBaseline.prepare`."""
    generator = torch.Generator().manual_seed((config.seed << 8) + _PRIOR_SEED)
    orientations = poses.sample(count, generator)
    return orientations, config.pictures.synthetic.shapes.sample(count, generator)
