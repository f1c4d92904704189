"""The people that learned baselines are trained and validated on, in numbered chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.observation import GroundTruth, LearnedBaseline, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.sample_store import SampleStore
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource

Chunks: TypeAlias = Callable[[int], tuple[Observation, GroundTruth]]
MEASURED_BACKGROUNDS = 1  # seed of textures that no training sees
_BANK_SEED = 11


def training_chunks(config: BaselineConfig, layer: BodyLayer, poses: PoseSource, network: LearnedBaseline) -> Chunks:
    """Chunk 0, 1, 2, … of a training run. Of distinct pictures, each pass shows all of them in another order."""
    pictures = replace(config.pictures, errors=config.pictures.errors and not network.exact)
    fresh = SampleStream(layer.body, network.joint_set, poses, pictures, network.needs)
    stream = fresh if config.kept is None else SampleStore(fresh, Path(config.kept))
    distinct = None if pictures.distinct is None else pictures.distinct // CHUNK

    def chunk(number: int) -> tuple[Observation, GroundTruth]:
        if distinct is not None:
            times, place = divmod(number, distinct)
            order = torch.Generator().manual_seed((config.seed << 24) + times)
            number = int(torch.randperm(distinct, generator=order)[place])
        return stream.sample(number, config.seed)

    return chunk


def measured_pictures(input_: str, layer: BodyLayer, exact: bool = False) -> RenderingConfig:
    """What baselines are measured on: everyone's joints are there, `gt` or `noisy`, and so are the maps."""
    synthetic = SyntheticConfig(views=1, noise=measured_noise(input_, layer.joint_set))
    noisy = input_ == "noisy" and not exact
    return RenderingConfig(synthetic=synthetic, labelled=1.0, errors=noisy, backgrounds=MEASURED_BACKGROUNDS)


def validation_chunks(layer: BodyLayer, poses: PoseSource, network: LearnedBaseline, seed: int) -> Chunks:
    """Chunks of validation people with noisy inputs."""
    pictures = measured_pictures("noisy", layer, network.exact)
    stream = SampleStream(layer.body, network.joint_set, poses, pictures, network.needs)
    return lambda number: stream.sample(number, seed)


def known_people(config: BaselineConfig, poses: PoseSource, count: int) -> tuple[Tensor, Tensor]:
    """Orientations (count, 22, 3, 3) and phenotypes (count, 6) for `LearnedBaseline.prepare`."""
    generator = torch.Generator().manual_seed((config.seed << 8) + _BANK_SEED)
    orientations = poses.sample(count, generator)
    return orientations, config.pictures.synthetic.shapes.sample(count, generator)
