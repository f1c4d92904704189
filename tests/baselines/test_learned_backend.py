"""Learned baselines: bundles, `predict` on images, refused options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pose2mesh.baselines import learned_backend, registry
from pose2mesh.baselines.baseline_bundle import load_backbone, load_learned, load_pretraining_network, read_info
from pose2mesh.baselines.bundle_lookup import is_learned
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.hmr import HMR, HMRSettings
from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork, PretrainingSettings
from pose2mesh.baselines.observation import Observation
from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.model_zoo import load_model
from pose2mesh.models.bundle.bundle_info import find_bundle
from pose2mesh.skeletons import COCO
from tests.tiny_baseline import Tiny, TinySettings, save_untrained, tiny


@pytest.fixture(scope="module", autouse=True)
def tiny_registered(layer: BodyLayer) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.LEARNED_METHODS, "tiny", tiny)
        patch.setattr(learned_backend, "default_body", lambda: layer.body)
        yield


@pytest.fixture(scope="module")
def folder(layer: BodyLayer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained bundles, an image and its keypoints."""
    folder = tmp_path_factory.mktemp("learned")
    torch.manual_seed(0)
    save_untrained(folder / "tiny.safetensors", Tiny(layer, TinySettings()), "tiny", TinySettings())
    save_untrained(
        folder / "hmr.safetensors", HMR(layer, HMRSettings(critics=False)), "hmr", HMRSettings(critics=False)
    )
    save_untrained(folder / "reader.safetensors", PretrainingNetwork(layer), "reader", PretrainingSettings())
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "street.png")
    rng = np.random.default_rng(1)
    people = [
        {
            "id": index, "image_id": 1, "category_id": 1,
            "keypoints": [v for x, y in rng.uniform(20, 80, (17, 2)).tolist() for v in (x, y, 2)],
        }
        for index in range(2)
    ]  # fmt: skip
    images = [{"id": 1, "file_name": "street.png", "width": 240, "height": 180}]  # the photo is a scaled copy
    categories = [{"id": 1, "name": "person"}]
    content = {"images": images, "annotations": people, "categories": categories}
    (folder / "street.json").write_text(json.dumps(content))
    return folder


def some_samples(count: int = 3) -> Observation:
    generator = torch.Generator().manual_seed(4)
    joints = torch.rand(count, len(COCO), 2, generator=generator) * 2 - 1
    return Observation(joints, torch.ones(count, len(COCO)), torch.rand(count, 3, 128, 128, generator=generator))


def test_a_bundle_holds_the_method(layer: BodyLayer, tmp_path: Path) -> None:
    settings = HMRSettings(iterations=2, critics=False)
    network = HMR(layer, settings).eval()
    loaded, info = load_learned(save_untrained(tmp_path / "two.safetensors", network, "hmr", settings), layer)
    assert isinstance(loaded, HMR)
    assert loaded.settings == settings
    assert not loaded.training
    assert (info.method, info.name) == ("hmr", "hmr")
    observation = some_samples()
    torch.testing.assert_close(
        loaded.estimate(observation).joints, network.estimate(observation).joints, atol=2e-3, rtol=0
    )
    assert (tmp_path / "two.safetensors").stat().st_size < 4e6


def test_files_that_are_no_bundles_of_a_baseline(folder: Path, layer: BodyLayer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((folder / "hmr.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as a bundle"):
        read_info(broken)
    assert not is_learned(broken)
    with pytest.raises(InputError, match="not the bundle of a learned baseline"):
        read_info(find_bundle("default"))
    with pytest.raises(InputError, match="is a bundle of method 'hmr'; expected one of 'reader'"):
        load_pretraining_network(layer, folder / "hmr.safetensors")
    narrow = save_untrained(tmp_path / "narrow.safetensors", Tiny(layer, TinySettings(4)), "tiny", TinySettings(8))
    with pytest.raises(InputError, match="does not fit its own description"):
        load_learned(narrow, layer)


def test_a_backbone_starts_from_the_pretraining_network(folder: Path, layer: BodyLayer) -> None:
    reader, network = load_pretraining_network(layer, folder / "reader.safetensors"), HMR(layer)
    lines: list[str] = []
    load_backbone(network, reader, lines.append)
    assert lines == ["backbone initialised from the pre-training network"]
    for name, value in reader.backbone.state_dict().items():
        assert torch.equal(value, network.backbone.state_dict()[name]), name
    with pytest.raises(InputError, match="has no backbone"):
        load_backbone(Tiny(layer, TinySettings()), reader, lines.append)


def test_predict_of_an_image(folder: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(folder / "street.json"), "--image", str(folder / "street.png"), "--formats", "json,npz"]
    assert main([*arguments, "--model", str(folder / "hmr.safetensors"), "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "street.json").read_text())
    assert len(result["people"]) == 2
    arrays = np.load(tmp_path / "street.npz")
    assert np.isfinite(arrays["vertices"]).all()
    assert np.ptp(arrays["vertices"][0], axis=0).max() > 1.2


def test_the_estimate_depends_on_the_image(folder: Path) -> None:
    """The same joints in another image give another body; without an image there is an error."""
    recovery = load_model(folder / "hmr.safetensors")
    keypoints = np.random.default_rng(1).uniform(20, 80, (1, 17, 2))
    photos = (np.zeros((100, 100, 3), np.uint8), np.full((100, 100, 3), 255, np.uint8))
    dark, light = (recovery.recover(keypoints, image=photo)[0] for photo in photos)
    assert np.abs(dark.joints - light.joints).max() > 1e-5
    with pytest.raises(InputError, match="model 'hmr' takes the image; it is needed beside the keypoints"):
        recovery.recover(keypoints)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "more", "fault"),
    [
        ("hmr.safetensors", [], "street: model 'hmr' takes the image as input; give it with --image"),
        ("hmr.safetensors", ["--backend", "onnx"], "is run by torch"),
        ("hmr.safetensors", ["--device", "cuda"], "runs on the cpu"),
        ("hmr.safetensors", ["--fps", "30", "--formats", "json"], "takes the frames as input; give them with --video"),
        ("reader.safetensors", [], "model 'reader' pre-trains a backbone and predicts no bodies"),
    ],
)
def test_refused_options(
    model: str, more: list[str], fault: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(folder / "street.json"), "--model", str(folder / model), "--out", str(tmp_path / "out")]
    assert main([*arguments, *more]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_method_without_a_bundle_names_its_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.LEARNED_METHODS, "tiny", tiny)
    assert main(["predict", str(folder / "street.json"), "--model", "tiny"]) == 2
    error = capsys.readouterr().err
    assert "model 'tiny' does not ship; train it with `pose2mesh train configs/baselines/tiny.yaml`" in error
    assert error.count("\n") == 1


def test_metadata_of_a_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder / "hmr.safetensors")]) == 0
    lines = capsys.readouterr().out
    assert "method    hmr, 0.00 M parameters" in lines
    assert "training  64 images, 1.0 minutes, seed 0" in lines
