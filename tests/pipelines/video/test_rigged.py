"""A video by the model that ships, on the Anny body: GLB, BVH, JSON and NPZ hold the same motion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.cli.main import main
from pose2mesh.datasets.synthetic.bvh import forward_kinematics, read_bvh
from pose2mesh.geometry.gravity import Gravity
from pose2mesh.motion.body_motion import Y_UP_FROM_CAMERA
from pose2mesh.motion.smoothing import bone_lengths
from pose2mesh.skeletons import COCO

from .conftest import lifting

FRAMES = 16


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who lifts an arm and walks to the right, in an image of 640 x 480."""
    joints = lifting(FRAMES, 1)
    folder = tmp_path_factory.mktemp("rigged")
    np.save(folder / "walk.npy", np.concatenate([joints, np.full((FRAMES, 17, 1), 0.9)], axis=2))
    arguments = ["predict", str(folder / "walk.npy"), "--fps", "25", "--formats", "glb,bvh,rig,npz,json"]
    assert main([*arguments, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def arrays(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "walk.npz") as file:
        return dict(file)


def test_one_shape_for_all_frames(out: Path, arrays: dict[str, np.ndarray]) -> None:
    (person,) = json.loads((out / "walk.json").read_text())["people"]
    assert list(person["rig"]["phenotypes"].values()) == pytest.approx(arrays["phenotypes"][0].tolist(), abs=1e-6)
    assert person["rig"]["residual_mm"] == pytest.approx(float(arrays["residual_mm"].mean()), abs=1e-3)
    assert person["rig"]["residual_mm"] < 15
    height = person["rig"]["measurements"]["height_m"]
    assert 1.5 < height["value"] < 2
    assert abs(height["residual"]) < 0.05
    assert set(person["rig"]["measurements"]) == {"height_m", "waist_m", "volume_m3", "mass_kg"}
    spread = bone_lengths(arrays["joints"], COCO.edges).std(0)
    assert spread[[COCO.bones.index(bone) for bone in COCO.bones if "knee" in "".join(bone)]].max() < 0.01


def test_the_vertices_are_those_of_the_rig(arrays: dict[str, np.ndarray], anny_body: BodyModel) -> None:
    shape = torch.from_numpy(arrays["phenotypes"]).expand(FRAMES, -1)
    with torch.no_grad():
        bodies = anny_body(shape, torch.from_numpy(arrays["orientations"])).numpy() + arrays["hips_m"][:, None]
    given = arrays["vertices"] + arrays["translation_m"][:, None]
    assert np.abs(bodies - given).max() < 1e-4


def test_the_bvh_reads_back_to_the_same_joints(out: Path, arrays: dict[str, np.ndarray], anny_body: BodyModel) -> None:
    bvh = read_bvh(out / "walk_0.bvh")
    assert (len(bvh), bvh.frame_time) == (FRAMES, pytest.approx(1 / 25))
    _, positions = forward_kinematics(bvh)
    shape = torch.from_numpy(arrays["phenotypes"]).expand(FRAMES, -1)
    with torch.no_grad():
        heads = anny_body.bone_heads(shape, torch.from_numpy(arrays["orientations"])).numpy()
    upright = Gravity(tuple(arrays["up"].tolist()), 0.0, "people", 1).rotation
    heads = (heads + arrays["hips_m"][:, None]) @ (Y_UP_FROM_CAMERA @ upright).T
    for bone in arrays["bone_names"].tolist():
        found = positions[:, bvh.names.index(f"mixamorig:{bone}")] / 100
        assert np.abs(found - heads[:, anny_body.bone_names.index(bone)]).max() < 1e-4


def test_khronos_validator_finds_no_fault(out: Path) -> None:
    """With `npm install gltf-validator` in a folder that GLTF_VALIDATOR names."""
    folder = os.environ.get("GLTF_VALIDATOR")
    if folder is None or shutil.which("node") is None:
        pytest.skip("needs node, and the folder where `npm install gltf-validator` was run in GLTF_VALIDATOR")
    script = "const v = require('gltf-validator'), fs = require('fs');" + (
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(r => console.log(JSON.stringify(r)))"
    )
    answer = subprocess.run(["node", "-e", script, str(out / "walk.glb")], cwd=folder, capture_output=True, check=True)
    report = json.loads(answer.stdout)
    assert (report["issues"]["numErrors"], report["issues"]["numWarnings"]) == (0, 0), report["issues"]["messages"]
    assert report["info"]["animationCount"] == 1
