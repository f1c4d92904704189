"""Samples for learned baselines, drawn as stick figures: enough to train on, without the renderer."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.common.baseline_camera import project
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.observation import CROP_PX, LANDMARKS, MAP_PX, PARTS, Crops, GroundTruth, Observation
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation

_STICK = 0.06  # half its width, in units of the crop


def sample_stick_people(
    layer: BodyLayer, count: int, generator: torch.Generator, labelled: float = 0.2
) -> tuple[Observation, GroundTruth]:
    """`count` people in procedural poses at any yaw, from the nominal distance; parts and landmarks are exact."""
    yaw = axis_rotation(2, 2 * torch.pi * torch.rand(count, generator=generator))
    to_camera = torch.tensor(WORLD_TO_CAMERA) @ yaw
    poses = PoseSource(None, PoseConfig(procedural=1.0)).sample(count, generator)
    orientations = to_camera[:, None] @ poses
    phenotypes = ShapeConfig().sample(count, generator)
    with torch.no_grad():
        coefficients = layer.body.coefficients(phenotypes)
        joints = layer.points(coefficients, *layer.body.bone_transforms(coefficients, orientations))
        vertices = layer.body(phenotypes, orientations)
    root = joints[:, layer.joint_set.root_index, None]
    far = project(joints, torch.full((count,), 300.0), torch.zeros(count, 2))
    observation = Crops.around(far, torch.ones(count, len(layer.joint_set))).units(far)
    sticks = _sticks(observation, layer, MAP_PX)
    parts = torch.stack([sticks[:, part::PARTS].amax(1) for part in range(PARTS)], dim=1)
    parts = parts / parts.sum(1, keepdim=True).clamp_min(1)
    detected = torch.ones(count, LANDMARKS)
    landmarks = observation[:, torch.arange(LANDMARKS) % len(layer.joint_set)]
    ground_truth = GroundTruth(
        index=torch.arange(count),
        labelled=torch.rand(count, generator=generator) < labelled,
        joints_2d=observation,
        visible=torch.ones(observation.shape[:2]),
        joints=joints - root,
        vertices=vertices - root,
        phenotypes=phenotypes,
        orientations=orientations,
    )
    return Observation(
        observation,
        ground_truth.visible,
        _image(observation, layer, generator),
        parts,
        parts.sum(1),
        landmarks,
        detected,
    ), ground_truth


def _image(joints: Tensor, layer: BodyLayer, generator: torch.Generator) -> Tensor:
    """(B, 3, CROP_PX, CROP_PX): coloured sticks before a plain background."""
    sticks = _sticks(joints, layer, CROP_PX)
    hue = torch.arange(sticks.shape[1]) / sticks.shape[1] * 2 * torch.pi
    colours = 0.5 + 0.4 * torch.stack((hue.sin(), hue.cos(), (2 * hue).sin()), dim=1)
    plain = torch.rand(len(joints), 3, 1, 1, generator=generator)
    covered = sticks.amax(1, keepdim=True)
    drawn = torch.einsum("bnhw,nc->bchw", sticks, colours) / sticks.sum(1, keepdim=True).clamp_min(1)
    return plain * (1 - covered) + drawn * covered


def _sticks(joints: Tensor, layer: BodyLayer, size: int) -> Tensor:
    """(B, bones, size, size) 1 where a stick from joint to joint covers a pixel, 0 elsewhere."""
    place = (torch.arange(size) + 0.5) * (2 / size) - 1
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)  # (size, size, 2) x, y
    start, end = (joints[:, [edge[side] for edge in layer.joint_set.edges], None, None] for side in (0, 1))
    along = end - start
    offset = grid - start
    share = ((offset * along).sum(-1) / along.square().sum(-1).clamp_min(1e-9)).clamp(0, 1)
    return ((offset - share[..., None] * along).norm(dim=-1) < _STICK).float()
