"""Drawn people as the supply of a training run: Anny bodies in poses of clips and joint limits, virtual cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.source import VALIDATION_BATCH, ValidationSample
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic.pose_sources import describe_poses
from pose2mesh.skeletons import JointSet

PEOPLE = 200_000  # an epoch, where none is told


class SyntheticSource:
    """Synthetic samples as a `DataSource`. Each is generated once; positions do not matter, generators do.

    Args:
        body: The Anny body.
        joint_set: The joints.
        sources: Training and validation poses.
        config: What is drawn at random.
        people, validation_people: An epoch's, and those of validation.
        clips: Folder of the clips that the poses are from, for their description.
    """

    body_name = "anny"

    def __init__(
        self,
        body: BodyModel,
        joint_set: JointSet,
        sources: tuple[PoseSource, PoseSource],
        config: SyntheticConfig,
        people: int | None = None,
        validation_people: int = VALIDATION_BATCH,
        clips: str | None = None,
    ) -> None:
        self.body, self.joint_set, self.config = body, joint_set, config
        self.train_poses, self.validation_poses = sources
        self.people = people or PEOPLE
        self.validation_batches = max(1, validation_people // VALIDATION_BATCH)
        self._clips = clips
        self._synthesiser: BodySynthesiser | None = None

    def describe(self) -> str:
        return f"{describe_poses(self._clips)}, virtual cameras, synthesised detections"

    def licence(self) -> str:
        return "Apache-2.0"

    def posed_bodies(self, count: int, generator: torch.Generator) -> np.ndarray:
        with torch.no_grad():
            shapes = self.config.shapes.sample(count, generator)
            return self.body(shapes, self.train_poses.sample(count, generator)).numpy()

    def prepare(self, points: Tensor | None) -> None:
        self._synthesiser = BodySynthesiser(self.body, self.joint_set, points)

    def train(self, epoch: int, first: int, count: int, generator: torch.Generator) -> Batch:
        return self._draw(self.train_poses, count, generator)

    def validate(self, index: int, generator: torch.Generator) -> Batch:
        return self._draw(self.validation_poses, VALIDATION_BATCH, generator)

    def _draw(self, poses: PoseSource, count: int, generator: torch.Generator) -> Batch:
        assert self._synthesiser is not None, "prepare comes first"
        synthesiser = self._synthesiser.to(generator.device)
        people = sample_people(count, poses, synthesiser, self.config, generator)
        return detect(people, self.joint_set, self.config.noise, generator)

    def show(self, count: int, vertices: bool, generator: torch.Generator) -> ValidationSample:
        """With no joint missing, each person seen once."""
        body, joint_set = self.body.cpu(), self.joint_set
        noise = replace(self.config.noise, drop=0.0, out_of_picture=False)
        synthesiser = BodySynthesiser(body, joint_set, None)
        people = sample_people(count, self.validation_poses, synthesiser, replace(self.config, views=1), generator)
        batch = detect(people, joint_set, noise, generator)
        if not vertices:
            return ValidationSample(batch, None)
        posed = people.cameras.to_camera(body(people.phenotypes, people.orientations)) @ batch.to_ray.mT
        return ValidationSample(batch, posed - (body.regressor(joint_set) @ posed)[:, joint_set.root_index, None])
