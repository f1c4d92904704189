"""Models by name and path: which kind of backend each gets, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pose2mesh
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.model_zoo import load_model


def test_a_path_is_a_bundle(bundle_file: Path) -> None:
    for model in (load_model(bundle_file), load_model(str(bundle_file)), pose2mesh.load(bundle_file)):
        assert isinstance(model.backend, TorchBackend)
        assert model.info.name == "small"


def test_a_run_folder_holds_its_bundle(bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.safetensors").write_bytes(bundle_file.read_bytes())
    assert load_model(tmp_path).info.name == "small"


def test_public_names() -> None:
    assert pose2mesh.Recovery is pose2mesh.Predictor is Predictor
    assert pose2mesh.Person.__name__ == "Person"
    with pytest.raises(AttributeError, match="has no attribute 'Persons'"):
        _ = pose2mesh.Persons


@pytest.mark.parametrize("name", ["nowhere", "nowhere.safetensors"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_model(name)
    assert str(caught.value).startswith(
        f"{name}: no such bundle; expected 'default', smplify, smplify-started, arnab, "
    )
    assert str(caught.value).endswith("reader or a .safetensors file")


def test_device_and_backend_are_checked_first(bundle_file: Path) -> None:
    with pytest.raises(InputError, match="--device 'tpu': expected cpu or cuda"):
        load_model("nowhere", "tpu")
    with pytest.raises(InputError, match="--backend 'jax': expected torch or onnx"):
        load_model(bundle_file, backend="jax")


@pytest.mark.parametrize("name", ["smplify", "hmr"])
def test_baselines_do_not_run_on_onnx(name: str) -> None:
    with pytest.raises(InputError, match=f"--backend onnx: model '{name}' is run by torch"):
        load_model(name, backend="onnx")


def test_the_predictor_alone_knows_no_baselines() -> None:
    with pytest.raises(InputError, match=r"smplify: no such bundle; expected 'default' or a \.safetensors file"):
        Predictor.load("smplify")


def test_importing_the_zoo_does_not_import_pytorch() -> None:
    code = "import sys, pose2mesh, pose2mesh.model_zoo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0


def test_predictions_are_those_of_the_predictor(bundle_file: Path) -> None:
    keypoints = np.random.default_rng(0).uniform(0, 300, (17, 2))
    own, other = (load(bundle_file).recover(keypoints)[0] for load in (load_model, Predictor.load))
    np.testing.assert_array_equal(own.vertices, other.vertices)
