"""HMR retrained on fits of videos: what it starts from, what teaches it, and what is left of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pose2mesh.baselines.body_layer import BodyLayer
from pose2mesh.baselines.bundle import load_all, load_learned, start_from
from pose2mesh.baselines.hmr import HMR, HMRSettings
from pose2mesh.baselines.reader import Reader, ReaderSettings
from pose2mesh.baselines.retrained import Retrained, RetrainedSettings, VideoFits
from pose2mesh.baselines.seen import Seen, Truth
from pose2mesh.errors import InputError
from tests.stick_people import draw_sticks
from tests.tiny_baseline import Tiny, TinySettings, save_untrained

FRAMES = 4


@pytest.fixture(scope="module")
def videos(layer: BodyLayer) -> tuple[Seen, Truth]:
    """Two of four frames, in which nobody moves; the first is labelled."""
    seen, truth = draw_sticks(layer, 2, torch.Generator().manual_seed(0))
    frames = torch.arange(2).repeat_interleave(FRAMES)
    return seen[frames], replace(truth[frames], index=torch.arange(8), labelled=torch.arange(8) < FRAMES)


@pytest.fixture(scope="module")
def hmr(layer: BodyLayer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("hmr")
    save_untrained(folder / "bundle.safetensors", HMR(layer), "hmr", HMRSettings())
    return folder


def made(layer: BodyLayer, fits: VideoFits | None) -> Retrained:
    torch.manual_seed(0)
    method = Retrained(layer, RetrainedSettings(fits=fits, pictures=8, frames=FRAMES))
    method.prepare(torch.zeros(0), torch.zeros(0))
    return method


def test_starts_from_all_that_an_hmr_has_learnt(layer: BodyLayer, hmr: Path, videos: tuple[Seen, Truth]) -> None:
    method, said = made(layer, None), list[str]()
    start_from(method, "hmr", layer, str(hmr), said.append)
    assert said == [f"all weights start from those of {hmr}"]
    network, _ = load_learned(hmr, layer)
    torch.testing.assert_close(method.eval().estimate(videos[0]).joints, network.estimate(videos[0]).joints)


def test_what_it_cannot_start_from(layer: BodyLayer, tmp_path: Path) -> None:
    method = made(layer, None)
    reader = save_untrained(
        tmp_path / "reader.safetensors", Reader(layer, ReaderSettings()), "reader", ReaderSettings()
    )
    with pytest.raises(InputError, match=r"is a bundle of method 'reader'; expected one of 'hmr'"):
        start_from(method, "hmr", layer, str(reader), print)
    with pytest.raises(InputError, match=r"nowhere: no such bundle"):
        start_from(method, "hmr", layer, str(tmp_path / "nowhere"), print)
    with pytest.raises(InputError, match=r"tiny: does not fit this method: has no backbone\.levels"):
        load_all(method, Tiny(layer, TinySettings()), "tiny", print)


def test_norms_stay_as_they_were(layer: BodyLayer, videos: tuple[Seen, Truth]) -> None:
    method = made(layer, None).train()
    assert method.backbone.training
    before = {name: value.clone() for name, value in method.state_dict().items() if "running" in name}
    method.losses(*videos, 0.0)
    assert before
    assert all(torch.equal(value, method.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("whole", [True, False])
def test_learns_from_fits_to_detected_joints(layer: BodyLayer, videos: tuple[Seen, Truth], whole: bool) -> None:
    method = made(layer, VideoFits(camera_rounds=2, rounds=6, worst=1.0, whole=whole))
    assert method.teacher is not None
    seen, truth = videos
    unknown = truth.index[FRAMES:]
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    history = []
    for _ in range(10):
        terms = method.losses(seen, truth, 0.0)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        history.append(sum(terms.values()).item())  # type: ignore[union-attr]
    assert history[-1] < 0.8 * history[0]
    fits = method.teacher.best.recall(unknown)
    assert torch.isfinite(fits.distance).all()
    assert torch.isinf(method.teacher.best.distance[:FRAMES]).all()
    if whole:
        assert torch.equal(fits.shape, fits.shape[:1].expand(FRAMES, -1))

    blind = replace(seen, confidence=torch.zeros_like(seen.confidence))  # nothing was detected: nothing is fitted to
    other = made(layer, VideoFits(camera_rounds=1, rounds=1, whole=whole))
    other.losses(blind, truth, 0.0)
    assert other.teacher is not None
    assert torch.isinf(other.teacher.best.distance).all()


def test_without_fits_labels_and_2d_joints_are_left(layer: BodyLayer, videos: tuple[Seen, Truth]) -> None:
    method = made(layer, None)
    seen, truth = videos
    assert method.teacher is None
    terms = method.losses(seen, replace(truth, labelled=torch.zeros(8, dtype=torch.bool)), 0.0)
    assert terms["keypoints"] > 0
    assert all(terms[name] == 0 for name in ("rotations", "shape", "joints"))


def test_the_bundle_holds_the_network_alone(layer: BodyLayer, videos: tuple[Seen, Truth], tmp_path: Path) -> None:
    method = made(layer, VideoFits())
    method.forget()
    path = save_untrained(tmp_path / "one.safetensors", method.eval(), "retrained", method.settings)
    read, info = load_learned(path, layer)
    assert info.method == "retrained"
    assert {name.split(".")[0] for name in read.state_dict()} == {"backbone", "regressor"}
    torch.testing.assert_close(read.estimate(videos[0]).joints, method.estimate(videos[0]).joints, atol=2e-3, rtol=0)
