"""SMPLify: better from a good start than from the mean pose, better than its start, finite with missing joints."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter
from pose2mesh.baselines.common.initial_bodies import YAWS, better, mean_pose
from pose2mesh.baselines.common.pose_prior import rotation_vectors
from pose2mesh.baselines.interface import BaselineInput
from pose2mesh.baselines.methods.smplify import FROM_MEAN_POSE, FROM_NETWORK, Schedule, SMPLify
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
from pose2mesh.skeletons import COCO

PEOPLE = 4


@pytest.fixture(scope="module")
def observed_people(fitter: Fitter) -> tuple[SyntheticSamples, BaselineInput]:
    """People in mild poses, upright, and their true 2D joints."""
    generator = torch.Generator().manual_seed(3)
    source = PoseSource(None, PoseConfig(procedural=1.0, tumble=0.0))
    config = SyntheticConfig(cameras=CameraConfig(steep=0.0, fill=(0.3, 0.6)), views=1)
    with torch.no_grad():
        people = sample_people(PEOPLE, source, BodySynthesiser(fitter.body, COCO, None), config, generator)
        noise = NoiseConfig(model="none", drop=0.0, plain_confidence=1.0, out_of_picture=False)
        batch = detect(people, COCO, noise, generator)
    return people, BaselineInput(batch.joints_px, batch.confidence, torch.arange(PEOPLE))


def error_m(fitter: Fitter, fit: tuple[FitState, FitTarget], people: SyntheticSamples) -> float:
    joints = fitter.pose(*fit).joints.detach()
    root = joints[:, COCO.root_index, None]
    return float((joints - root - people.joints_cam).norm(dim=-1).mean())


def missed_px(fitter: Fitter, fit: tuple[FitState, FitTarget], observed: BaselineInput) -> Tensor:
    return (fitter.estimate(*fit).joints_px - observed.joints_px).norm(dim=-1)


def true_start(people: SyntheticSamples, fitter: Fitter):
    """A start at the true pose with a small rotation of every bone."""

    def start(_: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
        orientations = people.cameras.rotation[:, None] @ people.orientations
        pose = rotation_vectors(orientations) + 0.05
        state = FitState(torch.zeros(PEOPLE, 6), pose, orientations[:, 0], torch.zeros(PEOPLE), torch.zeros(PEOPLE, 2))
        return [fitter.with_camera(state, target)]

    return start


@pytest.mark.thorough
def test_a_good_start_gives_a_better_fit(
    fitter: Fitter, observed_people: tuple[SyntheticSamples, BaselineInput]
) -> None:
    people, observed = observed_people
    alone = SMPLify("alone", fitter, mean_pose, FROM_MEAN_POSE).fit(observed)
    started = SMPLify("started", fitter, true_start(people, fitter), FROM_NETWORK).fit(observed)
    middle = mean_pose(fitter, alone[1], observed)
    assert error_m(fitter, started, people) < error_m(fitter, alone, people)
    assert error_m(fitter, alone, people) < 0.6 * min(error_m(fitter, (state, alone[1]), people) for state in middle)
    for fit in (alone, started):
        # Pixels of pictures of 1000, in which people are some 400 tall.
        assert missed_px(fitter, fit, observed).mean() < 12


def test_estimate_of_partly_missing_joints(
    fitter: Fitter, observed_people: tuple[SyntheticSamples, BaselineInput]
) -> None:
    quick = SMPLify("quick", fitter, mean_pose, Schedule(2, ((1.0, 2),)))
    joints_px, confidence = observed_people[1].joints_px.clone(), observed_people[1].confidence.clone()
    confidence[0, :11] = 0  # only the legs of the first are there
    joints_px[0, :11] = 0
    confidence[0, -2:] = 0
    fit = quick(BaselineInput(joints_px, confidence, torch.arange(PEOPLE)))
    assert fit.joints.shape == (PEOPLE, len(COCO), 3)
    assert fit.vertices.shape == (PEOPLE, len(fitter.body.template), 3)
    assert torch.isfinite(fit.vertices).all()
    assert fit.parameters is not None
    # Joints, vertices and parameters are of one body.
    torch.testing.assert_close(fitter.body.regressor(COCO) @ fit.vertices, fit.joints, atol=1e-4, rtol=0)
    again = fitter.body(fit.parameters.phenotypes, fit.parameters.orientations)
    torch.testing.assert_close(again, fit.vertices, atol=1e-5, rtol=0)


def test_four_initial_directions(fitter: Fitter, observed_people: tuple[SyntheticSamples, BaselineInput]) -> None:
    observed = observed_people[1]
    target = FitTarget.of(observed.joints_px, observed.confidence, observed.person, COCO)
    states = mean_pose(fitter, target, observed)
    assert len(states) == YAWS
    left, right = COCO.index("left_shoulder"), COCO.index("right_shoulder")
    across = torch.stack([(posed := fitter.pose(state, target).joints)[:, left] - posed[:, right] for state in states])
    torch.testing.assert_close(across[0], -across[2], atol=0.01, rtol=0)
    torch.testing.assert_close(across[1], -across[3], atol=0.01, rtol=0)
    assert (across[0, :, 0] > 0.2).all()  # facing the camera, the person's left is on the picture's right


def test_the_initial_trunk_leans_as_in_the_image(
    fitter: Fitter, observed_people: tuple[SyntheticSamples, BaselineInput]
) -> None:
    """People who are upside down in the image start upside down."""
    observed = observed_people[1]
    targets = [
        FitTarget.of(sign * observed.joints_px, observed.confidence, observed.person, COCO) for sign in (1.0, -1.0)
    ]
    up, down = (mean_pose(fitter, target, observed)[0].orientation[:, 1, 2] for target in targets)
    assert (up < -0.7).all()
    torch.testing.assert_close(up, -down)


def test_the_state_of_lowest_energy_is_kept(fitter: Fitter) -> None:
    def bodies(value: float) -> FitState:
        return FitState(
            torch.full((2, 6), value),
            torch.full((2, 21, 3), value),
            torch.full((2, 3, 3), value),
            torch.full((2,), value),
            torch.full((2, 2), value),
        )

    kept = better([(bodies(1.0), torch.tensor([3.0, torch.nan])), (bodies(2.0), torch.tensor([4.0, 5.0]))])
    torch.testing.assert_close(kept.log_scale, torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(kept.pose[:, 0, 0], torch.tensor([1.0, 2.0]))
