"""Sampling of training poses: frames of motion clips, poses inside anatomical joint limits, and their augmentation.

A pose is (22, 3, 3): the world rotation of each body bone from the mean body's rest pose
(`body_models.bones.BODY_BONES`; z up, facing −y, arms half lowered), the identity for a body at rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.archetypes import sample_archetypes
from pose2mesh.datasets.synthetic.body_points import overlaps
from pose2mesh.datasets.synthetic.pose_augmentation import bone_frames, perturbation
from pose2mesh.datasets.synthetic.pose_limits import limit_joints
from pose2mesh.datasets.synthetic.pose_tree import mirror, random_rotations, recombine, to_local, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.datasets.synthetic.rest_orientations import sample_rest_rotations
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import rotation_from_vector


@dataclass
class PoseConfig:
    """Distribution of the training poses.

    Attributes:
        procedural: Share of poses from joint limits alone; the rest are clip frames. 1 needs no clip.
        mirror: Share of mirrored poses.
        recombine: Share of clip poses whose upper body comes from another frame than the legs.
        perturb: Share of clip poses with small random joint rotations.
        perturb_rad: Standard deviation of these rotations per axis.
        tumble: Share of procedural poses in any orientation, as in a fall or a roll; the others stand within a tilt.
        rarity: Clip frames are sampled ∝ density^−rarity of the poses around theirs (`frame_weights`); 0 samples by the
            length of the clip instead.
        mix_limbs: Share of clip poses whose legs, arms and trunk come from five frames.
        tails: Share of the perturbed poses whose perturbation has Student-t tails.
        archetypes: Share of the procedural poses that are sampled from the table of `archetypes`: sitting, kneeling, on
            the floor, stretched.
        rest: Share of all poses that are turned so that the body rests on a floor.
        rest_temperature_m: The larger, the more often such a body rests high above the floor.
        any_orientation: Share of all poses in any orientation.
    """

    procedural: float = 0.2
    mirror: float = 0.5
    recombine: float = 0.4
    perturb: float = 0.7
    perturb_rad: float = 0.12
    tumble: float = 0.15
    rarity: float = 0.0
    mix_limbs: float = 0.0
    tails: float = 0.0
    archetypes: float = 0.0
    rest: float = 0.0
    rest_temperature_m: float = 0.2
    any_orientation: float = 0.0

    @property
    def broad(self) -> bool:
        """Whether poses are sampled beyond those of clips and joint limits, by `PoseSource`'s second procedure."""
        return any((self.mix_limbs, self.tails, self.archetypes, self.rest, self.any_orientation))


@dataclass(frozen=True)
class FrameOrder:
    """Order of the frames of concatenated clips.

    Attributes:
        root_m: (N, 3) position of the hips, metres, z up.
        following: (N,) number of frames after each before its clip ends or a frame is missing.
    """

    root_m: Tensor
    following: Tensor


