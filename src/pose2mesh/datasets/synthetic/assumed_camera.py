"""Synthetic samples as a model sees them at inference: turned to the person by the camera that is assumed there.

Where the size of the image is known, `Predictor` turns the camera so that its axis passes through the person
(`geometry.camera.look_at`), by the intrinsics that are given or by nominal ones. The same is done to training samples.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.bodies import SyntheticSamples, rotation_to_ray, weighted_centre
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig
from pose2mesh.geometry.camera import NOMINAL_FOCAL_RATIO

_LEAST_DEPTH = 1e-3  # of a ray after the turn, as in `look_at`


def turn_to_people(batch: Batch, samples: SyntheticSamples, config: CameraConfig, generator: torch.Generator) -> Batch:
    """Turn the cameras of a share `config.known` of a batch by their true and of `config.nominal` by a nominal focal.

    The ground truth is in the axes of the assumed camera after its turn: turned back by the same camera, an exact
    prediction is exact in the axes of the true one.

    Args:
        batch: Made from the samples by `bodies.detect`.
        samples: With their true cameras.
        config: The shares; the other samples keep their pixels.
        generator: Chooses the samples of each share.
    """
    chance = torch.rand(len(batch.joints_px), generator=generator, device=batch.joints_px.device)
    is_known = chance < config.known
    is_turned = chance < config.known + config.nominal
    cameras = samples.cameras
    focal = torch.where(is_known, cameras.focal_px, NOMINAL_FOCAL_RATIO * cameras.size_px.amax(1))
    present = batch.confidence > 0
    centre = weighted_centre(batch.joints_px, batch.confidence)
    turn = rotation_to_ray(_rays(centre[:, None], cameras.centre_px, focal)[:, 0])
    turned = _rays(batch.joints_px, cameras.centre_px, focal) @ turn.mT
    pixels = turned[..., :2] / turned[..., 2:].clamp_min(_LEAST_DEPTH) * focal[:, None, None]
    pixels = torch.where(present[..., None], pixels + cameras.centre_px[:, None], 0.0)
    to_ray = torch.where(is_turned[:, None, None], turn, batch.to_ray)
    change = to_ray @ batch.to_ray.mT
    return replace(
        batch,
        joints_px=torch.where(is_turned[:, None, None], pixels, batch.joints_px),
        joints=batch.joints @ change.mT,
        points=None if batch.points is None else batch.points @ change.mT,
        to_ray=to_ray,
    )


def _rays(pixels: Tensor, centre_px: Tensor, focal_px: Tensor) -> Tensor:
    """Rays (B, N, 3) with z = 1 through pixels (B, N, 2)."""
    flat = (pixels - centre_px[:, None]) / focal_px[:, None, None]
    return torch.cat((flat, torch.ones_like(flat[..., :1])), dim=-1)
