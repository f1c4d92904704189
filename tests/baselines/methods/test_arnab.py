"""Joint fits of videos: one shape, smoother than frame by frame; an image is a video of one frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter
from pose2mesh.baselines.common.temporal_terms import VideoWeights
from pose2mesh.baselines.interface import BaselineInput
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.methods.smplify import Schedule, SMPLify
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.metrics import acceleration_error
from pose2mesh.skeletons import COCO

FRAMES = 8


@pytest.fixture(scope="module")
def person(fitter: Fitter) -> FitState:
    """A person who slowly turns and swings the arms."""
    time = torch.linspace(0, 1, FRAMES)
    pose = fitter.prior.mean.repeat(FRAMES, 1, 1)
    pose[:, 12, 2] += 0.6 * time
    return FitState(
        torch.full((1, 6), 0.5),
        pose,
        torch.tensor(WORLD_TO_CAMERA) @ axis_rotation(2, 0.5 + 0.4 * time),
        torch.full((FRAMES,), 0.7),
        torch.zeros(FRAMES, 2),
    )


@pytest.fixture(scope="module")
def video(fitter: Fitter, person: FitState) -> tuple[BaselineInput, torch.Tensor]:
    """2D joints with errors of about 1 % of the person's height, and the true 3D joints."""
    confidence = torch.ones(FRAMES, len(COCO))
    same = torch.zeros(FRAMES, dtype=torch.long)
    nothing = FitTarget(torch.zeros(FRAMES, len(COCO), 2), confidence, torch.zeros(FRAMES, 2), torch.ones(FRAMES), same)
    posed = fitter.pose(person, nothing)
    errors = 4 * torch.randn(FRAMES, len(COCO), 2, generator=torch.Generator().manual_seed(0))
    return BaselineInput(150 * posed.projected + 400 + errors, confidence, same), posed.joints


def perturbed_start(person: FitState):
    """A start at the ground truth, with a small random rotation of the bones of each frame."""
    turns = 0.1 * torch.randn(person.pose.shape, generator=torch.Generator().manual_seed(1))

    def start(fitter: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
        return [replace(person, shape=person.shape.expand(FRAMES, -1), pose=person.pose + turns)]

    return start


def test_steadier_and_no_worse(fitter: Fitter, person: FitState, video: tuple[BaselineInput, torch.Tensor]) -> None:
    observed, ground_truth = video
    single = SMPLify("single", fitter, perturbed_start(person), Schedule(0, ((1.0, 20),)))
    arnab = Arnab(single, rounds=25)
    single_frames = arnab.start(observed)
    bodies, target = arnab.fit(observed, single_frames)
    assert bodies.shape.shape == (1, 6)
    frames = FitTarget.of(observed.joints_px, observed.confidence, torch.arange(FRAMES), COCO)
    before, after = fitter.pose(single_frames, frames).joints.detach(), fitter.pose(bodies, target).joints.detach()
    assert acceleration_error(after, ground_truth) < 0.4 * acceleration_error(before, ground_truth)
    assert (after - ground_truth).norm(dim=-1).mean() < (before - ground_truth).norm(dim=-1).mean()


def test_an_image_is_a_video_of_one_frame(fitter: Fitter, video: tuple[BaselineInput, torch.Tensor]) -> None:
    """Frames of different persons are independent."""
    observed, _ = video
    still = VideoWeights(start=1e6, start_robust_m=10.0)
    single = SMPLify("single", fitter, _middle, Schedule(0, ((1.0, 3),)))
    arnab = Arnab(single, video=still, rounds=3)
    separate_people = BaselineInput(observed.joints_px[:2], observed.confidence[:2], torch.arange(2))
    bodies, target = arnab.fit(separate_people, arnab.start(separate_people))
    assert bodies.shape.shape == (2, 6)
    # Held where they started, they are what the single-frame fit found.
    fit = single.fit(separate_people)
    torch.testing.assert_close(fitter.pose(bodies, target).joints, fitter.pose(*fit).joints, atol=5e-3, rtol=0)


def _middle(fitter: Fitter, target: FitTarget, observed: BaselineInput) -> list[FitState]:
    count = len(target.joints)
    guess = FitState(
        torch.zeros(count, 6),
        fitter.prior.mean.expand(count, -1, -1),
        torch.tensor(WORLD_TO_CAMERA).expand(count, -1, -1),
        torch.zeros(count),
        torch.zeros(count, 2),
    )
    return [fitter.with_camera(guess, target)]