class PoseSource:
    """Samples training poses from the frames of clips and from the joint limits.

    Args:
        frames: (N, 22, 3, 3) poses of all clips, concatenated, or None for procedural poses alone.
        config: The mixture and the augmentation.
        clip_weights: (N,) relative frequency of each frame; equal by default.
        order: Which frames follow each other, for `sample_motion`.
    """

    def __init__(
        self,
        frames: Tensor | None,
        config: PoseConfig,
        clip_weights: Tensor | None = None,
        order: FrameOrder | None = None,
    ) -> None:
        self.frames, self.config, self.weights, self.order = frames, config, clip_weights, order
        self._local = to_local(frames) if frames is not None and config.broad else None
        if frames is None and config.procedural < 1:
            raise ValueError("poses: without motion clips the procedural share must be 1")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample poses (count, 22, 3, 3); the same generator state gives the same poses."""
        self._move_to(generator.device)
        if self.config.broad:
            return self._sample_broad(count, generator)

        def chance(share: float) -> Tensor:
            return _chance(share, count, 1, generator)

        procedural = sample_procedural(count, generator, self.config.tumble)
        if self.frames is None:
            return torch.where(chance(self.config.mirror), mirror(procedural), procedural)
        pose = self.frames[self._pick(count, generator)]
        other = self.frames[self._pick(count, generator)]
        pose = self._augmented(pose, other, 1, generator)
        pose = torch.where(chance(self.config.procedural), procedural, pose)
        return torch.where(chance(self.config.mirror), mirror(pose), pose)

    def _sample_broad(self, count: int, generator: torch.Generator) -> Tensor:
        """`sample` with all of `PoseConfig`; each step works on the share of the poses that it changes.

        Poses are brought inside the joints' limits. Of those with limbs inside each other, clip poses stay as captured
        and procedural ones are replaced by others of the batch.
        """
        config = self.config

        def chosen(share: float) -> Tensor:
            """(count,) which poses an augmentation with this share changes."""
            return torch.rand(count, generator=generator, device=generator.device) < share

        procedural = chosen(config.procedural if self.frames is not None else 1.0)
        perturbed = chosen(config.perturb) & ~procedural
        changed = procedural | perturbed
        if self.frames is None or self._local is None:
            local = torch.eye(3, device=generator.device).repeat(count, len(BODY_BONES), 1, 1)
        else:
            picked = self._pick(5 * count, generator).view(count, 5)
            mixed, recombined = chosen(config.mix_limbs), chosen(config.recombine)
            changed |= mixed | recombined
            source = bone_frames(picked, recombined, mixed)
            rows = (source * len(BODY_BONES) + torch.arange(len(BODY_BONES), device=source.device)).flatten()
            local = self._local.flatten(0, 1).index_select(0, rows).unflatten(0, source.shape)
            rows = perturbed.nonzero()[:, 0]
            tails = chosen(config.tails)[rows]
            local[rows] = local[rows] @ perturbation(len(rows), config.perturb_rad, tails, generator)
        self._place_procedural(local, procedural.nonzero()[:, 0], generator)
        rows = (procedural | perturbed).nonzero()[:, 0]
        local[rows] = limit_joints(local[rows])
        pose = to_world(local)

        impossible = torch.zeros_like(changed)
        rows = changed.nonzero()[:, 0]
        impossible[rows] = overlaps(pose[rows])
        if self.frames is not None:
            rows = (impossible & ~procedural).nonzero()[:, 0]
            pose[rows] = self.frames[picked[rows, 0]]
        rows, possible = ((procedural & which).nonzero()[:, 0] for which in (impossible, ~impossible))
        if len(possible):
            other = torch.randint(len(possible), (len(rows),), generator=generator, device=pose.device)
            pose[rows] = pose[possible[other]]

        rows = chosen(config.mirror).nonzero()[:, 0]
        pose[rows] = mirror(pose[rows])
        rows = chosen(config.rest).nonzero()[:, 0]
        if len(rows):
            turn = sample_rest_rotations(pose[rows], config.rest_temperature_m, generator)
            pose[rows] = turn[:, None] @ pose[rows]
        rows = chosen(config.any_orientation).nonzero()[:, 0]
        pose[rows] = random_rotations(len(rows), generator)[:, None] @ pose[rows]
        return pose

    def _place_procedural(self, local: Tensor, rows: Tensor, generator: torch.Generator) -> None:
        """Replace these rows (K,) of parent-relative rotations (B, 22, 3, 3) by archetypes and joint limits."""
        table, limits = rows.tensor_split([round(len(rows) * self.config.archetypes)])
        if len(table):
            local[table] = sample_archetypes(len(table), generator)
        if len(limits):
            local[limits] = to_local(sample_procedural(len(limits), generator, self.config.tumble))

    def sample_motion(self, count: int, frames: int, stride: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample parts of clips, each augmented as a whole; without procedural poses, which do not move.

        Args:
            count: Number of motions.
            frames: Number of frames of each.
            stride: Step between its frames in the clip.
            generator: All randomness.

        Returns:
            Poses (count · frames, 22, 3, 3), and positions of the hips (count · frames, 3) relative to their mean.

        Raises:
            InputError: no clip is that long, or there is none.
        """
        starts = self.starts(frames, stride).to(generator.device)
        self._move_to(generator.device)
        assert self.frames is not None
        assert self.order is not None
        weights = starts.float() if self.weights is None else self.weights * starts
        steps = stride * torch.arange(frames, device=weights.device)
        rows, others = (
            (torch.multinomial(weights, count, replacement=True, generator=generator)[:, None] + steps).flatten()
            for _ in range(2)
        )
        pose = self._augmented(self.frames[rows], self.frames[others], frames, generator)
        path = self.order.root_m.to(weights.device)[rows].unflatten(0, (count, frames))
        path = (path - path.mean(1, keepdim=True)).flatten(0, 1)
        mirrored = _chance(self.config.mirror, count, frames, generator)
        flip = torch.tensor([-1.0, 1.0, 1.0], device=weights.device)
        return torch.where(mirrored, mirror(pose), pose), torch.where(mirrored[..., 0, 0], path * flip, path)

    def starts(self, frames: int, stride: int) -> Tensor:
        """(N,) frames at which a motion of `sample_motion` can begin.

        Raises:
            InputError: there is none.
        """
        if self.order is None:
            raise InputError(f"videos of {frames} frames: expected motion clips to take them from, found none")
        starts = self.order.following >= (frames - 1) * stride
        if not starts.any():
            longest = int(self.order.following.max()) + 1
            raise InputError(
                f"videos of {frames} frames, each {stride} after the other: the longest stretch of a clip has {longest}"
            )
        return starts

    def _augmented(self, pose: Tensor, other: Tensor, frames: int, generator: torch.Generator) -> Tensor:
        """Poses recombined with others and perturbed as configured, the same for each `frames` in a row."""
        count = len(pose) // frames
        pose = torch.where(_chance(self.config.recombine, count, frames, generator), recombine(pose, other), pose)
        turn = rotation_from_vector(
            torch.randn(count, len(BODY_BONES), 3, generator=generator, device=pose.device) * self.config.perturb_rad
        ).repeat_interleave(frames, dim=0)
        perturbed = to_world(to_local(pose) @ turn)
        return torch.where(_chance(self.config.perturb, count, frames, generator), perturbed, pose)

    def _move_to(self, device: torch.device) -> None:
        """Move the clips, which are read on the CPU, to the device of the generator."""
        if self.frames is not None and self.frames.device != device:
            self.frames = self.frames.to(device)
            self._local = None if self._local is None else self._local.to(device)
            self.weights = None if self.weights is None else self.weights.to(device)

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        assert self.frames is not None
        if self.weights is None:
            return torch.randint(len(self.frames), (count,), generator=generator, device=generator.device)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)


def _chance(share: float, count: int, frames: int, generator: torch.Generator) -> Tensor:
    """(count · frames, 1, 1, 1) true with this probability, the same for each `frames` in a row."""
    happens = torch.rand(count, generator=generator, device=generator.device) < share
    return happens.repeat_interleave(frames)[:, None, None, None]
