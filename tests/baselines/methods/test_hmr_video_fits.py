"""HMR retrained on fits of videos: what it starts from, what teaches it, and what is left of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pose2mesh.baselines.baseline_bundle import initialise_from, load_all, load_learned
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.hmr import HMR, HMRSettings
from pose2mesh.baselines.methods.hmr_video_fits import HMRVideoFits, HMRVideoFitsSettings, VideoFits
from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork, PretrainingSettings
from pose2mesh.baselines.observation import GroundTruth, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK
from pose2mesh.errors import InputError
from tests.stick_people import sample_stick_people
from tests.tiny_baseline import Tiny, TinySettings, save_untrained

FRAMES = 2


@pytest.fixture(scope="module")
def chunks(layer: BodyLayer) -> list[tuple[Observation, GroundTruth]]:
    """Two frames of 64 people, in which nobody moves but in a detector's eyes; a quarter is labelled."""
    generator = torch.Generator().manual_seed(0)
    seen, truth = sample_stick_people(layer, CHUNK, generator)
    number, off = torch.arange(CHUNK), 0.02 * torch.randn(seen.joints.shape, generator=generator)
    truth = replace(truth, labelled=number % 4 == 0)
    return [
        (replace(seen, joints=seen.joints + frame * off), replace(truth, index=FRAMES * number + frame))
        for frame in range(FRAMES)
    ]


@pytest.fixture(scope="module")
def people(chunks: list[tuple[Observation, GroundTruth]]) -> tuple[Observation, GroundTruth]:
    """Eight of them."""
    seen, truth = chunks[1]
    return seen[:8], truth[:8]


@pytest.fixture(scope="module")
def hmr(layer: BodyLayer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("hmr")
    save_untrained(folder / "bundle.safetensors", HMR(layer), "hmr", HMRSettings())
    return folder


def made(layer: BodyLayer, fits: VideoFits | None) -> HMRVideoFits:
    torch.manual_seed(0)
    method = HMRVideoFits(layer, HMRVideoFitsSettings(fits=fits, pictures=FRAMES * CHUNK, frames=FRAMES))
    method.prepare(torch.zeros(0), torch.zeros(0))
    return method


def test_starts_from_all_that_an_hmr_has_learnt(
    layer: BodyLayer, hmr: Path, people: tuple[Observation, GroundTruth]
) -> None:
    method, said = made(layer, None), list[str]()
    initialise_from(method, "hmr", layer, str(hmr), said.append)
    assert said == [f"all weights start from those of {hmr}"]
    network, _ = load_learned(hmr, layer)
    torch.testing.assert_close(method.eval().estimate(people[0]).joints, network.estimate(people[0]).joints)


def test_what_it_cannot_start_from(layer: BodyLayer, tmp_path: Path) -> None:
    method = made(layer, None)
    reader = save_untrained(
        tmp_path / "reader.safetensors",
        PretrainingNetwork(layer, PretrainingSettings()),
        "reader",
        PretrainingSettings(),
    )
    with pytest.raises(InputError, match=r"is a bundle of method 'reader'; expected one of 'hmr'"):
        initialise_from(method, "hmr", layer, str(reader), print)
    with pytest.raises(InputError, match=r"nowhere: no such bundle"):
        initialise_from(method, "hmr", layer, str(tmp_path / "nowhere"), print)
    with pytest.raises(InputError, match=r"tiny: does not fit this method: has no backbone\.levels"):
        load_all(method, Tiny(layer, TinySettings()), "tiny", print)


@pytest.mark.parametrize("whole", [True, False])
def test_learns_from_fits_to_detected_joints(
    layer: BodyLayer,
    chunks: list[tuple[Observation, GroundTruth]],
    people: tuple[Observation, GroundTruth],
    whole: bool,
) -> None:
    method, said = made(layer, VideoFits(camera_rounds=1, rounds=3, worst=1.0, whole=whole)), list[str]()
    assert method.teacher is not None
    method.begin(chunks[::-1].__getitem__, said.append)  # frames come in any order
    assert method.training
    assert said == ["fitted 96 of 96 frames, 100 % good enough as labels"]
    best = method.teacher.best
    labelled = (torch.arange(CHUNK) % 4 == 0).repeat_interleave(FRAMES)
    assert torch.isinf(best.distance[labelled]).all()
    assert torch.isfinite(best.distance[~labelled]).all()
    one, other = best.shape[~labelled].unflatten(0, (-1, FRAMES)).unbind(1)
    assert torch.equal(one, other) == whole

    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    history = []
    for _ in range(10):
        terms = method.losses(*people, 0.0)
        optimiser.zero_grad()
        total = sum(terms.values(), torch.zeros(()))
        total.backward()
        optimiser.step()
        history.append(total.item())
    assert history[-1] < 0.8 * history[0]
    unlabelled = replace(people[1], labelled=torch.zeros(8, dtype=torch.bool))
    assert method.losses(people[0], unlabelled, 0.0)["rotations"] > 0


def test_what_was_not_detected_teaches_nothing(layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]) -> None:
    method = made(layer, VideoFits(camera_rounds=1, rounds=1))
    blind = [(replace(seen, confidence=torch.zeros_like(seen.confidence)), truth) for seen, truth in chunks]
    method.begin(blind.__getitem__, lambda line: None)
    assert method.teacher is not None
    assert torch.isinf(method.teacher.best.distance).all()


def test_without_fits_labels_and_2d_joints_are_left(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = made(layer, None)
    seen, truth = people
    assert method.teacher is None
    terms = method.losses(seen, replace(truth, labelled=torch.zeros(8, dtype=torch.bool)), 0.0)
    assert terms["keypoints"] > 0
    assert all(terms[name] == 0 for name in ("rotations", "shape", "joints"))


def test_the_bundle_holds_the_network_alone(
    layer: BodyLayer, people: tuple[Observation, GroundTruth], tmp_path: Path
) -> None:
    method = made(layer, VideoFits())
    method.drop_training_state()
    path = save_untrained(tmp_path / "one.safetensors", method.eval(), "retrained", method.settings)
    read, info = load_learned(path, layer)
    assert info.method == "retrained"
    assert {name.split(".")[0] for name in read.state_dict()} == {"backbone", "regressor"}
    torch.testing.assert_close(read.estimate(people[0]).joints, method.estimate(people[0]).joints, atol=2e-3, rtol=0)


def test_nothing_is_fitted_where_everyone_is_labelled(
    layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]
) -> None:
    method, said = made(layer, VideoFits()), list[str]()
    known = [(seen, replace(truth, labelled=torch.ones(CHUNK, dtype=torch.bool))) for seen, truth in chunks]
    method.begin(known.__getitem__, said.append)
    assert said == []
