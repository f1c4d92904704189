"""ONNX backend: the same predictions as PyTorch without importing it, and the files that are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference import onnx_backend
from pose2mesh.inference.onnx_backend import OnnxBackend, open_session
from pose2mesh.inference.onnx_export import export_onnx
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor


@pytest.fixture(scope="module")
def onnx_file(bundle_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    export_onnx(str(bundle_file), path)
    return path


def people_px(count: int, seed: int = 0) -> np.ndarray:
    """(P, 17, 3) made-up pixels and confidences, some of them 0."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, (count, 17, 1))
    confidence[rng.random(confidence.shape) < 0.1] = 0
    return np.concatenate([rng.uniform(100, 600, (count, 17, 2)), confidence], axis=2)


def agree(found: list[Person], wanted: list[Person]) -> None:
    for own, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own.vertices, other.vertices, atol=1e-4)
        np.testing.assert_allclose(own.joints, other.joints, atol=1e-4)
        np.testing.assert_allclose(own.camera.translation_m, other.camera.translation_m, rtol=1e-3)
        assert own.stature_m == pytest.approx(other.stature_m, rel=1e-4)


@pytest.mark.parametrize("intrinsics", [None, Intrinsics(800, 820, 500, 400)], ids=["", "known camera"])
def test_people_are_those_of_pytorch(bundle_file: Path, onnx_file: Path, intrinsics: Intrinsics | None) -> None:
    array = people_px(5)
    wanted = Predictor.load(bundle_file).recover(array, intrinsics=intrinsics)
    agree(Predictor.load(bundle_file, backend="onnx").recover(array, intrinsics=intrinsics), wanted)
    agree(Predictor.load(onnx_file).recover(array, intrinsics=intrinsics), wanted)


def test_an_exported_file_has_the_description_of_its_bundle(bundle_file: Path, onnx_file: Path) -> None:
    bundle, exported = Predictor.load(bundle_file), Predictor.load(onnx_file)
    assert isinstance(exported.backend, OnnxBackend)
    assert exported.info == bundle.info
    assert exported.joint_set is bundle.joint_set
    np.testing.assert_array_equal(exported.faces, bundle.faces)
    np.testing.assert_array_equal(exported.template, bundle.template)


