"""Supervision by fits: which fits are stored, their quality, and that they replace missing labels only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.baseline_losses import parameter_losses
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.fit_buffer import FitBuffer, FitSettings, FitStarter, FitSupervisor, FittedImages
from pose2mesh.baselines.common.temporal_terms import VideoWeights
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.datasets.synthetic.pose_tree import to_local
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import axis_rotation, rotation_from_vector
from tests.stick_people import sample_stick_people

ALONE = torch.arange(8)
TWO_VIDEOS = torch.arange(8) // 4


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    observation, ground_truth = sample_stick_people(layer, 8, torch.Generator().manual_seed(0))
    return observation, replace(ground_truth, labelled=torch.arange(8) < 2)


def fits_of(turn: float, distance: list[float]) -> FittedImages:
    count = len(distance)
    rotations = axis_rotation(0, torch.tensor(turn)).expand(count, 22, 3, 3)
    return FittedImages(torch.full((count, 6), turn), rotations, torch.tensor(distance))


def predictions_near(ground_truth: GroundTruth, layer: BodyLayer, error_rad: float) -> BodyParameters:
    """Predictions with a random rotation error of each bone."""
    count = len(ground_truth.index)
    generator = torch.Generator().manual_seed(3)
    off = rotation_from_vector(error_rad * torch.randn(count, 22, 3, generator=generator))
    prediction = BodyParameters(
        torch.zeros(count, 6), to_local(ground_truth.orientations) @ off, torch.zeros(count), torch.zeros(count, 2)
    )
    return prediction


def supervise(layer: BodyLayer, ground_truth: GroundTruth, **settings: float) -> tuple[GroundTruth, FitSupervisor]:
    supervisor = FitSupervisor(layer, FitSettings(**{"camera_rounds": 2, "rounds": 4, **settings}), 16)  # type: ignore[arg-type]
    return supervisor.supervise(predictions_near(ground_truth, layer, 0.1), ground_truth, 1), supervisor


def test_the_best_fit_is_stored() -> None:
    best = FitBuffer(5)
    best.update(torch.tensor([1, 3]), fits_of(0.1, [0.05, 0.05]))
    best.update(torch.tensor([1, 3, 4]), fits_of(0.2, [0.06, 0.04, torch.nan]))
    found = best.lookup(torch.tensor([3, 1, 4, 0]))
    assert found.distance.tolist() == pytest.approx([0.04, 0.05, torch.inf, torch.inf])
    assert found.shape[:2, 0].tolist() == pytest.approx([0.2, 0.1])
    assert torch.allclose(
        found.rotations[:2], torch.stack((fits_of(0.2, [0]).rotations[0], fits_of(0.1, [0]).rotations[0])), atol=1e-6
    )


def test_every_second_visit_is_due() -> None:
    best = FitBuffer(3)
    visits = [best.due(torch.tensor(index), 2).tolist() for index in ([0, 1], [0], [2, 0, 1])]
    assert visits == [[True, True], [False], [True, True, False]]


def test_a_fit_has_a_smaller_distance_than_its_start(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    _, ground_truth = people
    prediction = predictions_near(ground_truth, layer, 0.1)
    before = FitStarter(layer, FitSettings(camera_rounds=0, rounds=0)).fit(
        prediction, ground_truth.joints_2d, ground_truth.visible, ALONE
    )
    camera = FitStarter(layer, FitSettings(camera_rounds=10, rounds=0)).fit(
        prediction, ground_truth.joints_2d, ground_truth.visible, ALONE
    )
    whole = FitStarter(layer, FitSettings(camera_rounds=10, rounds=20)).fit(
        prediction, ground_truth.joints_2d, ground_truth.visible, ALONE
    )
    assert torch.allclose(before.rotations, prediction.rotations, atol=1e-4)
    assert torch.allclose(camera.rotations[:, 1:], prediction.rotations[:, 1:], atol=1e-4)
    assert (camera.distance < before.distance).all()
    assert (whole.distance < camera.distance).all()
    assert whole.distance.mean() < 0.5 * before.distance.mean()


def test_an_image_without_joints_has_no_fit(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    _, ground_truth = people
    fits = FitStarter(layer, FitSettings(camera_rounds=1, rounds=1)).fit(
        predictions_near(ground_truth, layer, 0.1),
        ground_truth.joints_2d,
        torch.zeros_like(ground_truth.visible),
        ALONE,
    )
    assert torch.isinf(fits.distance).all()


def test_a_video_has_one_shape_and_moves_steadily(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    """Two still people: predictions jitter from frame to frame, joint fits less, and each person has one shape."""
    _, ground_truth = people
    still = ground_truth[torch.tensor([3, 3, 3, 3, 5, 5, 5, 5])]
    prediction = predictions_near(still, layer, 0.1)
    prediction = replace(prediction, shape=0.5 * torch.randn(8, 6, generator=torch.Generator().manual_seed(0)))
    settings, weights = FitSettings(camera_rounds=5, rounds=15), VideoWeights(smooth_3d=1e5, smooth_2d=0.0)
    whole = FitStarter(layer, settings, weights).fit(prediction, still.joints_2d, still.visible, TWO_VIDEOS)
    alone = FitStarter(layer, settings).fit(prediction, still.joints_2d, still.visible, ALONE)
    for video in (slice(0, 4), slice(4, 8)):
        assert torch.equal(whole.shape[video], whole.shape[video][:1].expand(4, -1))
    assert not torch.equal(whole.shape[0], whole.shape[4])
    assert not torch.equal(alone.shape[0], alone.shape[1])

    def bends(rotations: torch.Tensor) -> float:
        joints = layer.joints(BodyParameters(torch.zeros(8, 6), rotations, torch.zeros(8), torch.zeros(8, 2)))
        return float(joints.unflatten(0, (2, 4)).diff(n=2, dim=1).norm(dim=-1).mean())

    assert bends(whole.rotations) < 0.5 * bends(alone.rotations) < bends(prediction.rotations)


def test_a_video_is_fitted_as_a_whole(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    """Videos of four frames: each is one person of the fit; fits are looked up by the numbers of the frames."""
    _, ground_truth = people
    ground_truth = replace(ground_truth, index=torch.arange(4, 12), labelled=torch.arange(8) < 4)
    supervisor = FitSupervisor(layer, FitSettings(1, 2, worst=1.0), 16, frames=4, video=VideoWeights())
    fitted_persons: list[list[int]] = []
    fit = supervisor.starter.fit

    def recorded(
        prediction: BodyParameters, joints: torch.Tensor, weight: torch.Tensor, person: torch.Tensor
    ) -> FittedImages:
        fitted_persons.append(person.tolist())
        return fit(prediction, joints, weight, person)

    supervisor.starter.fit = recorded  # type: ignore[method-assign]
    assert supervisor.with_fits(ground_truth) is ground_truth
    supervisor.fit(
        predictions_near(ground_truth, layer, 0.1), ground_truth.index, ground_truth.joints_2d, ground_truth.visible
    )
    assert fitted_persons == [[0, 0, 0, 0, 1, 1, 1, 1]]
    found = supervisor.with_fits(ground_truth)
    assert found.labelled.all()
    assert torch.equal(found.joints[:4], ground_truth.joints[:4])
    assert torch.equal(found.phenotypes[4:], found.phenotypes[4:5].expand(4, -1))
    assert not torch.equal(found.orientations[4:], ground_truth.orientations[4:])
    mixed = torch.tensor([7, 2, 5])
    assert torch.equal(supervisor.with_fits(ground_truth[mixed]).orientations, found.orientations[mixed])


def test_fits_replace_missing_labels_alone(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    _, ground_truth = people
    found, supervisor = supervise(layer, ground_truth, worst=1.0)
    assert found.labelled.all()
    labelled = slice(0, 2)
    for name in ("joints", "phenotypes", "orientations"):
        assert torch.equal(getattr(found, name)[labelled], getattr(ground_truth, name)[labelled])
        assert not torch.equal(getattr(found, name)[2:], getattr(ground_truth, name)[2:])
    fits = supervisor.best.lookup(ground_truth.index)
    assert torch.isinf(fits.distance[labelled]).all()
    prediction = BodyParameters(fits.shape, fits.rotations, torch.zeros(8), torch.zeros(8, 2))
    terms = parameter_losses(prediction[2:], found[torch.arange(2, 8)], layer)
    assert all(terms[name] < 1e-4 for name in ("rotations", "shape", "joints"))

    nothing = torch.zeros_like(ground_truth.joints)
    blind = replace(
        ground_truth, joints=nothing, orientations=torch.zeros_like(ground_truth.orientations)
    )  # 3D is not looked at
    again = FitSupervisor(layer, FitSettings(2, 4, worst=1.0), 16)
    observation = again.supervise(predictions_near(ground_truth, layer, 0.1), blind, 1)
    assert torch.allclose(observation.joints[2:], found.joints[2:], atol=1e-5)


def test_bad_fits_are_not_used(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    _, ground_truth = people
    found, _ = supervise(layer, ground_truth, worst=1e-6)
    assert torch.equal(found.labelled, ground_truth.labelled)
    assert torch.equal(found.joints, ground_truth.joints)


def test_an_image_number_out_of_range_is_refused(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    _, ground_truth = people
    with pytest.raises(InputError, match=r"training image 16 is out of range: settings\.pictures is 16"):
        supervise(layer, replace(ground_truth, index=ground_truth.index + 9))


def test_fits_do_not_learn_sizes_from_guesses(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    """A crop does not show the size: small predictions would be supervised to become smaller."""
    _, ground_truth = people
    settings = FitSettings(camera_rounds=2, rounds=6)
    heights = []
    for size in (-2.0, 0.0, 2.0):
        prediction = replace(predictions_near(ground_truth, layer, 0.1), shape=torch.full((8, 6), size))
        fits = FitStarter(layer, settings).fit(prediction, ground_truth.joints_2d, ground_truth.visible, ALONE)
        heights.append(layer.body.stature(layer.phenotypes(fits.shape)))
    middle = layer.body.stature(layer.phenotypes(torch.zeros(8, 6)))
    for height in heights:
        torch.testing.assert_close(height, middle, atol=0.1, rtol=0)
    assert (layer.body.stature(layer.phenotypes(torch.full((8, 6), -2.0))) < middle - 0.2).all()
