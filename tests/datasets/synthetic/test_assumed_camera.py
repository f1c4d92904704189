"""Training samples turned by the assumed camera, against the same step of inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("anny")

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.synthetic.assumed_camera import turn_to_people
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    SyntheticSamples,
    detect,
    sample_people,
)
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.geometry.camera import Intrinsics, look_at, nominal_intrinsics
from pose2mesh.skeletons import COCO

EXACT = NoiseConfig(model="none", drop=0.3, plain_confidence=0.0)


@pytest.fixture(scope="module")
def people() -> tuple[SyntheticSamples, Batch]:
    generator = torch.Generator().manual_seed(3)
    synthesiser = BodySynthesiser(default_body(), COCO, torch.arange(0, 13000, 1000))
    source = PoseSource(None, PoseConfig(procedural=1.0))
    with torch.no_grad():
        samples = sample_people(40, source, synthesiser, SyntheticConfig(views=1), generator)
        return samples, detect(samples, COCO, EXACT, generator)


@pytest.mark.parametrize("assumed", ["known", "nominal"])
def test_turned_samples_are_those_of_inference(people: tuple[SyntheticSamples, Batch], assumed: str) -> None:
    samples, batch = people
    config = replace(CameraConfig(), **{assumed: 1.0})
    turned = turn_to_people(batch, samples, config, torch.Generator().manual_seed(0))
    for index in range(40):
        size = tuple(int(side) for side in samples.cameras.size_px[index])
        focal = float(samples.cameras.focal_px[index])
        centre = samples.cameras.centre_px[index].tolist()
        focal = focal if assumed == "known" else nominal_intrinsics((size[0], size[1])).fx
        camera = Intrinsics(focal, focal, *centre)
        joints, confidence = batch.joints_px[index].numpy(), batch.confidence[index].numpy()
        pixels, turn = look_at(joints, confidence, camera)
        assert np.allclose(turned.joints_px[index], pixels, atol=0.02 * np.ptp(pixels))
        assert np.allclose(turned.to_ray[index], turn, atol=1e-3)
        # turned back, the ground truth is that in the axes of the true camera
        back = turned.joints[index].numpy() @ turned.to_ray[index].numpy()
        assert np.allclose(back, samples.joints_cam[index], atol=1e-5)
        assert turned.points is not None
        assert samples.points_cam is not None
        assert np.allclose(turned.points[index] @ turned.to_ray[index], samples.points_cam[index], atol=1e-5)


def test_missing_joints_stay_at_zero(people: tuple[SyntheticSamples, Batch]) -> None:
    samples, batch = people
    turned = turn_to_people(batch, samples, replace(CameraConfig(), nominal=1.0), torch.Generator().manual_seed(0))
    missing = batch.confidence == 0
    assert missing.any()
    assert (turned.joints_px[missing] == 0).all()


def test_shares(people: tuple[SyntheticSamples, Batch]) -> None:
    samples, batch = people
    config = replace(CameraConfig(), known=0.3, nominal=0.3)
    turned = turn_to_people(batch, samples, config, torch.Generator().manual_seed(1))
    kept = (turned.joints_px == batch.joints_px).all(2).all(1)
    assert 6 < int(kept.sum()) < 28
    assert torch.equal(turned.joints[kept], batch.joints[kept]) or torch.allclose(
        turned.joints[kept], batch.joints[kept], atol=1e-6
    )
