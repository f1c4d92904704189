"""Endless stream of synthetic images and videos of people, in chunks that depend only on a seed and a chunk number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh.baselines.common.landmarks import landmark_regressor
from pose2mesh.baselines.observation import CROP_PX, PARTS, Crops, GroundTruth, Need, Observation
from pose2mesh.baselines.rendering.appearance import CropRenderer
from pose2mesh.baselines.rendering.body_parts import face_parts, label_image, share_maps
from pose2mesh.baselines.rendering.occluders import sample_occluders
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.simulated_detectors import SimulatedSegmenter, detect_landmarks
from pose2mesh.baselines.rendering.visibility import Visibility, crop_cameras, inside_image, visible_surface
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticSamples, detect, sample_people, sample_videos
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.skeletons import JointSet

_POSED_AT_ONCE = 16  # bodies posed at once: more exceed the processor's cache
# Every stage has its own generator, so that the needs of a method do not change the other random numbers.
_PEOPLE, _OCCLUDERS, _APPEARANCE, _PARTS, _SILHOUETTES, _LANDMARKS, _LABELLED, _DETECTED = range(8)


class SampleStream:
    """Generates synthetic samples: observations with their ground truth.

    Args:
        body: The body model.
        joint_set: Joint set of the 2D and 3D joints.
        source: Source of the poses.
        config: Distributions of the samples.
        needs: Observations to generate in addition to the joints.

    Raises:
        InputError: a value of the config cannot be used, or the source has no motion for videos.
    """

    def __init__(
        self,
        body: BodyModel,
        joint_set: JointSet,
        source: PoseSource,
        config: RenderingConfig,
        needs: frozenset[Need],
    ) -> None:
        config.check()
        if config.frames > 1:
            source.starts(config.frames, config.stride)
        self.body, self.joint_set, self.source, self.config, self.needs = body, joint_set, source, config, needs
        self._root = body.regressor(joint_set)[joint_set.root_index, None]
        self._synthesiser = BodySynthesiser(body, joint_set, None)
        if needs & {"images", "parts", "silhouettes"}:
            self._rasteriser = Rasteriser(body.faces.numpy(), CROP_PX)
            self._face_parts = face_parts(body)
            self._segmenter = SimulatedSegmenter()
        if "images" in needs:
            self._renderer = CropRenderer(body, config.backgrounds, config.accompanied)
        if "landmarks" in needs:
            self._landmarks = landmark_regressor(body).to_sparse()

    @torch.no_grad()
    def sample(self, chunk: int, seed: int) -> tuple[Observation, GroundTruth]:
        """Generate the `CHUNK` samples of a chunk on the CPU, deterministic in `chunk` and `seed`.

        Args:
            chunk: Chunk number from 0; with `config.distinct` set, chunks repeat after the last distinct image.
            seed: Seed of all randomness.
        """
        if self.config.distinct is not None:
            chunk %= self.config.distinct // CHUNK
        samples, generator = self._sample_people(chunk, seed)
        batch = detect(samples, self.joint_set, self.config.synthetic.noise, generator)
        crops = Crops.around(batch.joints_px, batch.confidence)
        ground_truth = self._ground_truth(samples, batch, crops, chunk, seed)
        vertices = self._surface(ground_truth.phenotypes, ground_truth.orientations)
        ground_truth = replace(ground_truth, vertices=vertices)
        # From ray-aligned axes back to camera axes, and from root-relative to relative to the body's origin.
        root = samples.root_cam - samples.cameras.position_cam
        vertices_cam = (vertices @ batch.to_ray).add_(root[:, None]) if self.needs else vertices
        return self._observe(samples, vertices_cam, batch.joints_px, batch.confidence, chunk, seed), ground_truth

    @torch.no_grad()
    def observe(
        self, samples: SyntheticSamples, joints_px: Tensor, confidence: Tensor, chunk: int, seed: int
    ) -> Observation:
        """Observations of given bodies, in crops around given 2D detections.

        Args:
            samples: `B` bodies with their cameras.
            joints_px, confidence: Detected 2D joints (B, J, 2) and confidences (B, J).
            chunk, seed: Determine the randomness of appearance and of simulated detections.
        """
        vertices_cam = self._posed(samples.phenotypes, samples.cameras.rotation[:, None] @ samples.orientations)
        return self._observe(samples, vertices_cam, joints_px, confidence, chunk, seed)

    def _sample_people(self, chunk: int, seed: int) -> tuple[SyntheticSamples, torch.Generator]:
        """The `CHUNK` bodies of a chunk, and the generator of their 2D detection errors."""
        config, frames = self.config, self.config.frames
        generator = _generator(seed, chunk // frames, _PEOPLE)
        if frames == 1:
            return sample_people(CHUNK, self.source, self._synthesiser, config.synthetic, generator), generator
        videos = sample_videos(
            CHUNK * frames, frames, config.stride, self.source, self._synthesiser, config.synthetic, generator
        )
        return videos[chunk % frames :: frames], _generator(seed, chunk, _DETECTED)

    def _observe(
        self,
        samples: SyntheticSamples,
        vertices_cam: Tensor,
        joints_px: Tensor,
        confidence: Tensor,
        chunk: int,
        seed: int,
    ) -> Observation:
        def generator_of(stage: int) -> torch.Generator:
            return _generator(seed, chunk, stage)

        crops = Crops.around(joints_px, confidence)
        observation = Observation(crops.units(joints_px) * (confidence > 0)[..., None], confidence)
        if self.needs & {"images", "parts", "silhouettes"}:
            view = visible_surface(self._rasteriser, vertices_cam, crop_cameras(samples.cameras, crops))
            hidden = sample_occluders(view.count, self.config.occluded, generator_of(_OCCLUDERS))
            inside = torch.ones_like(hidden)
            if self.config.synthetic.noise.out_of_picture:
                inside = inside_image(samples.cameras, crops)
            if "images" in self.needs:
                images = self._renderer(view, vertices_cam, hidden, inside, generator_of(_APPEARANCE))
                observation = replace(observation, images=images)
            observation = self._with_segmentation(
                observation, view.where(inside & ~hidden), generator_of(_PARTS), generator_of(_SILHOUETTES)
            )
        if "landmarks" in self.needs:
            observation = self._with_landmarks(observation, vertices_cam, samples, crops, generator_of(_LANDMARKS))
        return observation

    def labelled(self, chunk: int, seed: int) -> Tensor:
        """Mask (CHUNK,) of the samples with 3D labels; a larger share labels the same samples and more."""
        generator = _generator(seed, chunk // self.config.frames, _LABELLED)
        return torch.rand(CHUNK, generator=generator) < self.config.labelled

    def _surface(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Vertices (B, V, 3) of bodies, relative to the root joint."""
        vertices = self._posed(phenotypes, orientations)
        return vertices.sub_(self._root @ vertices)

    def _posed(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Vertices (B, V, 3) of bodies, relative to the head of the hip bone."""
        parts = torch.arange(len(phenotypes)).split(_POSED_AT_ONCE)
        return torch.cat([self.body(phenotypes[part], orientations[part]) for part in parts])

    def _ground_truth(
        self, samples: SyntheticSamples, batch: Batch, crops: Crops, chunk: int, seed: int
    ) -> GroundTruth:
        size_px, frames = samples.cameras.size_px[:, None], self.config.frames
        visible = ((samples.joints_px >= 0) & (samples.joints_px <= size_px)).all(-1).float()
        if not self.config.synthetic.noise.out_of_picture:
            visible = torch.ones_like(visible)
        orientations = (batch.to_ray @ samples.cameras.rotation)[:, None] @ samples.orientations
        return GroundTruth(
            index=(chunk // frames * CHUNK + torch.arange(CHUNK)) * frames + chunk % frames,
            labelled=self.labelled(chunk, seed),
            joints_2d=crops.units(samples.joints_px),
            visible=visible,
            joints=batch.joints,
            phenotypes=samples.phenotypes,
            orientations=orientations,
        )

    def _with_segmentation(
        self, observation: Observation, view: Visibility, parts: torch.Generator, silhouettes: torch.Generator
    ) -> Observation:
        if not self.needs & {"parts", "silhouettes"}:
            return observation
        labels = label_image(view, self._face_parts)
        if "parts" in self.needs:
            maps = self._segmenter.parts(labels, parts) if self.config.errors else share_maps(labels, PARTS)
            observation = replace(observation, parts=maps)
        if "silhouettes" in self.needs:
            exact = share_maps(labels.clamp_max(0), 1)[:, 0]
            observation = replace(
                observation, silhouettes=self._segmenter.person(labels, silhouettes) if self.config.errors else exact
            )
        return observation

    def _with_landmarks(
        self,
        observation: Observation,
        vertices_cam: Tensor,
        samples: SyntheticSamples,
        crops: Crops,
        generator: torch.Generator,
    ) -> Observation:
        columns = vertices_cam.transpose(0, 1).flatten(1)
        points = (self._landmarks @ columns).unflatten(1, (-1, 3)).transpose(0, 1)
        places = samples.cameras.project(points)
        confidence = torch.ones(places.shape[:2])
        if self.config.errors:
            places, confidence = detect_landmarks(places, generator)
        if self.config.synthetic.noise.out_of_picture:
            size_px = samples.cameras.size_px[:, None]
            confidence = confidence * ((places >= 0) & (places <= size_px)).all(-1)
        units = crops.units(places) * (confidence > 0)[..., None]
        return replace(observation, landmarks=units, landmark_confidence=confidence)


def _generator(seed: int, chunk: int, stage: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, chunk, stage)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))
