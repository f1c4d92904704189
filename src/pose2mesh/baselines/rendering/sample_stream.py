"""People in pictures and videos without end: drawn in chunks, from a seed and a number alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pose2mesh.baselines.common.landmarks import landmark_regressor
from pose2mesh.baselines.observation import CROP_PX, PARTS, Crops, GroundTruth, Need, Observation
from pose2mesh.baselines.rendering.appearance import Painter
from pose2mesh.baselines.rendering.body_parts import face_parts, label_image, share_maps
from pose2mesh.baselines.rendering.occluders import draw_occluders
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.simulated_detectors import Segmenter, find_landmarks
from pose2mesh.baselines.rendering.visibility import Visibility, crop_cameras, look, within_picture
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticSamples, detect, sample_people, sample_videos
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.skeletons import JointSet

_POSED_AT_ONCE = 16  # people: more fall out of the cache
# Every stage draws from a generator of its own: what one needs does not change what another draws.
_PEOPLE, _OCCLUDERS, _APPEARANCE, _PARTS, _SILHOUETTES, _LANDMARKS, _LABELLED, _DETECTED = range(8)


class SampleStream:
    """Draws people, and what is seen of them.

    Args:
        body: The Anny body.
        joint_set: Of the joints.
        source: Of the poses.
        config: What is drawn at random.
        needs: What is made beside joints and truth.

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
            self._segmenter = Segmenter()
        if "images" in needs:
            self._painter = Painter(body, config.backgrounds, config.accompanied)
        if "landmarks" in needs:
            self._landmarks = landmark_regressor(body).to_sparse()

    @torch.no_grad()
    def draw(self, chunk: int, seed: int) -> tuple[Observation, GroundTruth]:
        """The CHUNK people of a chunk: the same for the same numbers, everything on the CPU.

        Args:
            chunk: Its number, from 0; with `config.train_config.distinct` pictures, they come again after the last.
            seed: Of everything that is drawn.
        """
        if self.config.distinct is not None:
            chunk %= self.config.distinct // CHUNK
        people, generator = self._people(chunk, seed)
        batch = detect(people, self.joint_set, self.config.synthetic.noise, generator)
        crops = Crops.around(batch.joints_px, batch.confidence)
        truth = self._truth(people, batch, crops, chunk, seed)
        vertices = self._surface(truth.phenotypes, truth.orientations)
        truth = replace(truth, vertices=vertices)
        # From the axes of the ray back to the camera's, and from the root joint to the body's origin.
        root = people.root_cam - people.cameras.position_cam
        vertices_cam = (vertices @ batch.to_ray).add_(root[:, None]) if self.needs else vertices
        return self._seen(people, vertices_cam, batch.joints_px, batch.confidence, chunk, seed), truth

    @torch.no_grad()
    def show(
        self, people: SyntheticSamples, joints_px: Tensor, confidence: Tensor, chunk: int, seed: int
    ) -> Observation:
        """What is seen of people whom another has drawn and detected, in crops around their 2D joints.

        Args:
            people: Any number.
            joints_px, confidence: (B, J, 2) and (B, J) as detected.
            chunk, seed: Decide what is drawn beside them.
        """
        vertices_cam = self._posed(people.phenotypes, people.cameras.rotation[:, None] @ people.orientations)
        return self._seen(people, vertices_cam, joints_px, confidence, chunk, seed)

    def _people(self, chunk: int, seed: int) -> tuple[SyntheticSamples, torch.Generator]:
        """CHUNK of them, and what decides how they are detected."""
        config, frames = self.config, self.config.frames
        generator = _draws(seed, chunk // frames, _PEOPLE)
        if frames == 1:
            return sample_people(CHUNK, self.source, self._synthesiser, config.synthetic, generator), generator
        videos = sample_videos(
            CHUNK * frames, frames, config.stride, self.source, self._synthesiser, config.synthetic, generator
        )
        return videos[chunk % frames :: frames], _draws(seed, chunk, _DETECTED)

    def _seen(
        self,
        people: SyntheticSamples,
        vertices_cam: Tensor,
        joints_px: Tensor,
        confidence: Tensor,
        chunk: int,
        seed: int,
    ) -> Observation:
        def draws(stage: int) -> torch.Generator:
            return _draws(seed, chunk, stage)

        crops = Crops.around(joints_px, confidence)
        seen = Observation(crops.units(joints_px) * (confidence > 0)[..., None], confidence)
        if self.needs & {"images", "parts", "silhouettes"}:
            view = look(self._rasteriser, vertices_cam, crop_cameras(people.cameras, crops))
            hidden = draw_occluders(view.count, self.config.occluded, draws(_OCCLUDERS))
            inside = torch.ones_like(hidden)
            if self.config.synthetic.noise.out_of_picture:
                inside = within_picture(people.cameras, crops)
            if "images" in self.needs:
                images = self._painter(view, vertices_cam, hidden, inside, draws(_APPEARANCE))
                seen = replace(seen, images=images)
            seen = self._segmented(seen, view.where(inside & ~hidden), draws(_PARTS), draws(_SILHOUETTES))
        if "landmarks" in self.needs:
            seen = self._with_landmarks(seen, vertices_cam, people, crops, draws(_LANDMARKS))
        return seen

    def labelled(self, chunk: int, seed: int) -> Tensor:
        """(CHUNK,) of whom of a chunk 3D is known. Whoever is at a small share is at every larger one."""
        generator = _draws(seed, chunk // self.config.frames, _LABELLED)
        return torch.rand(CHUNK, generator=generator) < self.config.labelled

    def _surface(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Vertices (B, V, 3) of bodies, relative to the root joint."""
        vertices = self._posed(phenotypes, orientations)
        return vertices.sub_(self._root @ vertices)

    def _posed(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """(B, V, 3) about the hips' bone head."""
        parts = torch.arange(len(phenotypes)).split(_POSED_AT_ONCE)
        return torch.cat([self.body(phenotypes[part], orientations[part]) for part in parts])

    def _truth(self, people: SyntheticSamples, batch: Batch, crops: Crops, chunk: int, seed: int) -> GroundTruth:
        size_px, frames = people.cameras.size_px[:, None], self.config.frames
        visible = ((people.joints_px >= 0) & (people.joints_px <= size_px)).all(-1).float()
        if not self.config.synthetic.noise.out_of_picture:
            visible = torch.ones_like(visible)
        orientations = (batch.to_ray @ people.cameras.rotation)[:, None] @ people.orientations
        return GroundTruth(
            index=(chunk // frames * CHUNK + torch.arange(CHUNK)) * frames + chunk % frames,
            labelled=self.labelled(chunk, seed),
            joints_2d=crops.units(people.joints_px),
            visible=visible,
            joints=batch.joints,
            phenotypes=people.phenotypes,
            orientations=orientations,
        )

    def _segmented(
        self, seen: Observation, view: Visibility, parts: torch.Generator, silhouettes: torch.Generator
    ) -> Observation:
        if not self.needs & {"parts", "silhouettes"}:
            return seen
        labels = label_image(view, self._face_parts)
        if "parts" in self.needs:
            maps = self._segmenter.parts(labels, parts) if self.config.errors else share_maps(labels, PARTS)
            seen = replace(seen, parts=maps)
        if "silhouettes" in self.needs:
            exact = share_maps(labels.clamp_max(0), 1)[:, 0]
            seen = replace(
                seen, silhouettes=self._segmenter.person(labels, silhouettes) if self.config.errors else exact
            )
        return seen

    def _with_landmarks(
        self,
        seen: Observation,
        vertices_cam: Tensor,
        people: SyntheticSamples,
        crops: Crops,
        generator: torch.Generator,
    ) -> Observation:
        columns = vertices_cam.transpose(0, 1).flatten(1)
        points = (self._landmarks @ columns).unflatten(1, (-1, 3)).transpose(0, 1)
        places = people.cameras.project(points)
        confidence = torch.ones(places.shape[:2])
        if self.config.errors:
            places, confidence = find_landmarks(places, generator)
        if self.config.synthetic.noise.out_of_picture:
            size_px = people.cameras.size_px[:, None]
            confidence = confidence * ((places >= 0) & (places <= size_px)).all(-1)
        units = crops.units(places) * (confidence > 0)[..., None]
        return replace(seen, landmarks=units, landmark_confidence=confidence)


def _draws(seed: int, chunk: int, stage: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, chunk, stage)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))
