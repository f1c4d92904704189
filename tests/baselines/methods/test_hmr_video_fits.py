"""HMR retrained on fits of videos: initial weights, supervision by fits, contents of the bundle."""

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
    """Two frames of 64 still people, whose detections differ; a quarter has 3D labels."""
    generator = torch.Generator().manual_seed(0)
    observation, ground_truth = sample_stick_people(layer, CHUNK, generator)
    number, off = torch.arange(CHUNK), 0.02 * torch.randn(observation.joints.shape, generator=generator)
    ground_truth = replace(ground_truth, labelled=number % 4 == 0)
    return [
        (
            replace(observation, joints=observation.joints + frame * off),
            replace(ground_truth, index=FRAMES * number + frame),
        )
        for frame in range(FRAMES)
    ]


@pytest.fixture(scope="module")
def people(chunks: list[tuple[Observation, GroundTruth]]) -> tuple[Observation, GroundTruth]:
    """Eight samples of the second frame."""
    observation, ground_truth = chunks[1]
    return observation[:8], ground_truth[:8]


@pytest.fixture(scope="module")
def hmr(layer: BodyLayer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("hmr")
    save_untrained(folder / "bundle.safetensors", HMR(layer), "hmr", HMRSettings())
    return folder


def make_method(layer: BodyLayer, fits: VideoFits | None) -> HMRVideoFits:
    torch.manual_seed(0)
    method = HMRVideoFits(layer, HMRVideoFitsSettings(fits=fits, pictures=FRAMES * CHUNK, frames=FRAMES))
    method.prepare(torch.zeros(0), torch.zeros(0))
    return method


@pytest.mark.thorough
def test_starts_from_all_weights_of_an_hmr(
    layer: BodyLayer, hmr: Path, people: tuple[Observation, GroundTruth]
) -> None:
    method, lines = make_method(layer, None), list[str]()
    initialise_from(method, "hmr", layer, str(hmr), lines.append)
    assert lines == [f"all weights initialised from {hmr}"]
    network, _ = load_learned(hmr, layer)
    torch.testing.assert_close(method.eval().estimate(people[0]).joints, network.estimate(people[0]).joints)


def test_bundles_that_cannot_initialise_it(layer: BodyLayer, tmp_path: Path) -> None:
    method = make_method(layer, None)
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
    with pytest.raises(InputError, match=r"tiny: does not fit this method: no backbone\.levels"):
        load_all(method, Tiny(layer, TinySettings()), "tiny", print)


@pytest.mark.thorough
@pytest.mark.parametrize("whole", [True, False])
def test_learns_from_fits_to_detected_joints(
    layer: BodyLayer,
    chunks: list[tuple[Observation, GroundTruth]],
    people: tuple[Observation, GroundTruth],
    whole: bool,
) -> None:
    method, lines = make_method(layer, VideoFits(camera_rounds=1, rounds=3, worst=1.0, whole=whole)), list[str]()
    assert method.teacher is not None
    method.begin(chunks[::-1].__getitem__, lines.append)  # frames come in any order
    assert method.training
    assert lines == ["fitted 96 of 96 frames, 100 % good enough as labels"]
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


def test_no_labels_from_fits_without_detections(
    layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]
) -> None:
    method = make_method(layer, VideoFits(camera_rounds=1, rounds=1))
    without_images = [
        (replace(observation, confidence=torch.zeros_like(observation.confidence)), ground_truth)
        for observation, ground_truth in chunks
    ]
    method.begin(without_images.__getitem__, lambda line: None)
    assert method.teacher is not None
    assert torch.isinf(method.teacher.best.distance).all()


def test_without_fits_only_labels_and_2d_joints_are_used(
    layer: BodyLayer, people: tuple[Observation, GroundTruth]
) -> None:
    method = make_method(layer, None)
    observation, ground_truth = people
    assert method.teacher is None
    terms = method.losses(observation, replace(ground_truth, labelled=torch.zeros(8, dtype=torch.bool)), 0.0)
    assert terms["keypoints"] > 0
    assert all(terms[name] == 0 for name in ("rotations", "shape", "joints"))


def test_the_bundle_holds_the_network_alone(
    layer: BodyLayer, people: tuple[Observation, GroundTruth], tmp_path: Path
) -> None:
    method = make_method(layer, VideoFits())
    method.drop_training_state()
    path = save_untrained(tmp_path / "one.safetensors", method.eval(), "retrained", method.settings)
    read, info = load_learned(path, layer)
    assert info.method == "retrained"
    assert {name.split(".")[0] for name in read.state_dict()} == {"backbone", "regressor"}
    torch.testing.assert_close(read.estimate(people[0]).joints, method.estimate(people[0]).joints, atol=2e-3, rtol=0)


def test_nothing_is_fitted_where_all_samples_have_labels(
    layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]
) -> None:
    method, lines = make_method(layer, VideoFits()), list[str]()
    reference = [
        (observation, replace(ground_truth, labelled=torch.ones(CHUNK, dtype=torch.bool)))
        for observation, ground_truth in chunks
    ]
    method.begin(reference.__getitem__, lines.append)
    assert lines == []