def test_many_people_in_parts(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, array = Predictor.load(onnx_file), people_px(7)
    together = predictor.recover(array)
    monkeypatch.setattr(onnx_backend, "CHUNK", 3)
    agree(predictor.recover(array), together)


def test_threads_are_those_of_the_environment(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, threads in (("3", 3), ("", 0), ("many", 0)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert open_session(onnx_file, ["CPUExecutionProvider"]).get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize("exported", [True, False], ids=["file", "bundle"])
def test_predict_imports_neither_pytorch_nor_the_training_stack(
    bundle_file: Path, onnx_file: Path, tmp_path: Path, exported: bool
) -> None:
    """As a user types it; what it writes is what PyTorch's run writes."""
    keypoints = people_px(2)
    np.save(tmp_path / "pair.npy", keypoints)
    model = ["--model", str(onnx_file)] if exported else ["--model", str(bundle_file), "--backend", "onnx"]
    arguments = ["predict", str(tmp_path / "pair.npy"), "--out", str(tmp_path / "out"), *model]
    code = (
        "import sys; from pose2mesh.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, *modules = done.stdout.splitlines()[-1].split()
    assert status == "0", done.stderr
    assert "onnxruntime" in modules
    heavy = {"torch", "lightning", "pytorch_lightning", "anny", "jsonargparse", "yaml", "matplotlib", "trimesh"}
    assert not heavy & set(modules)
    if exported:
        assert not {"scipy", "onnx", "safetensors"} & set(modules)
    wanted = Predictor.load(bundle_file).recover(keypoints)
    written = np.load(tmp_path / "out" / "pair.npz")
    np.testing.assert_allclose(written["vertices"], [person.vertices for person in wanted], atol=1e-4)
    document = json.loads((tmp_path / "out" / "pair.json").read_text())
    assert document["model"] == "small"
    np.testing.assert_allclose(document["people"][1]["joints3d_m"], wanted[1].joints, atol=1e-4)


# What is refused


def refused(path: Path) -> str:
    """The one line that says why a model is refused, less the file's name, which it must begin with."""
    with pytest.raises(InputError) as caught:
        Predictor.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.onnx") == "no such file; expected one that `pose2mesh export` wrote"


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_file_cut_short(onnx_file: Path, tmp_path: Path, share: float) -> None:
    data, path = onnx_file.read_bytes(), tmp_path / "short.onnx"
    path.write_bytes(data[: int(share * len(data))])
    assert refused(path).startswith("cannot be read as an ONNX file (")


def test_file_that_is_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("a text, not a network\n" * 100)
    assert refused(path).startswith("cannot be read as an ONNX file (")


def rewrite(onnx_file: Path, path: Path, **metadata: str) -> Path:
    model = onnx.load(onnx_file)
    own = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, own | metadata)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"format": ""}, "is an ONNX file of something else; expected one that `pose2mesh export` wrote"),
        ({"version": "2"}, "version 2, expected 1"),
        ({"info": "{"}, "does not fit its own description: Expecting property name"),
        ({"info": "[]"}, "does not fit its own description: "),
        ({"info": json.dumps({"colour": "red"})}, "unexpected keyword argument 'colour'"),
    ],
)
def test_file_of_something_else(onnx_file: Path, tmp_path: Path, metadata: dict[str, str], reason: str) -> None:
    assert reason in refused(rewrite(onnx_file, tmp_path / "other.onnx", **metadata))


def test_file_of_other_joints_than_it_says(onnx_file: Path, tmp_path: Path) -> None:
    described = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    for joint_set, reason in (("human36", "Got invalid dimensions"), ("hands", "'hands' is missing or unknown")):
        info = json.dumps(json.loads(described["info"]) | {"joint_set": joint_set})
        message = refused(rewrite(onnx_file, tmp_path / "other.onnx", info=info))
        assert message.startswith("does not fit its own description: ")
        assert reason in message


def test_bundle_whose_weights_do_not_fit(bundle_file: Path, tmp_path: Path) -> None:
    with safetensors.safe_open(bundle_file, framework="pt") as file:
        metadata = dict(file.metadata())
    for change, reason in (
        (lambda tensors: tensors.pop("weights.posenet.lift.weight"), "'posenet.lift.weight' is missing or unknown"),
        (lambda tensors: tensors.update({"weights.more": torch.ones(3)}), "Unexpected key(s): more"),
        (lambda tensors: tensors.update({"weights.posenet.head.bias": torch.ones(3)}), "Gemm"),
    ):
        tensors = safetensors.torch.load_file(bundle_file)
        change(tensors)
        path = tmp_path / "b.safetensors"
        safetensors.torch.save_file(tensors, path, metadata)
        with pytest.raises(InputError, match="does not fit its own description: ") as caught:
            Predictor.load(path, backend="onnx")
        assert reason in str(caught.value)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
def test_cuda_is_refused_where_the_runtime_has_none(onnx_file: Path) -> None:
    with pytest.raises(InputError, match="--device cuda: this ONNX Runtime has no CUDA; expected cpu"):
        Predictor.load(onnx_file, "cuda")


def test_unknown_backend(bundle_file: Path) -> None:
    with pytest.raises(InputError, match="--backend 'tpu': expected torch or onnx"):
        Predictor.load(bundle_file, backend="tpu")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_named(bundle_file: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.delitem(sys.modules, "pose2mesh.models.onnx_graph.network_graph", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as caught:
        Predictor.load(bundle_file, backend="onnx")
    assert str(caught.value) == f'{package} is not installed; `pip install "pose2mesh[onnx]"` brings it'
