"""Fitter: recovers bodies from exact 2D joints; cameras in closed form; gradient of the energy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.baseline_camera import project, solve_camera
from pose2mesh.baselines.common.fitting import FitState, FitTarget, Fitter, Weights
from pose2mesh.baselines.interface import BaselineInput
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.skeletons import COCO

PEOPLE = 4
EVERYONE = torch.arange(PEOPLE)
# The reprojection alone, as good as free of what is known of people.
ONLY_SEEN = Weights(error=0.02, robust=10.0, pose=1e-4, limits=0.0, shape=1e-3)


def some_bodies(fitter: Fitter, seed: int = 0, spread: float = 0.15) -> FitState:
    """People near the mean pose, at any yaw, and their cameras."""
    generator = torch.Generator().manual_seed(seed)
    yaw = axis_rotation(2, 6.3 * torch.rand(PEOPLE, generator=generator))
    return FitState(
        shape=0.5 * torch.randn(PEOPLE, 6, generator=generator),
        pose=fitter.prior.mean + spread * torch.randn(PEOPLE, 21, 3, generator=generator),
        orientation=torch.tensor(WORLD_TO_CAMERA) @ yaw,
        log_scale=0.7 + 0.05 * torch.randn(PEOPLE, generator=generator),
        shift_m=0.05 * torch.randn(PEOPLE, 2, generator=generator),
    )


@pytest.fixture(scope="module")
def true(fitter: Fitter) -> FitState:
    return some_bodies(fitter)


@pytest.fixture(scope="module")
def target(fitter: Fitter, true: FitState) -> FitTarget:
    """Their exact 2D joints."""
    weight = torch.ones(PEOPLE, len(COCO))
    nowhere = FitTarget(torch.zeros(PEOPLE, len(COCO), 2), weight, torch.zeros(PEOPLE, 2), torch.ones(PEOPLE), EVERYONE)
    return replace(nowhere, joints=fitter.pose(true, nowhere).projected)


def test_the_camera_in_closed_form(fitter: Fitter, true: FitState, target: FitTarget) -> None:
    scale, shift = solve_camera(fitter.pose(true, target).joints, target.joints, target.weight)
    torch.testing.assert_close(scale.log(), true.log_scale, atol=1e-4, rtol=0)
    torch.testing.assert_close(shift, true.shift_m, atol=1e-4, rtol=0)


def test_no_camera_turns_bodies_upside_down(fitter: Fitter, true: FitState, target: FitTarget) -> None:
    scale, _ = solve_camera(fitter.pose(true, target).joints, -target.joints, target.weight)
    assert (scale > 0).all()


def test_near_points_are_projected_larger() -> None:
    points = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]])
    seen = project(points, torch.tensor([2.0]), torch.zeros(1, 2))[0, :, 0]
    assert seen[1] > seen[0] > seen[2]
    assert float(seen[0]) == 2


def test_a_body_is_found_from_near_by(fitter: Fitter, true: FitState, target: FitTarget) -> None:
    start = replace(true, pose=true.pose + 0.05 * torch.randn(PEOPLE, 21, 3), shape=0.8 * true.shape)
    start = fitter.with_camera(start, target)
    found, _ = fitter.fit(target, start, ONLY_SEEN, 80)
    before, after, truth = (fitter.pose(bodies, target) for bodies in (start, found, true))
    missed = (after.projected - target.joints).norm(dim=-1)
    assert missed.mean() < 0.003  # of the person's size: about a pixel of a person of 600
    assert (after.joints - truth.joints).norm(dim=-1).mean() < 0.03
    assert missed.mean() < 0.1 * (before.projected - target.joints).norm(dim=-1).mean()


def test_the_likely_pose_is_found_from_a_distant_start(fitter: Fitter, target: FitTarget) -> None:
    """The mean pose at any yaw, from a start 40° away: the prior decides what the 2D joints leave undetermined."""
    true = some_bodies(fitter, seed=1, spread=0.0)
    target = replace(target, joints=fitter.pose(true, target).projected)
    start = replace(true, orientation=true.orientation @ axis_rotation(2, torch.full((PEOPLE,), 0.7)))
    found, _ = fitter.fit(target, start, Weights(), 50)
    distance = (fitter.pose(found, target).joints - fitter.pose(true, target).joints).norm(dim=-1).mean(1)
    assert (distance < 0.04).all()


def test_camera_only_leaves_the_body_alone(fitter: Fitter, true: FitState, target: FitTarget) -> None:
    turned = replace(true, orientation=true.orientation @ axis_rotation(2, torch.full((PEOPLE,), 0.5)))
    found, energy = fitter.fit(target, turned, ONLY_SEEN, 25, camera_only=True)
    torch.testing.assert_close(found.pose, true.pose)
    torch.testing.assert_close(found.shape, true.shape)
    torch.testing.assert_close(found.orientation, true.orientation, atol=0.03, rtol=0)
    assert (energy < fitter.energy(fitter.pose(turned, target), target, ONLY_SEEN)).all()


def test_the_gradient_of_the_energy(fitter: Fitter, target: FitTarget) -> None:
    bodies = some_bodies(fitter, seed=2)
    names = ("shape", "pose", "log_scale", "shift_m")

    def energy(shift: torch.Tensor, way: dict[str, torch.Tensor]) -> torch.Tensor:
        moved = replace(bodies, **{name: getattr(bodies, name) + shift * way[name] for name in names})
        return fitter.energy(fitter.pose(moved, target), target, Weights()).sum()

    for name in names:
        torch.manual_seed(0)
        way = {other: torch.zeros_like(getattr(bodies, other)) for other in names}
        way[name] = torch.randn_like(way[name])
        at = torch.zeros((), requires_grad=True)
        (slope,) = torch.autograd.grad(energy(at, way), at)
        step = 2e-3
        with torch.no_grad():
            difference = (energy(torch.tensor(step), way) - energy(torch.tensor(-step), way)) / (2 * step)
        assert float(slope) == pytest.approx(float(difference), rel=0.02, abs=0.5), name


def test_one_shape_for_the_frames_of_a_person(fitter: Fitter, true: FitState, target: FitTarget) -> None:
    """Energies are summed over the frames of a person, and two persons are independent."""
    person = torch.tensor([0, 0, 1, 1])
    shapes = true.shape[:2]
    shared = replace(true, shape=shapes)
    each = replace(true, shape=shapes[person])
    both = fitter.energy(fitter.pose(shared, replace(target, person=person)), replace(target, person=person), Weights())
    alone = fitter.energy(fitter.pose(each, target), target, Weights())
    torch.testing.assert_close(both, torch.stack((alone[:2].sum(), alone[2:].sum())))
    found, _ = fitter.fit(replace(target, person=person), shared, Weights(), 5)
    assert found.shape.shape == (2, 6)


def test_shapes_and_phenotypes(fitter: Fitter) -> None:
    shape = torch.randn(5, 6)
    torch.testing.assert_close(fitter.layer.shape_of(fitter.layer.phenotypes(shape)), shape, atol=1e-4, rtol=1e-4)
    assert torch.isfinite(fitter.layer.shape_of(torch.stack((fitter.layer.low, fitter.layer.high)))).all()


def test_targets_do_not_depend_on_position_and_size() -> None:
    joints_px, confidence = 100 * torch.rand(PEOPLE, len(COCO), 2), torch.rand(PEOPLE, len(COCO))
    confidence[0, 3] = 0
    one = FitTarget.of(joints_px, confidence, EVERYONE, COCO)
    other = FitTarget.of(3 * joints_px + 50, confidence, EVERYONE, COCO)
    torch.testing.assert_close(one.joints, other.joints, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other.unit_px, 3 * one.unit_px)
    torch.testing.assert_close(other.centre_px, 3 * one.centre_px + 50)
    assert (one.weight[:, [COCO.index("pelvis"), COCO.index("neck")]] == 0).all()
    assert (one.joints[0, 3] == 0).all()


@pytest.mark.parametrize(
    ("joints_px", "confidence", "person", "fault"),
    [
        (torch.zeros(2, 19), torch.ones(2, 19), torch.arange(2), r"joints to fit have shape \(2, 19\)"),
        (torch.zeros(0, 19, 2), torch.ones(0, 19), torch.arange(0), "B above 0"),
        (torch.zeros(2, 19, 2), torch.ones(2, 17), torch.arange(2), r"shapes \(2, 17\) and \(2,\)"),
        (torch.full((2, 19, 2), torch.nan), torch.ones(2, 19), torch.arange(2), "expected finite pixels"),
        (torch.zeros(2, 19, 2), 2 * torch.ones(2, 19), torch.arange(2), "confidences from 0 to 1"),
        (torch.zeros(2, 19, 2), torch.ones(2, 19), torch.tensor([0, 2]), "person: expected one whole number a frame"),
        (torch.zeros(3, 19, 2), torch.ones(3, 19), torch.tensor([0, 1, 0]), "each person's frames in a row"),
    ],
)
def test_bad_input(joints_px: torch.Tensor, confidence: torch.Tensor, person: torch.Tensor, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        BaselineInput(joints_px, confidence, person)
