"""Bundles read as NumPy arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from pose2mesh.models.bundle.bundle import load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_file import read_bundle


def test_weights_are_those_of_the_network(bundle_file: Path) -> None:
    read, loaded = read_bundle(bundle_file), load_bundle(bundle_file)
    state = loaded.model.state_dict()
    assert list(read.weights.keys() ^ state.keys()) == []
    for name, array in read.weights.items():
        assert array.dtype == (np.int64 if name.endswith("num_batches_tracked") else np.float32)
        assert torch.equal(torch.from_numpy(array), state[name]), name
    assert read.network == loaded.model.config
    assert read.info == loaded.info
    assert read.path == bundle_file


def test_bundles_from_before_the_lifter_had_a_unit(bundle_file: Path, tmp_path: Path) -> None:
    bundle = load_bundle(bundle_file)
    del bundle.info.config["network"]["posenet_unit_m"]
    save_bundle(tmp_path / "old.safetensors", bundle)
    assert read_bundle(tmp_path / "old.safetensors").network.posenet_unit_m == 1.0
    assert read_bundle(bundle_file).network.posenet_unit_m == bundle.model.config.posenet_unit_m


def test_reading_needs_no_pytorch(bundle_file: Path) -> None:
    code = (
        "import sys; from pose2mesh.models.bundle.bundle_file import read_bundle;"
        "print(read_bundle(sys.argv[1]).info.name);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle_file)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["small", "False"]
