"""SPIN: which fits are remembered, what they are worth, and that they take the place of nothing that is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.body_layer import BodyLayer, Guess
from pose2mesh.baselines.losses import parameter_losses
from pose2mesh.baselines.seen import Seen, Truth
from pose2mesh.baselines.spin import SPIN, BestFits, Fits, FitSettings, SPINSettings, Starter
from pose2mesh.data.poses import to_local
from pose2mesh.errors import InputError
from pose2mesh.geometry import axis_rotation, rotation_from_vector
from tests.stick_people import draw_sticks


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Seen, Truth]:
    seen, truth = draw_sticks(layer, 8, torch.Generator().manual_seed(0))
    return seen, replace(truth, labelled=torch.arange(8) < 2)


def fits_of(turn: float, distance: list[float]) -> Fits:
    count = len(distance)
    rotations = axis_rotation(0, torch.tensor(turn)).expand(count, 22, 3, 3)
    return Fits(torch.full((count, 6), turn), rotations, torch.tensor(distance))


def near(truth: Truth, layer: BodyLayer, error_rad: float) -> Guess:
    """Guesses that are off by so much a bone."""
    count = len(truth.index)
    generator = torch.Generator().manual_seed(3)
    off = rotation_from_vector(error_rad * torch.randn(count, 22, 3, generator=generator))
    guess = Guess(torch.zeros(count, 6), to_local(truth.orientations) @ off, torch.zeros(count), torch.zeros(count, 2))
    return guess


def made(layer: BodyLayer, **fits: float) -> SPIN:
    torch.manual_seed(0)
    settings = FitSettings(**{"begin": 0.0, "camera_rounds": 2, "rounds": 4, **fits})  # type: ignore[arg-type]
    method = SPIN(layer, SPINSettings(fits=settings, pictures=16))
    method.prepare(torch.zeros(0), torch.zeros(0))
    return method


def test_the_nearest_fit_is_remembered() -> None:
    best = BestFits(5)
    best.offer(torch.tensor([1, 3]), fits_of(0.1, [0.05, 0.05]))
    best.offer(torch.tensor([1, 3, 4]), fits_of(0.2, [0.06, 0.04, torch.nan]))
    found = best.recall(torch.tensor([3, 1, 4, 0]))
    assert found.distance.tolist() == pytest.approx([0.04, 0.05, torch.inf, torch.inf])
    assert found.shape[:2, 0].tolist() == pytest.approx([0.2, 0.1])
    assert torch.allclose(
        found.rotations[:2], torch.stack((fits_of(0.2, [0]).rotations[0], fits_of(0.1, [0]).rotations[0])), atol=1e-6
    )


def test_every_second_visit_is_due() -> None:
    best = BestFits(3)
    visits = [best.due(torch.tensor(index), 2).tolist() for index in ([0, 1], [0], [2, 0, 1])]
    assert visits == [[True, True], [False], [True, True, False]]


def test_a_fit_is_seen_nearer_than_its_guess_and_knows_the_camera(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    _, truth = people
    guess = near(truth, layer, 0.1)
    before = Starter(layer, FitSettings(camera_rounds=0, rounds=0)).fit(guess, truth.joints_2d, truth.visible)
    camera = Starter(layer, FitSettings(camera_rounds=10, rounds=0)).fit(guess, truth.joints_2d, truth.visible)
    whole = Starter(layer, FitSettings(camera_rounds=10, rounds=20)).fit(guess, truth.joints_2d, truth.visible)
    assert torch.allclose(before.rotations, guess.rotations, atol=1e-4)
    assert torch.allclose(camera.rotations[:, 1:], guess.rotations[:, 1:], atol=1e-4)
    assert (camera.distance < before.distance).all()
    assert (whole.distance < camera.distance).all()
    assert whole.distance.mean() < 0.5 * before.distance.mean()


def test_a_picture_of_nothing_has_no_fit(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    _, truth = people
    fits = Starter(layer, FitSettings(camera_rounds=1, rounds=1)).fit(
        near(truth, layer, 0.1), truth.joints_2d, torch.zeros_like(truth.visible)
    )
    assert torch.isinf(fits.distance).all()


def test_fits_take_the_place_of_what_is_not_known_alone(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    _, truth = people
    method = made(layer, worst=1.0)
    taught = method.taught(near(truth, layer, 0.1), truth)
    assert taught.labelled.all()
    known = slice(0, 2)
    for name in ("joints", "phenotypes", "orientations"):
        assert torch.equal(getattr(taught, name)[known], getattr(truth, name)[known])
        assert not torch.equal(getattr(taught, name)[2:], getattr(truth, name)[2:])
    assert method.best is not None
    fits = method.best.recall(truth.index)
    assert torch.isinf(fits.distance[known]).all()
    found = Guess(fits.shape, fits.rotations, torch.zeros(8), torch.zeros(8, 2))
    terms = parameter_losses(found[2:], taught[torch.arange(2, 8)], layer)
    assert all(terms[name] < 1e-4 for name in ("rotations", "shape", "joints"))

    nothing = torch.zeros_like(truth.joints)
    blind = replace(truth, joints=nothing, orientations=torch.zeros_like(truth.orientations))  # 3D is not looked at
    again = made(layer, worst=1.0).taught(near(truth, layer, 0.1), blind)
    assert torch.allclose(again.joints[2:], taught.joints[2:], atol=1e-5)


def test_bad_fits_teach_nothing(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    _, truth = people
    taught = made(layer, worst=1e-6).taught(near(truth, layer, 0.1), truth)
    assert torch.equal(taught.labelled, truth.labelled)
    assert torch.equal(taught.joints, truth.joints)


def test_learns_a_batch_first_from_what_is_known(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    method = made(layer, begin=0.5)
    assert method.best is not None
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    history = []
    for step in range(14):
        terms = method.losses(*people, step / 14)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        history.append(terms["keypoints"].item())
        assert torch.isinf(method.best.distance).all() == (step < 7)
    assert history[-1] < 0.8 * history[0]
    assert torch.isfinite(method.best.distance[2:8]).all()


def test_a_picture_without_a_place_is_refused(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    seen, truth = people
    with pytest.raises(InputError, match=r"picture 16 .* 16 of settings\.pictures"):
        made(layer).losses(seen, replace(truth, index=truth.index + 9), 1.0)


def test_fits_are_resumed_but_not_shipped(layer: BodyLayer, people: tuple[Seen, Truth]) -> None:
    method = made(layer)
    assert method.best is not None
    method.best.offer(torch.tensor([2]), fits_of(0.3, [0.01]))
    resumed = made(layer)
    resumed.load_state_dict(method.state_dict())
    assert resumed.best is not None
    assert resumed.best.distance[2] == pytest.approx(0.01)
    method.forget()
    fresh = SPIN(layer, SPINSettings(pictures=16))
    fresh.load_state_dict(method.state_dict())
    fresh.eval()
    found = fresh.estimate(people[0])
    assert found.vertices.shape == (8, len(layer.body.template), 3)
    assert {name.split(".")[0] for name in fresh.state_dict()} == {"backbone", "regressor"}
