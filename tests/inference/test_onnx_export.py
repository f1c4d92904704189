"""`pose2mesh export`: the file is compared with PyTorch before it is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.inference.onnx_export import export_onnx, random_people
from pose2mesh.models.bundle.bundle import load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_file import read_bundle
from pose2mesh.models.onnx_graph import graph_builder


def test_the_command(bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.onnx"
    assert main(["export", str(bundle_file), "--onnx", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: 0.")
    onnx.checker.check_model(path, full_check=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.onnx"]
    assert main(["info", str(path)]) == 2  # it takes a bundle
    assert "\n" not in capsys.readouterr().err.strip()


def test_a_file_whose_outputs_differ_is_not_written(
    bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_builder, "BATCHNORM_EPSILON", 0.5)
    with pytest.raises(InputError, match=r"--onnx .*not written; its outputs differ from PyTorch's by up to \d.* m"):
        export_onnx(str(bundle_file), tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


def test_people_to_compare_with_lack_joints(bundle_file: Path) -> None:
    pixels, confidence = random_people(read_bundle(bundle_file))
    assert pixels.shape == (*confidence.shape, 2) == (20, 19, 2)
    missing = (confidence == 0).sum(1)
    assert missing[0] == 0
    assert missing.max() >= 5
    assert np.ptp(pixels[0], axis=0).min() > 10


def test_write_is_atomic(bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(b"older")

    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(InputError, match=r"--onnx .*: cannot be written \(No space left on device\)"):
        export_onnx(str(bundle_file), path)
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lifter_is_refused(bundle_file: Path, tmp_path: Path) -> None:
    bundle = load_bundle(bundle_file)
    bundle.info.config["stage"] = "posenet"
    save_bundle(tmp_path / "lifter.safetensors", bundle)
    with pytest.raises(InputError, match="model 'small' is a lifter without a mesh"):
        export_onnx(str(tmp_path / "lifter.safetensors"), tmp_path / "small.onnx")


@pytest.mark.parametrize("name", ["small.bin", "none/small.onnx"])
def test_bad_names_of_files(bundle_file: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"--onnx .*: expected the name of a \.onnx file in a folder that exists"):
        export_onnx(str(bundle_file), tmp_path / name)


def test_bad_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such bundle"):
        export_onnx(str(tmp_path / "none.safetensors"), tmp_path / "small.onnx")
    with pytest.raises(InputError, match=r"a\.onnx: is an ONNX file; expected 'default' or a bundle"):
        export_onnx("a.onnx", tmp_path / "small.onnx")


def test_missing_package_is_named(bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError) as caught:
        export_onnx(str(bundle_file), tmp_path / "small.onnx")
    assert str(caught.value) == 'onnx is not installed; `pip install "pose2mesh[onnx]"` brings it'
