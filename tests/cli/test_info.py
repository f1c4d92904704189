"""`pose2mesh info`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose2mesh.cli.info import describe_bundle
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import load_bundle, save_bundle


def test_a_bundle_in_words(bundle_file: Path) -> None:
    model = load_bundle(bundle_file).model
    lines = describe_bundle(str(bundle_file)).splitlines()
    rows = {line.split()[0]: line[10:] for line in lines}
    assert rows["bundle"] == f"small, {bundle_file.stat().st_size / 1e6:.1f} MB"
    assert rows["input"] == "19 joints (coco), confidences"
    assert rows["output"] == "162 vertices, 320 faces (ellipsoid)"
    count = sum(parameter.numel() for parameter in model.posenet.parameters())
    assert rows["posenet"] == f"{count / 1e6:.2f} M parameters"
    assert rows["meshnet"].endswith("graphs of 11, 22, 44 nodes")
    assert rows["data"] == "nothing"
    assert rows["licence"] == "Apache-2.0"
    assert rows["errors"] == "validation clips, gt 2D: mpjpe_mm 123.4"


def test_a_bundle_without_confidences_or_errors(bundle_file: Path, tmp_path: Path) -> None:
    bundle = load_bundle(bundle_file)
    bundle.info.errors = {}
    save_bundle(tmp_path / "plain.safetensors", bundle)
    assert "errors" not in describe_bundle(str(tmp_path / "plain.safetensors"))


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such bundle"):
        describe_bundle(str(tmp_path))
