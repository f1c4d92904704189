"""A model on a data set by its protocol: from files written here to errors worked out without the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pose2mesh.body.gendered import GenderedBody
from pose2mesh.body.smpl import SmplBody, find_regressors, find_smpl
from pose2mesh.data.sets.pw3d import pw3d
from pose2mesh.evaluate_sets import evaluate_records
from pose2mesh.models.bundle import Bundle, save_bundle
from pose2mesh.models.bundle_info import BundleInfo
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.surface import build_surface
from pose2mesh.predict import Recovery
from pose2mesh.protocols import PROTOCOLS
from pose2mesh.skeletons import COCO
from tests.pw3d_fixtures import People, smpl_poses, write_models, write_pw3d


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("PW3D")


@pytest.fixture(scope="module")
def people(models: Path, folder: Path) -> People:
    return write_pw3d(folder, models, write_models(models))


@pytest.fixture(scope="module")
def body(models: Path, people: People) -> GenderedBody:
    regressors = find_regressors(models)
    bodies = {number: SmplBody(find_smpl(models, "smpl", name), "smpl", regressors) for number, name in _NAMED.items()}
    return GenderedBody(bodies.pop(0), bodies)


_NAMED = {0: "neutral", 1: "male", 2: "female"}


@pytest.fixture(scope="module")
def recovery(body: GenderedBody, small_config: NetworkConfig, tmp_path_factory: pytest.TempPathFactory) -> Recovery:
    """An untrained network on the made-up SMPL."""
    with torch.no_grad():
        posed = body.main(torch.from_numpy(smpl_poses(24, 5)).float(), torch.zeros(24, 10)).numpy()
    surface = build_surface(body, COCO, small_config, posed)
    torch.manual_seed(0)
    info = BundleInfo("untrained", "coco", "smpl", {"network": small_config.as_dict()}, "nothing", "Apache-2.0")
    path = tmp_path_factory.mktemp("run") / "bundle.safetensors"
    save_bundle(path, Bundle(Pose2Mesh(small_config, COCO, surface).eval(), surface, info))
    return Recovery.load(path)


def aligned(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Points moved to the truth by the best similarity, with SciPy's rotations."""
    centred, target = points - points.mean(0), truth - truth.mean(0)
    rotation, _ = Rotation.align_vectors(target, centred)
    turned = rotation.apply(centred)
    return turned * (turned * target).sum() / (turned**2).sum() + truth.mean(0)


def direct(recovery: Recovery, body: GenderedBody, people: People) -> dict[str, np.ndarray]:
    """The errors of the same people without reader, protocol or metrics: each in millimetres, (N,)."""
    ones = np.ones(people.coco_px.shape[:2])
    vertices = recovery.run(people.coco_px, ones)[1].astype(np.float64)
    human36, pelvis = body.main._given["human36"].numpy(), body.main.joint_regressor[0].numpy()
    found, truth = human36 @ vertices, people.human36
    found, truth = found - found[:, :1], truth - truth[:, :1]
    chosen = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]
    mesh = vertices - (pelvis @ vertices)[:, None]
    return {
        "mpjpe_mm": 1000 * np.linalg.norm(found - truth, axis=-1)[:, chosen].mean(1),
        "pa_mpjpe_mm": 1000
        * np.array(
            [
                np.linalg.norm(aligned(a[chosen], b[chosen]) - b[chosen], axis=1).mean()
                for a, b in zip(found, truth, strict=True)
            ]
        ),
        "mpvpe_mm": 1000 * np.linalg.norm(mesh - people.true_mesh, axis=-1).mean(1),
        "pa_mpvpe_mm": 1000
        * np.array(
            [np.linalg.norm(aligned(a, b) - b, axis=1).mean() for a, b in zip(mesh, people.true_mesh, strict=True)]
        ),
    }


def test_through_the_files_as_measured_directly(
    recovery: Recovery, body: GenderedBody, people: People, folder: Path, tmp_path: Path
) -> None:
    records = pw3d(folder, tmp_path, split="test")
    results = evaluate_records(recovery, records, body, PROTOCOLS["3dpw"])
    expected = direct(recovery, body, people)
    assert results["samples"] == len(people.genders)
    for name, values in expected.items():
        assert results[name] == pytest.approx(values.mean(), abs=1e-3), name
        assert values.mean() > 20
    assert results["left_out"] == {}
