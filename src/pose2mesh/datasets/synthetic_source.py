"""Synthetic data source: bodies in poses of motion clips or joint limits, under virtual cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.source import VALIDATION_BATCH, ValidationSample
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, pose_fingers, sample_people
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic.pose_sources import describe_poses
from pose2mesh.skeletons import JointSet

SAMPLES_PER_EPOCH = 200_000  # where the config gives no number


class SyntheticSource:
    """Synthetic samples as a `DataSource`. The generator decides the samples; epoch and position are ignored.

    Args:
        body: Body model.
        joint_set: Joints of the samples.
        sources: Training and validation poses.
        config: Ranges of the random shapes, poses, cameras and detector errors.
        samples_per_epoch, validation_samples: Numbers of samples; the latter is rounded down to whole batches.
        clips: Folder of the clips that the poses come from, for the description of the data.
    """

    body_name = DEFAULT_BODY

    def __init__(
        self,
        body: BodyModel,
        joint_set: JointSet,
        sources: tuple[PoseSource, PoseSource],
        config: SyntheticConfig,
        samples_per_epoch: int | None = None,
        validation_samples: int = VALIDATION_BATCH,
        clips: str | None = None,
    ) -> None:
        self.body, self.joint_set, self.config = body, joint_set, config
        self.train_poses, self.validation_poses = sources
        self.samples_per_epoch = samples_per_epoch or SAMPLES_PER_EPOCH
        self.validation_batches = max(1, validation_samples // VALIDATION_BATCH)
        self._clips = clips
        self._synthesiser: BodySynthesiser | None = None

    def describe(self) -> str:
        return f"{describe_poses(self._clips)}, virtual cameras, synthesised detections"

    def licence(self) -> str:
        return "Apache-2.0"

    def posed_bodies(self, count: int, generator: torch.Generator) -> np.ndarray:
        with torch.no_grad():
            shapes = self.config.shapes.sample(count, generator)
            poses = pose_fingers(self.train_poses.sample(count, generator), self.config.fingers, 1, generator)
            return self.body(shapes, poses).numpy()

    def prepare(self, points: Tensor | None) -> None:
        self._synthesiser = BodySynthesiser(self.body, self.joint_set, points)

    def training_batch(self, epoch: int, first: int, count: int, generator: torch.Generator) -> Batch:
        return self._batch(self.train_poses, count, generator)

    def validation_batch(self, index: int, generator: torch.Generator) -> Batch:
        return self._batch(self.validation_poses, VALIDATION_BATCH, generator)

    def _batch(self, poses: PoseSource, count: int, generator: torch.Generator) -> Batch:
        assert self._synthesiser is not None, "call prepare first"
        synthesiser = self._synthesiser.to(generator.device)
        samples = sample_people(count, poses, synthesiser, self.config, generator)
        return detect(samples, self.joint_set, self.config.noise, generator)

    def validation_samples(self, count: int, vertices: bool, generator: torch.Generator) -> ValidationSample:
        """Without missing joints, and with one camera for each body."""
        body, joint_set = self.body.cpu(), self.joint_set
        noise = replace(self.config.noise, drop=0.0, out_of_picture=False)
        synthesiser = BodySynthesiser(body, joint_set, None)
        samples = sample_people(count, self.validation_poses, synthesiser, replace(self.config, views=1), generator)
        batch = detect(samples, joint_set, noise, generator)
        if not vertices:
            return ValidationSample(batch, None)
        posed = samples.cameras.to_camera(body(samples.phenotypes, samples.orientations)) @ batch.to_ray.mT
        return ValidationSample(batch, posed - (body.regressor(joint_set) @ posed)[:, joint_set.root_index, None])
